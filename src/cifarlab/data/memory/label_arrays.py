"""Bring labels of any usual form to class names and int64 indices into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cifarlab.data.memory.image_arrays import UnsuitableError
from cifarlab.files import printable

MAX_CLASSES = 10_000
MAX_LISTED = 5


def plain_labels(values: Any, count: int, where: str) -> np.ndarray[Any, Any]:
    """Return one label for each image: int64 ``[N]``, or an array of strings.

    Integers, whole floats, booleans and strings are taken as they are, ``[N]`` or ``[N, 1]``; of
    one-hot rows ``[N, K]`` the position of the 1.

    Args:
        values: an array, or a list.
        count: the number of images.
        where: the name of the labels in messages.

    Raises:
        UnsuitableError: none of these, several classes for one image, or another number of them.

    Example:
        >>> plain_labels([[0, 1], [1, 0]], 2, "y")
        array([1, 0])
    """
    array = _as_array(values, where)
    if array.ndim == 0 or len(array) != count:
        found = "one label" if array.ndim == 0 else f"{len(array):,} labels"
        raise UnsuitableError(
            f"{where}: {found} for {count:,} images; give one for each image, in the same order"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2:
        return _from_one_hot(array, where)
    if array.ndim > 2:
        raise UnsuitableError(
            f"{where}: labels are {list(array.shape)}; give [N], [N, 1] or [N, K]"
        )
    if array.dtype.kind in "OSUT":
        return _strings(array, where)
    return _whole(array, where)


def _as_array(values: Any, where: str) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(values)
    except (ValueError, TypeError):
        raise UnsuitableError(
            f"{where}: the labels are lists of different lengths; give one class for each image"
        ) from None


def _from_one_hot(array: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "buif":
        raise UnsuitableError(
            f"{where}: {array.dtype} {list(array.shape)} name several classes for each image; "
            "give one"
        )
    numbers = array.astype(np.float64)
    ones = (numbers == 1).sum(axis=1)
    if np.isin(numbers, (0, 1)).all():
        if (ones == 1).all():
            return np.asarray(numbers.argmax(axis=1), dtype=np.int64)
        row = int((ones != 1).argmax())
        raise UnsuitableError(
            f"{where}: row {row} marks {ones[row]} of {array.shape[1]} classes (multi-label, as "
            "ChestMNIST has them); give x and y to cifarlab.fit as they are, or images of "
            "one class each"
        )
    if np.allclose(numbers.sum(axis=1), 1, atol=1e-3):
        raise UnsuitableError(
            f"{where}: rows of probabilities; give the likeliest class: y.argmax(axis=1)"
        )
    raise UnsuitableError(
        f"{where}: labels are {list(array.shape)} and not one-hot; give one class for each image"
    )


def _strings(array: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    values = array.tolist()
    for index, value in enumerate(values):
        if isinstance(value, bytes):
            values[index] = value.decode("utf-8", "replace")
        elif value is None or value != value:
            raise UnsuitableError(f"{where}: image {index} has no label; every image needs one")
        elif not isinstance(value, str):
            return _mixed(values, where)
    return np.array(values, dtype=np.str_)


def _mixed(values: list[Any], where: str) -> np.ndarray[Any, Any]:
    numbers = np.array(values) if not any(isinstance(v, (str, bytes)) for v in values) else None
    if numbers is None or numbers.dtype.kind not in "buif":
        kinds = sorted({type(value).__name__ for value in values})
        raise UnsuitableError(
            f"{where}: labels are {', '.join(kinds[:MAX_LISTED])}; give integers or strings"
        )
    return _whole(numbers, where)


def _whole(array: np.ndarray[Any, Any], where: str) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "buif":
        raise UnsuitableError(f"{where}: labels are {array.dtype}; give integers or strings")
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            index = int(np.isnan(array).argmax())
            raise UnsuitableError(f"{where}: image {index} has no label; every image needs one")
        if (array != array.round()).any() or np.abs(array).max(initial=0) > 2**53:
            index = int((array != array.round()).argmax())
            raise UnsuitableError(
                f"{where}: label {array[index]:g} of image {index} is no whole number; "
                "classes are whole numbers or strings"
            )
    if array.dtype == np.uint64 and array.max(initial=0) >= 2**63:
        raise UnsuitableError(f"{where}: label {array.max()} is too large; number the classes")
    return array.astype(np.int64)


def number_classes(
    labels: Mapping[str, np.ndarray[Any, Any]],
    class_names: Sequence[str] | None = None,
    fewest: int = 2,
) -> tuple[tuple[str, ...], dict[str, np.ndarray[Any, Any]]]:
    """Return the class names, and the labels of each split as indices into them.

    Args:
        labels: what ``plain_labels`` gives, for each split; ``"train"`` is among them.
        class_names: what the labels mean, numbers from 0 or names; ``None`` where the classes are
            the values that occur in ``"train"``: numbers in order, strings with numbers in
            numeric order.
        fewest: how many classes there must be.

    Raises:
        UnsuitableError: too few classes, too many, names that repeat or look the same, or
            labels that are none of the classes.

    Example:
        >>> number_classes({"train": np.array([5, 1, 9])})
        (('1', '5', '9'), {'train': array([1, 0, 2])})
    """
    kinds = {split: array.dtype.kind for split, array in labels.items()}
    for split, kind in kinds.items():
        if kind != kinds["train"]:
            words = {"U": "strings", "i": "numbers"}
            raise UnsuitableError(
                f"{split}: labels are {words[kind]}, those of train are {words[kinds['train']]}; "
                "give both as the same"
            )
    if class_names is None:
        classes = _occurring(labels["train"])
        _refuse_unlabelled(classes, labels["train"])
        names = tuple(str(value) for value in classes)
        _check_spellings(names)
    else:
        names = tuple(str(name) for name in class_names)
        classes = list(names) if kinds["train"] == "U" else list(range(len(names)))
    check_class_names(names, fewest)
    positions = {value: index for index, value in enumerate(classes)}
    return names, {split: _indices(array, positions, split) for split, array in labels.items()}


def _occurring(train: np.ndarray[Any, Any]) -> list[Any]:
    from cifarlab.data.readers.labelling import natural_order

    values = np.unique(train).tolist()
    return sorted(values, key=natural_order) if train.dtype.kind == "U" else values


def _refuse_unlabelled(classes: Sequence[Any], train: np.ndarray[Any, Any]) -> None:
    """Refuse -1 beside other numbers: it stands for no label, unless the classes are -1 and 1."""
    if -1 in classes and classes != [-1, 1]:
        count = int((train == -1).sum())
        raise UnsuitableError(
            f"train: {count:,} labels are -1, which usually stands for no label; leave these "
            "images out: x[y != -1], y[y != -1]; if it is a class, give it another number"
        )


def check_class_names(names: Sequence[str], fewest: int = 2) -> None:
    """Raise ``UnsuitableError`` unless these can be the names of the classes of a dataset."""
    if len(names) < fewest:
        raise UnsuitableError(
            f"{len(names)} class ({', '.join(map(printable, names))}); at least two are needed"
        )
    if len(names) > MAX_CLASSES:
        raise UnsuitableError(
            f"{len(names):,} classes; at most {MAX_CLASSES:,} are possible: are these labels?"
        )
    seen: set[str] = set()
    for name in names:
        if not name.strip() or not name.isprintable():
            raise UnsuitableError(f"class name {name!r}: it must be text that can be shown")
        if name in seen:
            raise UnsuitableError(f"class name {name!r} repeats; give every class its own")
        seen.add(name)


def _check_spellings(names: Sequence[str]) -> None:
    from cifarlab.data.readers.labelling import same_class

    seen: dict[str, str] = {}
    for name in names:
        earlier = seen.setdefault(same_class(name), name)
        if earlier != name:
            raise UnsuitableError(
                f"labels {earlier!r} and {name!r} differ in case or blanks only; spell each class "
                "in one way, or give class_names"
            )


def _indices(
    array: np.ndarray[Any, Any], positions: Mapping[Any, int], split: str
) -> np.ndarray[Any, Any]:
    values, inverse = np.unique(array, return_inverse=True)
    unknown = [value for value in values.tolist() if value not in positions]
    if unknown:
        shown = ", ".join(printable(str(value)) for value in unknown[:MAX_LISTED])
        known = [printable(str(value)) for value in positions]
        raise UnsuitableError(
            f"{split}: label {shown} is none of the {len(known)} classes "
            f"({known[0]} to {known[-1]}); labels and class names must fit together"
        )
    table = np.array([positions[value] for value in values.tolist()], dtype=np.int64)
    return table[inverse.reshape(-1)]
