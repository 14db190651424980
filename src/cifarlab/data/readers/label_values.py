"""From the values of a label column to classes: numbers, words, booleans, missing ones."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.data.multi_label.cells import hold_several, labels_of
from cifarlab.data.multi_label.refusal import refusal
from cifarlab.data.readers.labelling import natural_order, same_class, some
from cifarlab.data.readers.split_names import TRAIN
from cifarlab.errors import InputError

MAX_CLASSES = 10_000
# ``as_classes`` or what takes and returns the same.
AsClasses = Callable[..., "Classes"]
# What programs write where there is no value; "none" and "null" may be classes.
MISSING = frozenset({"", "nan", "n/a", "#n/a", "<na>", "nat"})
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes of all splits.

    Attributes:
        names: one for each class, in label order.
        labels: int64 ``[N]`` for each split that has labels; -1 for an image without one.
        notes: one line for each decision that a user should know of.
    """

    names: tuple[str, ...]
    labels: Mapping[str, np.ndarray[Any, Any]]
    notes: tuple[str, ...]


def as_classes(
    values: Mapping[str, Sequence[Any]],
    *,
    where: str,
    declared: Sequence[str] = (),
    fewest: int = 2,
) -> Classes:
    """Return the classes that the values of the splits' label columns stand for.

    Classes are the values that occur: whole numbers in numeric order, words in alphabetical order
    with numbers in them in numeric order. Words that differ in blanks or, if longer than one
    letter, in case only are one class. ``None``, NaN, "NA", empty text and -1 beside other whole
    numbers mean "no label", unless the only other number is 1. Of lists of one value it is the
    value that counts; of one-hot lists the position of the 1.

    Args:
        values: of each split, ``"train"`` among them.
        where: the name of the column in messages.
        declared: class names in label order, where the source lists them; those that no value
            names are left out.
        fewest: how many classes there must be.

    Raises:
        InputError: the values are no classes, or several for one image, too few or too many, or a
            split has classes that ``"train"`` has not.

    Example:
        >>> as_classes({"train": [9, 1, 5, 1]}, where="label").names
        ('1', '5', '9')
    """
    one_each = {split: of_lists(column, where) for split, column in values.items()}
    if not declared:
        _refuse_several([v for column in one_each.values() for v in column], where)
    return named_classes(one_each, where=where, declared=declared, fewest=fewest)


def named_classes(
    values: Mapping[str, Sequence[Any]],
    *,
    where: str,
    declared: Sequence[str],
    fewest: int,
) -> Classes:
    """Return the classes of values that are one label each; see ``as_classes``."""
    plain = {split: [_plain(v, where) for v in column] for split, column in values.items()}
    distinct = Counter(v for column in plain.values() for v in column if v is not None)
    names, notes = _names(distinct, where)
    order = _ordered(set(names.values()), declared)
    if len(order) > MAX_CLASSES:
        raise InputError(
            f"{where}: {len(order):,} different labels; at most {MAX_CLASSES:,} classes are "
            "allowed; name the column of the classes (--label-column)"
        )
    label_of = {name: label for label, name in enumerate(order)}
    index = {value: label_of[name] for value, name in names.items()}
    labels = {
        split: np.array([index.get(v, -1) for v in column], dtype=np.int64)
        for split, column in plain.items()
    }
    known, more = _labelled_only(labels, where)
    _refuse_unknown(known, order, where)
    if len(order) < fewest:
        raise InputError(
            f"{where}: every label is {some(order)}; at least 2 classes are needed; name the "
            "column of the classes (--label-column)"
        )
    unused = [name for name in declared if name not in label_of]
    if unused:
        notes.append(f"no images of {some(unused)}, which {_is_or_are(unused)} left out")
    return Classes(names=tuple(order), labels=known, notes=(*notes, *more))


def of_lists(values: Sequence[Any], where: str) -> Sequence[Any]:
    """Return one value for each list: the only one in it, or the position of the 1.

    Raises:
        InputError: lists that are neither.

    Example:
        >>> of_lists([[0, 1], [1, 0]], "label"), of_lists([[5], [7]], "label"), of_lists([1], "y")
        ([1, 0], [5, 7], [1])
    """
    lists = [value for value in values if isinstance(value, list | tuple)]
    if not lists:
        return values
    alone = all(len(value) <= 1 for value in lists)
    one_hot = len({len(value) for value in lists}) == 1 and all(
        sum(v == 1 for v in value) == 1 and all(v in (0, 1) for v in value) for value in lists
    )
    if len(lists) + values.count(None) < len(values) or not (alone or one_hot):
        if not any(isinstance(v, list | dict | float) for value in lists for v in value):
            _refuse_several(values, where)
        raise InputError(
            f"{where}: holds lists such as {str(lists[0])[:60]!r}; one class an image is needed, "
            "as a value, a list of one, or a row of zeros and a single one; name another column "
            "(--label-column)"
        )
    if alone:
        return [value[0] if value else None for value in values]
    return [None if value is None else [v == 1 for v in value].index(True) for value in values]


def _refuse_several(values: Sequence[Any], where: str) -> None:
    """Refuse cells that hold several labels, such as ``"cat|dog"``."""
    if hold_several(values):
        rows = [f"row {number}" for number in range(1, len(values) + 1)]
        raise refusal(where, labels_of(values, where), rows)


def by_declared(value: Any, names: Sequence[str], where: str) -> Any:
    """Return the declared class name that the whole number ``value`` stands for.

    Raises:
        InputError: there is no such class.
    """
    if value is None or not isinstance(value, int) or value == -1:
        return None if value == -1 else value
    if not 0 <= value < len(names):
        raise InputError(
            f"{where}: label {value}, but {len(names)} class names allow 0 to {len(names) - 1}; "
            "correct the labels or the names"
        )
    return names[value]


def _is_or_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _plain(value: Any, where: str) -> str | int | float | bool | None:
    """Return a value without its container and blanks; ``None`` for those that mean none."""
    if isinstance(value, list | tuple | dict | set):
        raise InputError(
            f"{where}: holds lists such as {str(value)[:60]!r}; one class an image is needed; name "
            "another column (--label-column)"
        )
    if isinstance(value, bytes):
        value = value.decode(errors="backslashreplace")
    if isinstance(value, str):
        text = " ".join(value.split())
        return None if text.casefold() in MISSING or text == "NA" else text
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _names(distinct: Counter[Any], where: str) -> tuple[dict[Any, str], list[str]]:
    """Return the class name of each value that stands for one."""
    texts = {value: str(value) for value in distinct}
    numbers = [
        text
        for value, text in texts.items()
        if not isinstance(value, bool) and _NUMBER.fullmatch(text)
    ]
    if not distinct or len(numbers) < len(distinct):
        return _words(distinct, where)
    if fraction := next((text for text in numbers if not _is_whole(text)), None):
        raise InputError(
            f"{where}: holds numbers such as {fraction}; labels must be classes; name another "
            "column (--label-column)"
        )
    padded = any(re.match(r"[+-]?0\d", text) for text in numbers)
    whole = {
        value: text if padded else str(int(float(text) if "." in text or "e" in text else text))
        for value, text in ((v, t.lower()) for v, t in texts.items())
    }
    if set(whole.values()) != {"-1", "1"}:
        whole = {value: text for value, text in whole.items() if text != "-1"}
    return whole, []


def _is_whole(text: str) -> bool:
    return bool(_WHOLE.fullmatch(text)) or float(text).is_integer()


def _words(distinct: Counter[Any], where: str) -> tuple[dict[Any, str], list[str]]:
    spellings: dict[str, Counter[str]] = {}
    keys: dict[Any, str] = {}
    for value, count in distinct.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not text.isprintable():
            raise InputError(f"{where}: label {text!r} is not printable; correct it")
        keys[value] = text if len(text) == 1 else same_class(text)
        spellings.setdefault(keys[value], Counter())[text] += count
    chosen = {key: min(c, key=lambda t, c=c: (-c[t], t)) for key, c in spellings.items()}  # type: ignore[misc]
    notes = [
        f"{some(sorted(c))} are one class, {chosen[key]!r}: they differ in case only"
        for key, c in spellings.items()
        if len(c) > 1
    ]
    return {value: chosen[key] for value, key in keys.items()}, notes


def _ordered(names: set[str], declared: Sequence[str]) -> list[str]:
    if names <= set(declared):
        return [name for name in declared if name in names]
    if all(_WHOLE.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names, key=natural_order)


def _labelled_only(
    labels: Mapping[str, np.ndarray[Any, Any]], where: str
) -> tuple[dict[str, np.ndarray[Any, Any]], list[str]]:
    """Leave out splits without any label; count the images without one in the others."""
    known, notes = {}, []
    for split, column in labels.items():
        missing = int((column < 0).sum())
        if missing == len(column):
            if split == TRAIN:
                raise InputError(f"{where}: no training image has a label; add them")
            notes.append(f"{split}: {missing:,} images without labels are left out")
            continue
        if missing:
            notes.append(f"{split}: left out {missing:,} images without a label")
        known[split] = column
    return known, notes


def _refuse_unknown(
    labels: Mapping[str, np.ndarray[Any, Any]], order: Sequence[str], where: str
) -> None:
    trained = set(labels[TRAIN].tolist())
    for split, column in labels.items():
        unknown = sorted(set(column.tolist()) - trained - {-1})
        if unknown:
            raise InputError(
                f"{where}: class {order[unknown[0]]!r} is in {split} and not among the training "
                "images; use the same classes in every split"
            )
