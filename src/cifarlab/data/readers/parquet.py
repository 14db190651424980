"""Understand Parquet files with a column of images, in Hugging Face's schemas and the like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import parquet_columns
from cifarlab.data.readers.label_values import as_classes
from cifarlab.data.readers.labelling import are_of_files, some
from cifarlab.data.readers.parquet_files import (
    ParquetFiles,
    by_split,
    count_images,
    find_files,
    is_parquet,
)
from cifarlab.data.readers.split_names import TRAIN
from cifarlab.data.samples import Found, Rejected, Samples, Stored
from cifarlab.errors import InputError
from cifarlab.files import printable

# Rows in memory at a time, each with the bytes of an image.
BATCH_ROWS = 128


# Columns that say which split a row is of.
SPLIT_COLUMNS = ("split", "Split", "subset", "is_test", "is_train")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a split: where its images are, and which of its rows have labels."""

    path: Path
    image: parquet_columns.ImageColumn
    rows: np.ndarray[Any, Any]


def find(path: Path, options: LoadOptions) -> Found | Rejected:
    """Return the images in Parquet files, or why there are none.

    The images are bytes, structures of ``bytes`` and ``path``, or nested lists of numbers. Class
    names come from the Hugging Face metadata of each file, else from the labels. One file is
    training data whatever its name; of several, names and folders tell the splits.

    Raises:
        InputError: a file is damaged, shards are missing, several datasets or columns are as
            likely, or the labels are no classes.
    """
    if are_of_files(options):
        return Rejected(reason="")
    present = [path] if path.is_file() and is_parquet(path) else []
    if path.is_dir():
        present = find_files(path)
    found = {file: parquet_columns.image_column(file, options) for file in present}
    columns = {file: column for file, column in found.items() if column is not None}
    if not columns:
        names = [file.name for file in present]
        return Rejected(reason=f"no column of {some(names)} holds images" if names else "")
    root = path if path.is_dir() else path.parent
    files = (
        by_split(root, list(columns)) if path.is_dir() else ParquetFiles(splits={TRAIN: (path,)})
    )
    return _found(path, root, files, options, columns, [f for f in present if f not in columns])


def holds_images(path: Path, options: LoadOptions) -> bool:
    """Whether a Parquet file has a column of images."""
    return is_parquet(path) and parquet_columns.image_column(path, options) is not None


def _refuse_split_column(file: Path, label: str) -> None:
    for name in SPLIT_COLUMNS:
        if name != label and parquet_columns.has_column(file, name):
            raise InputError(
                f"{printable(file)}: has a column {name!r}, which would divide the images and is "
                "not read; write a file for each split (train.parquet, test.parquet), or drop it"
            )


def _found(
    path: Path,
    root: Path,
    files: ParquetFiles,
    options: LoadOptions,
    columns: Mapping[Path, parquet_columns.ImageColumn],
    tables: Sequence[Path],
) -> Found:
    first = files.splits[TRAIN][0]
    image = columns[first]
    label = parquet_columns.label_column(first, image.name, options)
    _refuse_split_column(first, label)
    declared = parquet_columns.declared_names(first, label)
    values, notes = _values(files, label, declared)
    classes = as_classes(
        {split: [v for _, column in parts for v in column] for split, parts in values.items()},
        where=f"{printable(path)} column {label!r}",
        declared=declared,
        fewest=options.fewest_classes,
    )
    splits = {
        split: _samples(root, values[split], labels, columns)
        for split, labels in classes.labels.items()
    }
    images = count_images(path) if path.is_dir() else 0
    notes += [f"left out {some([t.name for t in tables])}, without images"] if tables else []
    notes += [f"left out {images:,} image files beside the Parquet files"] if images else []
    return Found(
        what="Parquet files of images",
        name=path.resolve().name if path.is_dir() else path.stem,
        source=str(path.absolute()),
        class_names=classes.names,
        splits=splits,
        files=tuple(file for part in files.splits.values() for file in part),
        notes=(*files.notes, *notes, *classes.notes),
        options={"image_column": image.name, "label_column": label},
    )


# The labels of each file of each split.
Values = Mapping[str, Sequence[tuple[Path, Sequence[Any]]]]


def _values(files: ParquetFiles, label: str, declared: tuple[str, ...]) -> tuple[Values, list[str]]:
    """Read the labels; a split whose files have none is left out, with a note."""
    values: dict[str, list[tuple[Path, Sequence[Any]]]] = {}
    notes = []
    for split, paths in files.splits.items():
        if split != TRAIN and not any(parquet_columns.has_column(p, label) for p in paths):
            notes.append(f"{split}: has no column {label!r}, so its images are left out")
            continue
        values[split] = [
            (file, parquet_columns.label_values(file, label, declared)) for file in paths
        ]
    return values, notes


def _samples(
    root: Path,
    values: Sequence[tuple[Path, Sequence[Any]]],
    labels: np.ndarray[Any, Any],
    columns: Mapping[Path, parquet_columns.ImageColumn],
) -> Samples:
    parts: list[Part] = []
    names: list[str] = []
    start = 0
    for path, column in values:
        rows = np.flatnonzero(labels[start : start + len(column)] >= 0)
        start += len(column)
        parts.append(Part(path=path, image=columns[path], rows=rows))
        names += _names(root, parts[-1])
    return Samples(
        labels=labels[labels >= 0],
        names=_unique(names, parts, root),
        contents=lambda: (stored for part in parts for stored in _contents(part)),
    )


def _names(root: Path, part: Part) -> list[str]:
    """Return the file names that a file lists for its images, or say the row."""
    paths: list[Any] = []
    if part.image.path is not None:
        paths = [
            (v or {}).get("path") for v in parquet_columns.read_column(part.path, part.image.path)
        ]
    return [
        paths[row] if paths and isinstance(paths[row], str) and paths[row] else name
        for row, name in zip(part.rows, _row_names(root, part), strict=True)
    ]


def _row_names(root: Path, part: Part) -> list[str]:
    file = part.path.relative_to(root).as_posix()
    return [f"{file} row {row}" for row in part.rows]


def _unique(names: Sequence[str], parts: Sequence[Part], root: Path) -> tuple[str, ...]:
    """Name images whose names repeat by their rows."""
    counts = Counter(names)
    by_row = [name for part in parts for name in _row_names(root, part)]
    return tuple(
        name if counts[name] == 1 else row for name, row in zip(names, by_row, strict=True)
    )


def _contents(part: Part) -> Iterator[Stored]:
    start, wanted = 0, set(part.rows.tolist())
    with parquet_columns.opened(part.path) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=[part.image.name]):
            for row, value in enumerate(batch[part.image.name].to_pylist(), start=start):
                if row in wanted:
                    yield _stored(value, part.path.parent)
            start += len(batch)


def _stored(value: Any, folder: Path) -> Stored:
    """Return an image as it is stored; no bytes if there is none, as decoding then says."""
    if isinstance(value, dict):
        content, name = value.get("bytes"), value.get("path")
        if content is None and isinstance(name, str) and name:
            beside = folder / name
            inside = beside.resolve().is_relative_to(folder.resolve())
            return beside if inside else b""
        value = content
    if isinstance(value, list):
        array = np.asarray(value)
        fits = array.dtype.kind in "iu" and array.ndim in (2, 3)
        return array.astype(np.uint8) if fits and 0 <= array.min() <= array.max() < 256 else b""
    return value if isinstance(value, bytes) else b""
