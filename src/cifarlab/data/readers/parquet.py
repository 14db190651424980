"""Understand Parquet files with a column of images, in Hugging Face's schemas and the like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.memory.image_arrays import UnsuitableError, find_axes
from cifarlab.data.readers import parquet_columns
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.data.readers.label_values import AsClasses, as_classes
from cifarlab.data.readers.labelling import are_of_files, some
from cifarlab.data.readers.parquet_files import (
    KINDS,
    ParquetFiles,
    by_split,
    count_images,
    find_files,
)
from cifarlab.data.readers.split_columns import Division, divide_rows, may_divide
from cifarlab.data.readers.split_names import TRAIN
from cifarlab.data.samples import Found, Rejected, Samples, Stored
from cifarlab.files import printable

# Returns the labels in a column of a file, by name where it or the names given tell.
LabelValues = Callable[[Path, str, tuple[str, ...]], list[Any]]
# Rows in memory at a time, each with the bytes of an image.
BATCH_ROWS = 128


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file of a split: where its images are, and which of its rows have labels."""

    path: Path
    image: parquet_columns.ImageColumn
    rows: np.ndarray[Any, Any]


def find(
    path: Path,
    options: LoadOptions,
    label_values: LabelValues = parquet_columns.label_values,
    classes: AsClasses = as_classes,
) -> Found | Rejected:
    """Return the images in Parquet files, or why there are none.

    The images are bytes, structures of ``bytes`` and ``path``, or nested lists of numbers. Class
    names come from the Hugging Face metadata of each file, else from the labels. One file is
    training data whatever its name; of several, names and folders tell the splits.

    Args:
        path: a file, or a folder of them.
        options: which columns.
        label_values: what reads the labels of a file.
        classes: what makes classes of them.

    Raises:
        InputError: a file is damaged, shards are missing, several datasets or columns are as
            likely, or the labels are no classes.
    """
    if are_of_files(options):
        return Rejected(reason="")
    present = [path] if path.is_file() and kind_of(path) in KINDS else []
    if path.is_dir():
        present = find_files(path)
    found = {file: parquet_columns.image_column(file, options) for file in present}
    columns = {file: column for file, column in found.items() if column is not None}
    if not columns:
        names = [file.name for file in present]
        return Rejected(reason=f"no column of {some(names)} holds images" if names else "")
    root = path if path.is_dir() else path.parent
    files = (
        by_split(root, list(columns), measuring=options.measures)
        if path.is_dir()
        else ParquetFiles(splits={TRAIN: (path,)})
    )
    tables = [f for f in present if f not in columns]
    return _found(path, root, files, options, columns, tables, label_values, classes)


def holds_images(path: Path, options: LoadOptions) -> bool:
    """Whether a Parquet file has a column of images."""
    return kind_of(path) in KINDS and parquet_columns.image_column(path, options) is not None


def _found(
    path: Path,
    root: Path,
    files: ParquetFiles,
    options: LoadOptions,
    columns: Mapping[Path, parquet_columns.ImageColumn],
    tables: Sequence[Path],
    label_values: LabelValues,
    as_classes: AsClasses,
) -> Found:
    first = files.splits[TRAIN][0]
    image = columns[first]
    label = parquet_columns.label_column(first, image.name, options)
    declared = parquet_columns.declared_names(first, label)
    values, notes = _values(path, files, label, declared, label_values)
    classes = as_classes(
        {split: [v for rows in parts for v in rows.labels] for split, parts in values.items()},
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


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one file that are in one split, and their labels as they are written."""

    path: Path
    numbers: tuple[int, ...]
    labels: tuple[Any, ...]


def _values(
    path: Path,
    files: ParquetFiles,
    label: str,
    declared: tuple[str, ...],
    label_values: LabelValues,
) -> tuple[dict[str, list[Rows]], list[str]]:
    """Read the labels; a split whose files have none is left out, with a note."""
    with_labels: list[tuple[str, Path]] = []
    notes = []
    for split, paths in files.splits.items():
        if split != TRAIN and not any(parquet_columns.has_column(p, label) for p in paths):
            notes.append(f"{split}: has no column {label!r}, so its images are left out")
            continue
        with_labels += [(split, file) for file in paths]
    labels = {file: label_values(file, label, declared) for _, file in with_labels}
    division = _division(path, {file: len(column) for file, column in labels.items()}, label)
    said = iter(division.splits)
    values: dict[str, list[Rows]] = {}
    for file_split, file in with_labels:
        of_file = [next(said) if division.columns else file_split for _ in labels[file]]
        for each in dict.fromkeys(of_file):
            if each is not None:
                rows = [(n, v) for n, v in enumerate(labels[file]) if of_file[n] == each]
                values.setdefault(each, []).append(_rows(file, rows))
    notes += [f"splits in column {some(division.columns)!r}"] if division.columns else []
    undecided = division.splits.count(None) if division.columns else 0
    notes += [f"left out {undecided:,} rows without a split"] if undecided else []
    return values, [*notes, *division.notes]


def _rows(file: Path, rows: Sequence[tuple[int, Any]]) -> Rows:
    return Rows(path=file, numbers=tuple(n for n, _ in rows), labels=tuple(v for _, v in rows))


def _division(path: Path, counts: Mapping[Path, int], label: str) -> Division:
    """Return which split each row of all files is of, by their columns."""
    names = parquet_columns.plain_columns(next(iter(counts)))
    columns: dict[str, list[Any]] = {}
    for name in names:
        if name != label and may_divide(name):
            columns[name] = [
                value
                for file, count in counts.items()
                for value in (
                    parquet_columns.label_values(file, name, ())
                    if parquet_columns.has_column(file, name)
                    else [None] * count
                )
            ]
    return divide_rows(columns, sum(counts.values()), printable(path))


def _samples(
    root: Path,
    values: Sequence[Rows],
    labels: np.ndarray[Any, Any],
    columns: Mapping[Path, parquet_columns.ImageColumn],
) -> Samples:
    parts: list[Part] = []
    names: list[str] = []
    start = 0
    for rows in values:
        known = labels[start : start + len(rows.numbers)] >= 0
        start += len(rows.numbers)
        numbers = np.array(rows.numbers, dtype=np.int64)[known]
        parts.append(Part(path=rows.path, image=columns[rows.path], rows=numbers))
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
        return _of_numbers(value)
    return value if isinstance(value, bytes) else b""


def _of_numbers(value: list[Any]) -> Stored:
    """Return the pixels in nested lists, with the colours last; no bytes if they are none."""
    try:
        array = np.asarray(value)
        axes = find_axes((1, *array.shape), "image")
    except (UnsuitableError, ValueError):
        return b""
    whole = array.dtype.kind in "iu" and axes.order != "flat"
    if not whole or array.min() < 0 or array.max() > 255:
        return b""
    image: np.ndarray[Any, Any] = axes.arrange(array[None].astype(np.uint8))[0]
    return image[..., 0] if image.shape[-1] == 1 else image
