"""Cells that list boxes of objects, ``n01440764 13 18 465 374``: the classes that they name.

References:
    ImageNet's ``LOC_train_solution.csv`` has a class and four numbers for each box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cifarlab.data.readers.annotations import CONVERT
from cifarlab.data.readers.table_files import Table
from cifarlab.errors import InputError

# Left, top, width or right, height or bottom; some add how sure they are.
NUMBERS_OF_A_BOX = (4, 5)


@dataclass(frozen=True, kw_only=True)
class BoxColumns:
    """A table with one class in each cell where boxes were, and all classes of those cells."""

    table: Table
    classes: Mapping[str, Sequence[tuple[str, ...]]]

    def check_label(self, column: str, where: str) -> None:
        """Raise ``InputError`` where ``column`` is to tell the classes and cannot.

        Its cells name several classes, or list boxes with numbers only.
        """
        several = next((c for c in self.classes.get(column, ()) if len(c) > 1), None)
        if several:
            raise InputError(
                f"{where}: boxes of {several[0]!r} and {several[1]!r} in one image; images with "
                f"several classes are not supported; {CONVERT}"
            )
        values = [v for v in self.table.columns[column] if v not in (None, "")]
        if values and all(map(_are_numbers_of_boxes, values)):
            raise InputError(
                f"{where}: holds boxes of objects such as {values[0][:60]!r}, which are not "
                f"classes of images; {CONVERT}"
            )


def one_class_a_cell(table: Table) -> BoxColumns:
    """Return ``table`` with the first class of each cell, in columns where all cells list boxes.

    Example:
        >>> table = Table(columns={"id": ["a"], "boxes": ["cat 1 2 3 4 cat 5 6 7 8"]})
        >>> one_class_a_cell(table).table.columns
        {'id': ['a'], 'boxes': ['cat']}
    """
    classes = {
        name: found for name, column in table.columns.items() if (found := _in_column(column))
    }
    plain = {name: [c[0] if c else None for c in found] for name, found in classes.items()}
    columns = {name: plain.get(name, column) for name, column in table.columns.items()}
    return BoxColumns(table=replace(table, columns=columns), classes=classes)


def _in_column(column: Sequence[Any]) -> list[tuple[str, ...]]:
    """Return the classes in each cell, none for an empty one; nothing where one is no boxes."""
    found: list[tuple[str, ...]] = []
    for cell in column:
        classes = () if cell in (None, "") else _in_cell(cell)
        if classes is None:
            return []
        found.append(classes)
    return found if any(found) else []


def _in_cell(cell: Any) -> tuple[str, ...] | None:
    if not isinstance(cell, str):
        return None
    numbers_after: list[tuple[str, int]] = []
    for part in cell.split():
        if not _is_number(part):
            numbers_after.append((part, 0))
        elif numbers_after:
            word, count = numbers_after[-1]
            numbers_after[-1] = word, count + 1
        else:
            return None
    if not all(count in NUMBERS_OF_A_BOX for _, count in numbers_after):
        return None
    return tuple(dict.fromkeys(word for word, _ in numbers_after))


def _are_numbers_of_boxes(value: Any) -> bool:
    """Whether a cell is numbers only, a class or a share and four more for each box."""
    parts = value.split() if isinstance(value, str) else []
    boxes = len(parts) > 1 and any(len(parts) % (n + 1) == 0 for n in NUMBERS_OF_A_BOX)
    return boxes and all(map(_is_number, parts))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
