"""From the cells of a label column to the labels of each image, where a cell may hold several.

A cell is a list of labels, a row of zeros and ones, or text with a mark between the labels.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from typing import Any

from cifarlab.errors import InputError
from cifarlab.files import printable

# Between labels, the likeliest first; a blank only where the values show it.
MARKS = ";|,"
BLANK = " "
# Texts that mean "not known"; "[]" means "none of the classes".
MISSING = frozenset({"", "nan", "n/a", "#n/a", "<na>", "nat", "na"})
# A list of labels is short; longer text in brackets is something else.
LONGEST = 10_000
# Words that stand together in so many ways are labels and not parts of names.
WAYS_A_WORD = 3

# The labels of an image in the order in which they are written; ``None`` where they are not known.
Labels = tuple[Any, ...] | None


def labels_of(values: Sequence[Any], where: str) -> list[Labels]:
    """Return the labels that each cell holds.

    Lists are taken as they are; all of one length and of nothing but 0 and 1 they mark the classes
    by position. Text is divided at ``;``, else ``|``, else ``,``, whichever occurs; at blanks where
    the words between them are labels on their own.

    Args:
        values: the cells.
        where: the name of the column in messages.

    Raises:
        InputError: a list holds more than plain values.

    Example:
        >>> labels_of(["cat;dog", "dog", ""], "labels")
        [('cat', 'dog'), ('dog',), None]
        >>> labels_of([["cat"], []], "labels")
        [('cat',), ()]
        >>> labels_of([[0, 1, 1], [0, 0, 0]], "labels")
        [(1, 2), ()]
    """
    if are_lists(values):
        cells = [_of_list(_read(value), where) for value in values]
    else:
        mark = mark_in(values)
        cells = [_of_text(value, mark) for value in values]
    if _are_marked(cells):
        return [
            None if c is None else tuple(i for i, v in enumerate(c) if _is(v, 1)) for c in cells
        ]
    return cells


def are_lists(values: Sequence[Any]) -> bool:
    """Whether cells are lists, or all texts are lists as Python, JSON or NumPy write them."""
    if any(isinstance(value, list | tuple) for value in values):
        return True
    texts = [v.strip() for v in values if isinstance(v, str) and not _is_missing(v)]
    return bool(texts) and all(t.startswith("[") and t.endswith("]") for t in texts)


def mark_in(values: Sequence[Any]) -> str | None:
    """Return the mark between labels in cells that are known to hold several; often ``None``."""
    distinct = _distinct(values)
    present = (mark for mark in MARKS if any(mark in value for value in distinct))
    return next(present, BLANK if _blanks_divide(distinct) else None)


def hold_several(values: Sequence[Any]) -> bool:
    """Whether the cells themselves show that they hold several labels.

    Of cells with a mark, what it divides occurs on its own, or here in front of a mark and there
    behind one; class names such as ``"Pneumonia, viral"`` show neither.

    Example:
        >>> hold_several(["cat", "cat|dog"]), hold_several(["Pneumonia, viral", "none"])
        (True, False)
    """
    if are_lists(values):
        return any(len(set(cell or ())) > 1 for cell in labels_of(values, "labels"))
    distinct = _distinct(values)
    return any(_divides(mark, distinct) for mark in MARKS) or _blanks_divide(distinct)


def _distinct(values: Sequence[Any]) -> list[str]:
    texts = dict.fromkeys(" ".join(v.split()) for v in values if isinstance(v, str))
    return [text for text in texts if not _is_missing(text)]


def _divides(mark: str, distinct: Sequence[str]) -> bool:
    divided = {value: [part.strip() for part in value.split(mark)] for value in distinct}
    lists = [parts for value, parts in divided.items() if mark in value]
    alone = [any(part in divided for part in parts) for parts in lists]
    if lists and 2 * sum(alone) > len(lists):
        return True
    places = {(part, place) for parts in lists for place, part in enumerate(parts)}
    parts = {part for part, _ in places}
    return len(parts) < len(places) and len(parts) <= len(distinct)


def _blanks_divide(distinct: Sequence[str]) -> bool:
    """Whether blanks stand between labels; most often they are part of a class name."""
    lists = [value.split() for value in distinct if BLANK in value]
    if not lists:
        return False
    words = {word for parts in lists for word in parts}
    known = set(distinct)
    alone = [all(word in known for word in parts) for parts in lists]
    numbers = all(word.isdecimal() for word in words)
    varied = len({len(parts) for parts in lists}) > 1 and WAYS_A_WORD * len(words) <= len(distinct)
    return 2 * sum(alone) >= len(lists) or numbers or varied


def _read(value: Any) -> Any:
    """Return the list that a text spells, or what is no such text as it is."""
    if not isinstance(value, str) or not value.strip().startswith("[") or len(value) > LONGEST:
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    # Without quotes, or without commas, as NumPy writes it.
    inside = value.strip()[1:-1]
    return [part.strip(" '\"") for part in (inside.split(",") if "," in inside else inside.split())]


def _of_list(value: Any, where: str) -> Labels:
    if _is_missing(value):
        return None
    parts = value if isinstance(value, list | tuple) else [value]
    nested = [part for part in parts if isinstance(part, list | tuple | dict | set)]
    if nested:
        raise InputError(
            f"{where}: a list holds {printable(str(nested[0])[:60])}; list the names of the classes"
        )
    return tuple(part for part in parts if not _is_missing(part))


def _of_text(value: Any, mark: str | None) -> Labels:
    if _is_missing(value):
        return None
    if not isinstance(value, str) or mark is None:
        return (value,)
    parts = value.split() if mark == BLANK else value.split(mark)
    return tuple(part.strip() for part in parts if not _is_missing(part))


def _are_marked(cells: Sequence[Labels]) -> bool:
    """Whether every cell is a row of zeros and ones for the same classes."""
    rows = [cell for cell in cells if cell is not None]
    if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return False
    return all(_is(v, 0) or _is(v, 1) for row in rows for v in row)


def _is(value: Any, number: int) -> bool:
    return value == number or (isinstance(value, str) and value in (f"{number}", f"{number}.0"))


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().casefold() in MISSING
    return value is None or (isinstance(value, float) and math.isnan(value))
