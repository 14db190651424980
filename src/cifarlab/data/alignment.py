"""Give labels of one dataset the numbers that a model knows its classes by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cifarlab.data.readers.labelling import same_class, some
from cifarlab.data.split import Split
from cifarlab.errors import InputError, warn_user
from cifarlab.files import printable


def align(split: Split, names: Sequence[str], known: Sequence[str], where: str) -> Split:
    """Return the images of the classes that a model knows, with the model's labels.

    Classes are the same whose names differ in case and blanks only. Names that are all whole
    numbers, where the model's are not, are taken as its labels.

    Args:
        names: the split's class names, in the order of its labels.
        known: the model's class names, in the order of its outputs.
        where: the name of the data in messages.

    Returns:
        A split with labels into ``known``; ``split`` itself where both have the same names.

    Raises:
        InputError: the two have no class in common.

    Example:
        >>> images = np.zeros((2, 8, 8, 3), np.uint8)
        >>> split = Split(images=images, labels=np.array([0, 1]))
        >>> align(split, ("Cat", "dog"), ("dog", "cat"), "photos").labels
        array([1, 0])
    """
    if tuple(names) == tuple(known):
        return split
    if _are_labels(names, known):
        _check_counted_from_0(names, known, where)
        example = next((n for n in names if int(n) < len(known)), names[0])
        meant = known[int(example)] if int(example) < len(known) else "none"
        warn_user(
            f"{where}: its classes are numbers, taken as the model's labels, counted from 0: "
            f"{example} is {printable(meant)}"
        )
    label_of = _labels(names, known)
    own = np.array([label_of.get(name, -1) for name in names], np.int64)
    labels = own[split.labels]
    present = set(np.unique(split.labels).tolist())
    unknown = [name for i, name in enumerate(names) if own[i] < 0 and i in present]
    if not (labels >= 0).any():
        raise InputError(
            f"{where}: has the classes {some(names)}, the model knows {some(known)}: none is the "
            "same; name its own data with --data"
        )
    if unknown:
        count = int((labels < 0).sum())
        warn_user(
            f"{where}: {count:,} images of {some(unknown)} are left out: the model knows no such "
            f"class, only {some(known)}"
        )
    missing = [name for i, name in enumerate(known) if not (labels == i).any()]
    if missing:
        they = "that is" if len(missing) == 1 else "those are"
        warn_user(f"{where}: no images of {some(missing)}, so {they} not measured")
    kept = np.flatnonzero(labels >= 0)
    aligned = split if len(kept) == len(labels) else split.subset(kept)
    return Split(images=aligned.images, labels=labels[kept], names=aligned.names)


def _check_counted_from_0(names: Sequence[str], known: Sequence[str], where: str) -> None:
    numbers = [int(name) for name in names]
    if min(numbers) > 0 and max(numbers) >= len(known):
        raise InputError(
            f"{where}: its classes are the numbers {min(numbers)} to {max(numbers)}, the model's "
            f"labels run from 0 to {len(known) - 1}; count them from 0, or give the names of the "
            "classes"
        )


def _labels(names: Sequence[str], known: Sequence[str]) -> dict[str, int]:
    """Return the model's label of each of the data's class names that it knows."""
    if _are_labels(names, known):
        return {name: int(name) for name in names if int(name) < len(known)}
    label_of = {same_class(name): label for label, name in enumerate(known)}
    return {name: label_of[same_class(name)] for name in names if same_class(name) in label_of}


def _are_labels(names: Sequence[str], known: Sequence[str]) -> bool:
    return are_numbers(names) and not are_numbers(known)


def are_numbers(names: Sequence[str]) -> bool:
    """Whether all class names are whole numbers, so that they are labels themselves."""
    return all(name.isascii() and name.isdecimal() for name in names)
