"""How a CSV table holds images: which columns are pixels, and how many a side."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.table_columns import LABEL_NAMES, SPLIT_NAMES, key, named
from cifarlab.files import printable

SMALLEST_SIDE = 8
# Enough to know a table by.
SAMPLE_ROWS, SAMPLE_BYTES = 100, 4 * 1024 * 1024
# Names of columns that count pixels: pixel0, pixel_0_0, 1x1, px12, 12.
_PIXEL_NAME = re.compile(r"(pixel|px|p|x|col|column|)[ _.-]?\d+([x_.-]\d+)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How a table holds images.

    Attributes:
        names: of all columns; numbers as text if the table has no line of names.
        has_names: whether its first line has them.
        pixels: the columns of pixels in order; a single one holds all, with blanks between them.
        label, split: the columns of classes and splits, if there are any.
        side: height and width.
    """

    names: tuple[str, ...]
    has_names: bool
    pixels: tuple[str, ...]
    label: str | None
    split: str | None
    side: int


def shape_of(file: Path, options: LoadOptions) -> Shape | None:
    """Return how a table holds images, or ``None`` if it does not."""
    rows = _first_rows(file)
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        return None
    has_names = not all(map(_is_number, rows[0]))
    names = tuple(rows[0]) if has_names else tuple(map(str, range(len(rows[0]))))
    if len(set(names)) < len(names):
        return None
    if options.label_column is not None:
        label: str | None = named(names, options.label_column, printable(file), "--label-column")
    elif has_names:
        label = next((n for wanted in LABEL_NAMES for n in names if key(n) == wanted), None)
    else:
        label = _label_without_name(names, rows)
    split = next((n for n in names if key(n) in SPLIT_NAMES), None)
    one = next((n for n in names if key(n) in ("pixels", "image", "pixel_values")), None)
    if one is not None:
        pixels: tuple[str, ...] = (one,)
        count = len(rows[-1][names.index(one)].split())
    else:
        pixels = tuple(n for n in names if n not in (label, split))
        if has_names and not all(map(_PIXEL_NAME.fullmatch, pixels)):
            return None
        count = len(pixels)
    side = math.isqrt(count)
    if side < SMALLEST_SIDE or side * side != count:
        return None
    return Shape(
        names=names, has_names=has_names, pixels=pixels, label=label, split=split, side=side
    )


def delimiter_of(file: Path) -> str:
    """Return what stands between the cells of a table of pixels."""
    return "\t" if file.suffix.lower() == ".tsv" else ","


def _first_rows(file: Path) -> list[list[str]]:
    try:
        with file.open("rb") as opened:
            start = opened.read(SAMPLE_BYTES)
        text = start.decode("utf-8-sig", errors="replace")
        # The last line may be cut off.
        lines = text.splitlines()[: -1 if len(start) == SAMPLE_BYTES else None]
        reader = csv.reader(lines[:SAMPLE_ROWS], delimiter=delimiter_of(file))
        return [row for row in reader if row]
    except (OSError, csv.Error):
        return []


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _label_without_name(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Return the first or the last column: pixels at the border hardly vary, classes do."""
    if math.isqrt(len(names)) ** 2 == len(names):
        return None
    first, last = ({row[i] for row in rows} for i in (0, -1))
    if len(first) > 1 and len(last) > 1:
        return None
    return names[0] if len(first) > 1 else names[-1]
