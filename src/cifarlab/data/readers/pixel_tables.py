"""Understand CSV tables whose cells are pixels: Kaggle's digits, Fashion-MNIST, FER-2013."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.label_values import AsClasses, as_classes
from cifarlab.data.readers.labelling import are_of_files, some
from cifarlab.data.readers.pixel_columns import Shape, shape_of
from cifarlab.data.readers.split_columns import Division, divide_rows
from cifarlab.data.readers.split_names import TRAIN, splits_of
from cifarlab.data.samples import Found, Rejected, Samples
from cifarlab.errors import InputError
from cifarlab.files import printable

MAX_TABLES = 50
BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Content:
    """The labels and splits of a table's rows, and its largest pixel."""

    path: Path
    shape: Shape
    labels: tuple[Any, ...]
    splits: tuple[str | None, ...]
    highest: float
    notes: tuple[str, ...]


def find(path: Path, options: LoadOptions, classes: AsClasses = as_classes) -> Found | Rejected:
    """Return the images in a CSV file, or in the CSV files of a folder, or why there are none.

    Images are square and grey. Of several files the names tell the splits; a column such as
    ``Usage`` tells them too.

    Raises:
        InputError: cells are no pixels, the sides differ, or the labels are no classes.
    """
    if are_of_files(options):
        return Rejected(reason="")
    files = [path] if path.is_file() else sorted(path.glob("*.csv")) if path.is_dir() else []
    files = [f for f in files if f.suffix.lower() in (".csv", ".tsv") and _is_wanted(f)][
        :MAX_TABLES
    ]
    shapes = {file: shape for file in files if (shape := shape_of(file, options)) is not None}
    if not any(shape.label for shape in shapes.values()):
        reason = f"{some([f.name for f in shapes])}: pixels without a column of labels"
        return Rejected(reason=reason if shapes else "")
    sides = {shape.side for shape in shapes.values()}
    if len(sides) > 1:
        raise InputError(
            f"{printable(path)}: tables of images of different sizes "
            f"({some([f.name for f in shapes])}); give one of them"
        )
    unlabelled = [file.name for file, shape in shapes.items() if shape.label is None]
    notes = [f"left out {some(unlabelled)}, without labels"] if unlabelled else []
    labelled = {file: shape for file, shape in shapes.items() if shape.label is not None}
    by_split, more = _split_files(path, list(labelled))
    contents = [_read(file, labelled[file], split) for file, split in by_split.items()]
    side, fewest = sides.pop(), options.fewest_classes
    return _found(path, contents, [*notes, *more], side, fewest, classes)


def holds_images(file: Path, options: LoadOptions) -> bool:
    """Whether the columns of a CSV file are pixels."""
    return file.suffix.lower() in (".csv", ".tsv") and shape_of(file, options) is not None


def _is_wanted(file: Path) -> bool:
    return "submission" not in file.stem.casefold()


def _split_files(path: Path, files: Sequence[Path]) -> tuple[dict[Path, str], list[str]]:
    if len(files) == 1:
        return {files[0]: TRAIN}, []
    spoken = splits_of([file.stem for file in files])
    if TRAIN not in spoken.values() or len(set(spoken.values())) < len(spoken):
        raise InputError(
            f"{printable(path)}: holds the tables {some([f.name for f in files])}; give one, or "
            "call one train and one test"
        )
    silent = [file.name for file in files if file.stem not in spoken]
    notes = [f"left out {some(silent)}: other tables are called train"] if silent else []
    return {file: spoken[file.stem] for file in files if file.stem in spoken}, notes


# The rows


def _read(file: Path, shape: Shape, split: str) -> Content:
    """Read the labels and check every pixel."""
    labels: list[Any] = []
    dividing: dict[str, list[Any]] = {name: [] for name in shape.dividing}
    highest = 0.0
    for number, batch in enumerate(_batches(file, shape)):
        pixels = _pixels(batch, shape, file)
        if (
            not np.isfinite(pixels).all()
            or pixels.min(initial=0) < 0
            or pixels.max(initial=0) > 255
        ):
            raise InputError(
                f"{printable(file)}: cells of pixels are empty or not from 0 to 255 (in part "
                f"{number + 1}); correct them"
            )
        highest = max(highest, float(pixels.max(initial=0)))
        labels += batch.column(shape.label).to_pylist()
        for name, column in dividing.items():
            column += batch.column(name).to_pylist()
    division = divide_rows(dividing, len(labels), printable(file))
    return Content(
        path=file,
        shape=shape,
        labels=tuple(labels),
        splits=division.splits if division.columns else (split,) * len(labels),
        highest=highest,
        notes=_said(division),
    )


def _said(division: Division) -> tuple[str, ...]:
    if not division.columns:
        return division.notes
    undecided = division.splits.count(None)
    left_out = [f"left out {undecided:,} rows without a split"] if undecided else []
    return (f"splits in column {some(division.columns)!r}", *left_out, *division.notes)


def _batches(file: Path, shape: Shape) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    number = pa.string() if len(shape.pixels) == 1 else pa.float32()
    types = dict.fromkeys(shape.pixels, number)
    types |= {name: pa.string() for name in (shape.label, *shape.dividing) if name is not None}
    with _one_line(file):
        reader = arrow_csv.open_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                block_size=BLOCK_BYTES,
                column_names=list(shape.names),
                skip_rows=1 if shape.has_names else 0,
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=shape.delimiter),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types, include_columns=list(types), strings_can_be_null=True
            ),
        )
        with reader:
            yield from reader


@contextmanager
def _one_line(file: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{printable(file)}: a damaged table ({reason}); save it again") from None


def _pixels(batch: Any, shape: Shape, file: Path) -> np.ndarray[Any, Any]:
    """Return float32 ``[rows, side, side]``."""
    if len(shape.pixels) > 1:
        columns = [batch.column(n).to_numpy(zero_copy_only=False) for n in shape.pixels]
        flat = np.stack(columns, axis=1)
    else:
        cells = batch.column(shape.pixels[0]).to_pylist()
        wanted = shape.side**2
        parts = [(cell or "").split() for cell in cells]
        if bad := next((len(p) for p in parts if len(p) != wanted), None):
            raise InputError(
                f"{printable(file)}: an image has {bad} pixels and the first {wanted}; correct it"
            )
        with _one_line(file):
            flat = np.array(parts, dtype=np.float32)
    return flat.reshape(len(batch), shape.side, shape.side)


def _found(
    path: Path,
    contents: Sequence[Content],
    notes: list[str],
    side: int,
    fewest: int,
    as_classes: AsClasses,
) -> Found:
    shape = contents[0].shape
    rows = [
        (split, label, content.path, row)
        for content in contents
        for row, (split, label) in enumerate(zip(content.splits, content.labels, strict=True))
        if split is not None
    ]
    notes += [note for content in contents for note in content.notes]
    values: dict[str, list[Any]] = {}
    for split, label, _, _ in rows:
        values.setdefault(split, []).append(label)
    if TRAIN not in values:
        raise InputError(f"{printable(path)}: holds no training images; add them")
    classes = as_classes(values, where=f"{printable(path)} column {shape.label!r}", fewest=fewest)
    highest = max(content.highest for content in contents)
    scale = next((255 / top for top in (1, 16) if highest <= top), 1.0)
    if scale != 1.0:
        notes.append(f"pixels from 0 to {255 / scale:g} are scaled to 0 to 255")
    notes.append(f"images of {side}x{side} grey pixels, classes in column {shape.label!r}")
    splits = {
        split: _samples(split, contents, rows, labels, scale)
        for split, labels in classes.labels.items()
    }
    return Found(
        what="a table of pixels",
        name=path.stem if path.is_file() else path.resolve().name,
        source=str(path.absolute()),
        class_names=classes.names,
        splits=splits,
        files=tuple(content.path for content in contents),
        notes=(*notes, *classes.notes),
        options={"label_column": shape.label},
    )


def _samples(
    split: str,
    contents: Sequence[Content],
    rows: Sequence[tuple[str, Any, Path, int]],
    labels: np.ndarray[Any, Any],
    scale: float,
) -> Samples:
    of_split = [(file, row) for name, _, file, row in rows if name == split]
    kept = [place for place, n in zip(of_split, labels, strict=True) if n >= 0]

    def images() -> Iterator[np.ndarray[Any, Any]]:
        for content in contents:
            wanted = {row for file, row in kept if file == content.path}
            start = 0
            for batch in _batches(content.path, content.shape) if wanted else ():
                pixels = np.rint(_pixels(batch, content.shape, content.path) * scale)
                for row, image in enumerate(pixels.astype(np.uint8), start=start):
                    if row in wanted:
                        yield image
                start += len(batch)

    return Samples(
        labels=labels[labels >= 0],
        names=tuple(f"{file.name} row {row}" for file, row in kept),
        contents=images,
    )
