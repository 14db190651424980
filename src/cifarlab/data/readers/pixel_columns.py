"""How a CSV table holds images: which columns are pixels, and how many a side."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.memory.image_arrays import three_colours
from cifarlab.data.readers.split_columns import key, only_divides
from cifarlab.data.readers.table_columns import LABEL_NAMES, named
from cifarlab.errors import InputError
from cifarlab.files import printable

SMALLEST_SIDE = 8
# Enough to know a table by.
SAMPLE_ROWS, SAMPLE_BYTES = 100, 4 * 1024 * 1024
DELIMITERS = ",;\t"
# Names of columns that count pixels: pixel0, pixel_0_0, 1x1, px12, 12.
_PIXEL_NAME = re.compile(r"(?P<stem>[^\W\d_]*)[ _.-]?\d+([x_.-]\d+)?", re.IGNORECASE)
_SURE_NAME = re.compile(r"(pixel|px|p|x|col|column|)[ _.-]?\d+([x_.-]\d+)?", re.IGNORECASE)
# What numbers the rows: pandas' index, which has no name, and the like.
_ROW_NUMBERS = re.compile(r"|unnamed_0|id|index|row|image_id", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a table holds images.

    Attributes:
        names: of all columns; numbers as text if the table has no line of names.
        has_names: whether its first line has them.
        pixels: the columns of pixels in order; a single one holds all, with blanks between them.
        label: the column of classes, if there is one.
        dividing: the columns that may say the split.
        delimiter: what stands between the cells.
        side: height and width.
    """

    names: tuple[str, ...]
    has_names: bool
    pixels: tuple[str, ...]
    label: str | None
    dividing: tuple[str, ...]
    delimiter: str
    side: int


def shape_of(file: Path, options: LoadOptions) -> Shape | None:
    """Return how a table holds images, or ``None`` if it does not.

    Raises:
        InputError: it holds images, and how is not clear.
    """
    rows, delimiter = _first_rows(file)
    columns, has_names = _columns(rows)
    one = next((n for n in columns if key(n) in ("pixels", "image", "pixel_values")), None)
    pixels = (one,) if one is not None else _numbered_alike(tuple(columns))
    count = len(columns[one][-1].split()) if one is not None else len(pixels)
    if count < SMALLEST_SIDE**2 or not _surely_pixels(columns, pixels, alone=one is not None):
        return None
    dividing = tuple(n for n in columns if only_divides(n))
    label, others = _label(columns, pixels, count, dividing, printable(file), options)
    if others:
        return None
    pixels = tuple(n for n in pixels if n != label)
    count = len(pixels) if one is None else count
    if label is not None and count % 3 == 0 and _is_side(count // 3):
        raise InputError(f"{printable(file)}: {count:,} pixels an image: {three_colours(count)}")
    if not _is_side(count):
        return None
    return Shape(
        names=tuple(columns),
        has_names=has_names,
        pixels=pixels,
        label=label,
        dividing=dividing,
        delimiter=delimiter,
        side=math.isqrt(count),
    )


def _columns(rows: Sequence[Sequence[str]]) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Return the columns by name, and whether the first row has the names; none of a bad table."""
    if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return {}, False
    numbered = [str(number) for number in range(len(rows[0]))]
    has_names = rows[0] == numbered or not all(map(_is_number, rows[0]))
    names = rows[0] if has_names else numbered
    if len(set(names)) < len(names):
        return {}, False
    body = rows[1:] if has_names else rows
    return dict(zip(names, zip(*body, strict=True), strict=True)), has_names


def _surely_pixels(
    columns: Mapping[str, Sequence[str]], pixels: Sequence[str], *, alone: bool
) -> bool:
    """Whether columns are pixels, by their names or else by what is in them."""
    sure = alone or all(_SURE_NAME.fullmatch(name.strip()) for name in pixels)
    return sure or _are_pixels(columns[pixels[0]], columns[pixels[-1]])


def _label(
    columns: Mapping[str, Sequence[str]],
    pixels: Sequence[str],
    count: int,
    dividing: Sequence[str],
    shown: str,
    options: LoadOptions,
) -> tuple[str | None, list[str]]:
    """Return the column of classes, and those of which it is not known what they hold.

    Raises:
        InputError: there is none that an option names, or two may be it.
    """
    others = [n for n in columns if n not in pixels and n not in dividing]
    if options.label_column is not None:
        return named(list(columns), options.label_column, shown, "--label-column"), []
    if len(pixels) > 1 and _is_side(count - 1) and not _named_label(others):
        return _first_or_last(columns, pixels, shown), []
    label = _named_label(others) or _only_classes(columns, others)
    return label, [n for n in others if n != label and not _ROW_NUMBERS.fullmatch(key(n))]


def _first_rows(file: Path) -> tuple[list[list[str]], str]:
    """Return the first rows, and what stands between their cells."""
    try:
        with file.open("rb") as opened:
            start = opened.read(SAMPLE_BYTES)
        text = start.decode("utf-8-sig", errors="replace")
        # The last line may be cut off.
        lines = text.splitlines()[: -1 if len(start) == SAMPLE_BYTES else None]
        delimiter = max(DELIMITERS, key=(lines or [""])[0].count)
        reader = csv.reader(lines[:SAMPLE_ROWS], delimiter=delimiter)
        return [row for row in reader if row], delimiter
    except (OSError, csv.Error):
        return [], ","


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _is_side(count: int) -> bool:
    """Whether so many pixels are a square image."""
    side = math.isqrt(max(count, 0))
    return side >= SMALLEST_SIDE and side * side == count


def _numbered_alike(names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns whose names are one word and a number, of the word that most have."""
    stems = {n: m["stem"].casefold() for n in names if (m := _PIXEL_NAME.fullmatch(n.strip()))}
    most = Counter(stems.values()).most_common(1)
    return tuple(name for name, stem in stems.items() if stem == most[0][0])


def _are_pixels(*columns: Sequence[str]) -> bool:
    """Whether the cells are numbers from 0 to 255, alone or in a row."""
    cells = [part for column in columns for cell in column for part in cell.split()[:1]]
    return all(_is_number(cell) and 0 <= float(cell) <= 255 for cell in cells)


def _named_label(names: Sequence[str]) -> str | None:
    return next((n for wanted in LABEL_NAMES for n in names if key(n) == wanted), None)


def _only_classes(columns: Mapping[str, Sequence[str]], names: Sequence[str]) -> str | None:
    """Return the one column whose values repeat as classes do; ``None`` for none or several."""
    able = [n for n in names if not _ROW_NUMBERS.fullmatch(key(n)) and _repeat(columns[n])]
    return able[0] if len(able) == 1 else None


def _repeat(column: Sequence[str]) -> bool:
    return 2 <= len(set(column)) <= max(2, len(column) // 2)


def _first_or_last(
    columns: Mapping[str, Sequence[str]], names: Sequence[str], shown: str
) -> str | None:
    """Return which of the columns without a name of its own holds the classes.

    Raises:
        InputError: the first and the last may.
    """
    # Pixels at the border hardly vary.
    able = [name for name in (names[0], names[-1]) if len(set(columns[name])) > 1]
    counted = [name for name in able if _are_counted(columns[name])]
    if len(able) == 2 and len(counted) != 1:
        raise InputError(
            f"{shown}: the classes may be in the first column or in the last; say which with "
            f"--label-column {names[0]} or {names[-1]}"
        )
    return next(iter(counted or able), None)


def _are_counted(column: Sequence[str]) -> bool:
    """Whether the values are 0, 1, 2 and so on without a gap, or 1, 2, 3; pixels hardly are."""
    values = {float(cell) for cell in column}
    return len(values) > 1 and values in (
        set(range(len(values))),
        set(range(1, len(values) + 1)),
    )
