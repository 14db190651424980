"""Columns of a table that say which split a row is of: ``split``, ``Usage``, ``is_test``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.split_names import TEST, TRAIN, WORDS, splits_of
from cifarlab.errors import InputError

# Columns of these names exist to divide; those of the others may mean something else.
SURE_NAMES = ("split", "subset", "partition", "usage", "data_split", "split_name")
OTHER_NAMES = ("set", "data_set", "dataset", "phase", "fold")
# One such column may be a class of its own; several that exclude each other are splits.
PLAIN_FLAGS = ("train", "val", "valid", "validation", "test")
_FLAG = re.compile(r"(?:is|in|for)_?(?:the_)?([a-z]+?)(?:_(?:set|split|image|img|data|sample))?")
# Of rows that are in no split.
NOWHERE = frozenset({"unlabeled", "unlabelled", "unused", "none"})
_TRUE = frozenset({"1", "1.0", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "0.0", "false", "f", "no", "n", ""})


@dataclass(frozen=True, kw_only=True)
class Division:
    """Which split each row is of.

    Attributes:
        columns: those that say it; none where no column does.
        splits: one for each row; ``None`` where a row says nothing.
        notes: one line for each column that might be meant to divide the rows and does not.
    """

    columns: tuple[str, ...]
    splits: tuple[str | None, ...]
    notes: tuple[str, ...] = ()


def key(name: str) -> str:
    """Return what the usual spellings of one column have in common.

    Example:
        >>> {key(name) for name in ("Class Name", "class_name", "className")}
        {'class_name'}
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return "_".join(re.findall(r"[^\W_]+", words.casefold()))


def may_divide(name: str) -> bool:
    """Whether a column of that name may say which split a row is of.

    Example:
        >>> [may_divide(name) for name in ("Split", "isTest", "is_training_image", "isbn", "test")]
        [True, True, True, False, True]
    """
    plain = key(name)
    return plain in (*SURE_NAMES, *OTHER_NAMES, *PLAIN_FLAGS) or _flagged(name) is not None


def only_divides(name: str) -> bool:
    """Whether a column of that name may divide the rows and is hardly the classes."""
    return may_divide(name) and key(name) not in PLAIN_FLAGS


def divide_rows(columns: Mapping[str, Sequence[Any]], count: int, shown: str) -> Division:
    """Return which split each row is of.

    Words are read as the names of folders are: ``train``, ``Training``, ``val``, ``PublicTest``.
    Of flags such as ``is_test``, rows that none of them marks are for training, or for testing
    where ``is_train`` is the only one.

    Args:
        columns: those of which ``may_divide`` holds; others are not looked at.
        count: the number of rows.
        shown: the name of the table in messages.

    Raises:
        InputError: a column called ``split`` and the like has values that name no split, a row is
            marked as of two splits, or two columns do not agree.

    Example:
        >>> divide_rows({"is_test": [0, 1]}, 2, "labels.csv").splits
        ('train', 'test')
    """
    divisions: list[Division] = []
    notes: list[str] = []
    for name, column in columns.items():
        if key(name) in (*SURE_NAMES, *OTHER_NAMES):
            splits, note = _by_words(name, column, shown)
            divisions += [Division(columns=(name,), splits=splits)] if splits else []
            notes += [note] if note else []
    flags = _flags(columns)
    divisions += [_by_flags(flags, count, shown)] if flags else []
    # What speaks of no training images divides nothing; the file's own name may say more.
    silent = [name for d in divisions if TRAIN not in d.splits for name in d.columns]
    notes += [f"{shown}: {some(silent)}: names no training images, not read as splits"] * bool(
        silent
    )
    divisions = [division for division in divisions if TRAIN in division.splits]
    if not divisions:
        return Division(columns=(), splits=(None,) * count, notes=tuple(notes))
    first = divisions[0]
    for other in divisions[1:]:
        if other.splits != first.splits:
            raise InputError(
                f"{shown}: columns {some([*first.columns, *other.columns])} divide the rows in "
                "different ways; keep one of them"
            )
    return replace(first, notes=tuple(notes))


# Words


def _by_words(
    name: str, column: Sequence[Any], shown: str
) -> tuple[tuple[str | None, ...], str | None]:
    """Return the split of each row, none if the column says no splits, and what to say of it."""
    texts = [_text(value) for value in column]
    texts = ["" if text.casefold() in NOWHERE else text for text in texts]
    distinct = sorted({text for text in texts if text})
    spoken = splits_of(distinct)
    unknown = [text for text in distinct if text not in spoken]
    if not unknown:
        return tuple(spoken.get(text) for text in texts) if distinct else (), None
    if key(name) in SURE_NAMES:
        raise InputError(
            f"{shown}: column {name!r} holds {some(unknown)}, which name no split; write train, "
            "validation and test, or rename the column if it means something else"
        )
    note = f"{shown}: column {name!r} ({some(unknown[:3])}) is not read as splits"
    return (), note if len(distinct) > 1 else None


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value).strip()


# Flags


def _flagged(name: str) -> str | None:
    """Return the split that a column such as ``is_test`` marks rows as being of."""
    match = _FLAG.fullmatch(key(name))
    return WORDS.get(match[1]) if match else None


def _flags(columns: Mapping[str, Sequence[Any]]) -> dict[str, tuple[str, list[bool]]]:
    """Return split and values of each column that marks rows."""
    found: dict[str, tuple[str, list[bool]]] = {}
    plain: dict[str, tuple[str, list[bool]]] = {}
    for name, column in columns.items():
        split, values = _flagged(name), _truths(column)
        if values is None:
            continue
        # "Valid" may also say that nothing is wrong with a row, which holds for most.
        if split is not None and (key(name) != "is_valid" or 2 * sum(values) <= len(values)):
            found[name] = split, values
        elif key(name) in PLAIN_FLAGS:
            plain[name] = WORDS[key(name)], values
    several = len({split for split, _ in plain.values()}) > 1
    excluding = all(sum(row) <= 1 for row in zip(*(v for _, v in plain.values()), strict=True))
    return found or (plain if several and excluding else {})


def _truths(column: Iterable[Any]) -> list[bool] | None:
    texts = [_text(value).casefold() for value in column]
    if not set(texts) <= _TRUE | _FALSE or not set(texts) - {""}:
        return None
    return [text in _TRUE for text in texts]


def _by_flags(flags: Mapping[str, tuple[str, list[bool]]], count: int, shown: str) -> Division:
    marked = {split for split, _ in flags.values()}
    # A row that is marked neither as training nor as anything else says nothing.
    rest = TRAIN if TRAIN not in marked else TEST if marked == {TRAIN} else None
    splits: list[str | None] = []
    for number in range(count):
        here = {split for split, values in flags.values() if values[number]}
        if len(here) > 1:
            raise InputError(
                f"{shown} row {number + 1}: {some(list(flags))} mark it as {some(sorted(here))}; "
                "an image may be in one split only"
            )
        splits.append(here.pop() if here else rest)
    return Division(columns=tuple(flags), splits=tuple(splits))
