"""Which columns of a table name the images, the classes and the splits; guessed where clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.image_index import ImageIndex
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.split_columns import (
    Division,
    divide_rows,
    key,
    may_divide,
    only_divides,
)
from cifarlab.data.readers.table_files import Table
from cifarlab.data.readers.what_is_read import SUFFIXES
from cifarlab.errors import InputError
from cifarlab.files import printable

IMAGE_NAMES = (
    "file_name", "filename", "file", "image_file", "file_path", "filepath", "filepaths",
    "image_path", "path", "image", "img", "image_name", "image_id", "img_id", "id", "name",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "classes", "target", "category", "fine_label", "class_name",
    "classname", "class_label", "label_name", "category_name", "class_id", "category_id",
    "label_id", "species", "breed", "diagnosis", "emotion",
)  # fmt: skip
# Words of other columns that may be the classes, and of those that hardly are.
LABEL_WORDS = frozenset({"label", "labels", "class", "category", "target", "species", "diagnosis"})
OTHER_WORDS = frozenset(
    {"id", "index", "number", "width", "height", "size", "x", "y", "x1", "y1", "x2", "y2", "age"}
    | {"sex", "gender", "date", "time", "year", "month", "fold", "author", "license", "source"}
)
# What marks the class of a row in one-hot columns, in small letters.
ONES = ("1", "1.0", "true")
# Enough to know a column by.
SAMPLE = 200


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Columns of one table by name; ``one_hot`` has those that stand for a class each."""

    image: str
    label: str | None
    division: Division
    one_hot: tuple[str, ...] = ()


def named(columns: Sequence[str], wanted: str, shown: str, option: str) -> str:
    """Return the column called ``wanted``, in any case.

    Raises:
        InputError: there is none.
    """
    same = [c for c in columns if c == wanted] or [c for c in columns if key(c) == key(wanted)]
    if len(same) == 1:
        return same[0]
    raise InputError(f"{shown}: has no column {wanted!r} ({option}); it has {some(list(columns))}")


def choose(
    table: Table, index: ImageIndex, folder: PurePath, shown: str, options: LoadOptions
) -> Columns | None:
    """Return the columns of a table beside image files; ``None`` if no column names images.

    Where the options do not name the table, one without a column that they name is another one.

    Raises:
        InputError: an option names no column, several columns are as likely, or a column names
            images that are not there.
    """
    names = list(table.columns)
    wanted = [c for c in (options.image_column, options.label_column) if c is not None]
    if options.labels is None and not {key(c) for c in wanted} <= {key(n) for n in names}:
        return None
    if options.image_column is not None:
        image = named(names, options.image_column, shown, "--image-column")
    elif (guess := image_column(table, index, folder, shown)) is not None:
        image = guess
    else:
        _refuse_missing_images(table, index, shown)
        return None
    rest = [name for name in names if name != image]
    label = None
    if options.label_column is not None:
        label = named(names, options.label_column, shown, "--label-column")
    division = divide_rows(
        {n: table.columns[n] for n in rest if n != label and may_divide(n)}, len(table), shown
    )
    rest = [
        n
        for n in rest
        if n not in division.columns
        and not only_divides(n)
        and not _same_images(table, image, n, index, folder)
    ]
    one_hot = _one_hot(table, rest) if label is None else ()
    if label is None and not one_hot:
        label = label_column(table.columns, rest, shown)
    return Columns(image=image, label=label, division=division, one_hot=one_hot)


def label_column(
    columns: Mapping[str, Sequence[Any]], rest: Sequence[str], shown: str
) -> str | None:
    """Return the column of classes among ``rest``; ``None`` if none can be.

    Raises:
        InputError: several are as likely.
    """
    rest = [n for n in rest if not only_divides(n)]
    by_name = [n for wanted in LABEL_NAMES for n in rest if key(n) == wanted]
    by_name = by_name or [n for n in rest if LABEL_WORDS & set(key(n).split("_"))]
    # A column without any value says nothing.
    by_name = [n for n in by_name if any(v not in (None, "") for v in columns[n])]
    if by_name:
        if all(one_to_one(columns[by_name[0]], columns[n]) for n in by_name[1:]):
            # Words say more than numbers for the same classes.
            return next((n for n in by_name if _are_words(columns[n])), by_name[0])
        likely = by_name
    else:
        others = [n for n in rest if key(n).split("_")[-1] not in OTHER_WORDS]
        likely = [n for n in others if _is_categorical(columns[n], most=0.5)]
        if len(likely) == 1:
            return likely[0]
        if not likely and len(rest) == 1 and _is_categorical(columns[rest[0]], most=0.99):
            return rest[0]
    if not likely:
        return None
    raise InputError(
        f"{shown}: the classes may be in column {some(likely)}; say which with --label-column "
        "(--labels names the table)"
    )


# Images


def image_column(table: Table, index: ImageIndex, folder: PurePath, shown: str) -> str | None:
    found: dict[str, set[PurePath]] = {}
    for name, column in table.columns.items():
        if key(name) in LABEL_NAMES:
            continue
        cells = _sample(column)
        images = [index.candidates(cell, folder) for cell in cells]
        hits = [paths[0] for paths in images if paths]
        # Numbers of classes may name files too, but the same few again and again.
        if hits and 2 * len(hits) >= len(cells) and 3 * len(set(hits)) >= len(hits):
            found[name] = set(hits)
    if not found:
        return None
    most = max(len(images) for images in found.values())
    best = {name: images for name, images in found.items() if 2 * len(images) > most}
    ordered = [n for wanted in IMAGE_NAMES for n in best if key(n) == wanted]
    first = ordered[0] if ordered else next(iter(best))
    others = [n for n in best if not best[n] <= best[first] and (n in ordered or not ordered)]
    if others:
        raise InputError(
            f"{shown}: the images may be in column {some([first, *others])}; say which with "
            "--image-column"
        )
    return first


def _refuse_missing_images(table: Table, index: ImageIndex, shown: str) -> None:
    for name, column in table.columns.items():
        cells = [str(cell) for cell in _sample(column)]
        files = [cell for cell in cells if PurePath(cell).suffix.lower() in SUFFIXES]
        if files and 2 * len(files) >= len(cells):
            raise InputError(
                f"{shown}: column {name!r} names images such as {printable(files[0])!r}, and half "
                f"of them or more are not in {printable(index.root)}; give the folder that they "
                "are in, or correct the names"
            )


def _same_images(table: Table, image: str, other: str, index: ImageIndex, folder: PurePath) -> bool:
    """Whether ``other`` only names the images once more, so that it cannot be the classes."""
    if key(other) not in IMAGE_NAMES:
        return False
    pairs = list(zip(_sample(table.columns[image]), _sample(table.columns[other]), strict=False))
    return bool(pairs) and all(
        index.candidates(a, folder)[:1] == index.candidates(b, folder)[:1] != [] for a, b in pairs
    )


def _sample(column: Sequence[Any]) -> list[Any]:
    """Return values spread over a column that may name a file."""
    step = max(1, len(column) // SAMPLE)
    return [v for v in column[::step] if isinstance(v, str | int) and str(v).strip()]


# Classes and splits


def _one_hot(table: Table, rest: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that hold nothing but 0 and 1, if no column is called a label."""
    if any(key(n) in LABEL_NAMES for n in rest):
        return ()
    binary = tuple(n for n in rest if _is_binary(table.columns[n]))
    return binary if len(binary) > 1 else ()


def _is_binary(column: Sequence[Any]) -> bool:
    return bool(column) and {str(v).casefold() for v in column} <= {"0", "0.0", "false", *ONES}


def _are_words(column: Sequence[Any]) -> bool:
    return any(isinstance(v, str) and not v.replace(".", "").lstrip("-").isdigit() for v in column)


def one_to_one(one: Sequence[Any], other: Sequence[Any]) -> bool:
    if any(isinstance(v, list | dict) for v in (*one[:1], *other[:1])):
        return False
    pairs = set(zip(map(str, one), map(str, other), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _is_categorical(column: Sequence[Any], *, most: float) -> bool:
    """Whether values repeat, as classes do, and are no measurements.

    Args:
        most: how many different values there may be for each value.
    """
    values = [v for v in column if v not in (None, "")]
    if any(isinstance(v, list | dict) or _has_fraction(v) for v in values):
        return False
    return 2 <= len(set(values)) <= max(2, most * len(values))


def _has_fraction(value: Any) -> bool:
    try:
        return not float(value).is_integer()
    except (TypeError, ValueError, OverflowError):
        return False
