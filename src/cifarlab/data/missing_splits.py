"""Take the test and validation splits that data lack from their training images."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np

from cifarlab.data.grouped_split import TEST_FRACTION, hold_out
from cifarlab.data.readers.labelling import some
from cifarlab.data.split import Split
from cifarlab.errors import InputError, UsageError


def missing_from(splits: Container[str]) -> list[str]:
    """Return the splits that are to be taken from the training images, in the order taken."""
    return [name for name in ("test", "validation") if name not in splits]


def fill_missing(
    splits: Mapping[str, Split],
    groups: Sequence[Any] | None,
    *,
    validation_fraction: float,
    seed: int,
    shown: str,
) -> dict[str, Split]:
    """Return ``splits`` with all three of them; the same seed gives the same ones.

    The same share of every class is taken, and groups are kept together. Both shares are of all
    training images. Where every class has two images at most, one of them is held out, and what
    is held out is shared between test and validation.

    Args:
        splits: ``"train"`` always.
        groups: a key for each training image, or ``None``.
        validation_fraction: above 0 and below 1.
        shown: the data, in messages.

    Raises:
        InputError: nothing is left for a split.
        UsageError: the shares leave nothing to train on.

    Example:
        >>> images = np.zeros((40, 8, 8, 1), np.uint8)
        >>> train = Split(images=images, labels=np.arange(40) % 2)
        >>> filled = fill_missing(
        ...     {"train": train}, None, validation_fraction=0.1, seed=0, shown="toy"
        ... )
        >>> {name: len(split) for name, split in filled.items()}
        {'train': 32, 'test': 4, 'validation': 4}
    """
    missing = missing_from(splits)
    if not missing:
        return dict(splits)
    train = splits["train"]
    # Indices first: each image is copied once, however many splits are taken.
    rest, taken = take(
        train.labels,
        groups,
        missing,
        validation_fraction=validation_fraction,
        seed=seed,
        shown=shown,
    )
    filled = {name: train.subset(chosen) for name, chosen in taken.items()}
    return {**splits, "train": train.subset(rest), **filled}


def take(
    labels: np.ndarray[Any, Any],
    groups: Sequence[Any] | None,
    missing: Sequence[str],
    *,
    validation_fraction: float,
    seed: int,
    shown: str,
) -> tuple[np.ndarray[Any, Any], dict[str, np.ndarray[Any, Any]]]:
    """Return the indices of what is left for training, and of what each missing split takes.

    Args:
        labels: int64 ``[N]``, of the training images; the same share of each is taken.
        missing: as ``missing_from`` gives them.
        groups, validation_fraction, seed, shown: as for ``fill_missing``.

    Raises:
        As ``fill_missing``.
    """
    shares = _shares(missing, validation_fraction)
    keys = None if groups is None else np.asarray([str(group) for group in groups])
    rest, taken = np.arange(len(labels)), dict[str, np.ndarray[Any, Any]]()
    for name in missing:
        here = None if keys is None else _numbered(keys[rest])
        kept, held = hold_out(labels[rest], here, shares[name], seed)
        rest, taken[name] = rest[kept], rest[held]
    if len(missing) == 2 and not len(taken["validation"]):
        taken = _shared(taken["test"], seed)
    for name in missing:
        if not len(taken[name]):
            raise InputError(
                f"{shown}: no class has an image to spare for {name}, since its last one is "
                f"trained on; give more images of a class, or {name} images of their own"
            )
    return rest, taken


def too_few(train: Split, class_names: Sequence[str], missing: Sequence[str]) -> str | None:
    """Return one line that names the classes too small to be in every split, or ``None``."""
    counts = np.bincount(train.labels, minlength=len(class_names))
    few = [n for n, count in zip(class_names, counts, strict=True) if 0 < count <= len(missing)]
    if not few:
        return None
    return (
        f"too few images of {some(few)} to divide; they are trained on, and not measured in every "
        "split"
    )


def _shares(missing: Sequence[str], validation_fraction: float) -> dict[str, float]:
    """Return the share of the images left that each missing split takes."""
    if "test" not in missing:
        return {"validation": validation_fraction}
    if validation_fraction + TEST_FRACTION >= 1.0 and "validation" in missing:
        raise UsageError(
            f"validation fraction {validation_fraction}: with {TEST_FRACTION} for the test split "
            "nothing is left to train on; use less"
        )
    return {"test": TEST_FRACTION, "validation": validation_fraction / (1.0 - TEST_FRACTION)}


def _numbered(keys: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a number for each image's group, in the order in which the groups come."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys.tolist()], np.int64)


def _shared(held: np.ndarray[Any, Any], seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Return the indices of test and validation images, of images of which no class has two."""
    order = np.random.default_rng(seed).permutation(len(held))
    half = (len(held) + 1) // 2
    return {"test": held[np.sort(order[:half])], "validation": held[np.sort(order[half:])]}
