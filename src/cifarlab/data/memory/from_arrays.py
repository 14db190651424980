"""``Dataset.from_arrays``: splits out of arrays, checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.data.load_options import LARGEST, SMALLEST, LoadOptions
from cifarlab.data.memory import iterables
from cifarlab.data.memory.image_arrays import HALF, Values, extremes, find_axes, find_values
from cifarlab.data.memory.label_arrays import number_classes, plain_labels
from cifarlab.data.missing_splits import fill_missing, missing_from, too_few
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION
from cifarlab.data.split import Split
from cifarlab.errors import InputError, UsageError, warn_user

BLOCK = 4096
MAX_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Three splits and the names of their classes."""

    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split


def splits_from_arrays(
    x: Any,
    y: Any,
    *,
    validation: Any = None,
    test: Any = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    value_range: tuple[float, float] | None = None,
    groups: Sequence[Any] | None = None,
) -> Splits:
    """Return splits from arrays of images and labels; everything is checked at once.

    Args:
        x: images ``[N, H, W]``, ``[N, H, W, 1 or 3]`` or ``[N, 1 or 3, H, W]``, H and W from 8 to
            256, or a list of N images. uint8, or other numbers whose range is clear: 0 to 255, 0
            to 1, -1 to 1; integers of 9 to 16 bits.
        y: the class of each: integers, strings, ``[N]`` or ``[N, 1]``, or one-hot ``[N, K]``.
        validation: ``(x, y)`` of the validation split; ``None`` to take it from ``x``.
        test: ``(x, y)`` of the test split; ``None`` to take a tenth of ``x``, with a warning.
        class_names: in label order; ``None`` for the values that occur in ``y``.
        name: of the data, in messages.
        validation_fraction: share of the training images for the validation split, if it is not
            given, above 0 and below 1.
        split_seed: the same seed gives the same splits.
        value_range: the values that are black and white, where that is not clear.
        groups: a key for each image of ``x``; images of one key stay in one split.

    Returns:
        Splits of uint8 images ``[N, H, W, 1 or 3]`` and int64 labels.

    Raises:
        InputError: images or labels that cannot be used, or that do not fit together.
        UsageError: a fraction, a seed or class names that are not possible.

    Warns:
        UserWarning: one for each thing that was decided and could be meant otherwise.

    Example:
        >>> x = np.linspace(0, 1, 40 * 64).reshape(40, 8, 8)
        >>> data = splits_from_arrays(
        ...     x, ["cat", "dog"] * 20, test=(x, ["cat", "dog"] * 20), value_range=(0, 1)
        ... )
        >>> data.class_names, data.train.images.shape
        (('cat', 'dog'), (36, 8, 8, 1))
    """
    _check_call(class_names, validation_fraction, split_seed)
    given = {TRAIN: (x, y), VALIDATION: validation, TEST: test}
    arrays = {
        split: _read(*_two(pair, split), split) for split, pair in given.items() if pair is not None
    }
    labels, train = {split: part.labels for split, part in arrays.items()}, arrays[TRAIN]
    names, numbers = number_classes(labels, class_names)
    _check_sides(train)
    values = _values(train, value_range)
    notes = [note for part in arrays.values() for note in part.notes] + [values.note]
    splits = {}
    for split, part in arrays.items():
        _check_like(part, train, values, told=value_range is not None)
        splits[split] = Split(
            images=part.to_uint8(values),
            labels=numbers[split],
            names=tuple(f"{split} {index}" for index in range(len(part.labels))),
        )
    if TEST not in splits:
        notes.append(
            f"{name}: no test images; a tenth of each class becomes the test split: "
            "give test=(x, y) if you have some"
        )
    _check_groups(groups, splits[TRAIN])
    if few := too_few(splits[TRAIN], names, missing_from(splits)):
        notes.append(f"{name}: {few}")
    filled = fill_missing(
        splits, groups, validation_fraction=validation_fraction, seed=split_seed, shown=name
    )
    notes += _without_images(filled[TRAIN].labels, names)
    for note in filter(None, notes):
        warn_user(note)
    return Splits(
        class_names=names,
        train=filled[TRAIN],
        validation=filled[VALIDATION],
        test=filled[TEST],
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The arrays of one split as they were given."""

    split: str
    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    notes: tuple[str, ...]

    def blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        for first in range(0, len(self.images), BLOCK):
            yield self.images[first : first + BLOCK]

    def to_uint8(self, values: Values) -> np.ndarray[Any, Any]:
        axes = find_axes(self.images.shape, self.split)
        if self.images.dtype == np.uint8 and (values.black, values.white) == (0, 255):
            return np.ascontiguousarray(axes.arrange(self.images))
        images = np.empty((len(self.images), *axes.shape), dtype=np.uint8)
        for first, block in zip(range(0, len(images), BLOCK), self.blocks(), strict=True):
            images[first : first + BLOCK] = values.to_uint8(axes.arrange(block))
        return images


def _check_call(class_names: Any, validation_fraction: float, split_seed: int) -> None:
    if isinstance(class_names, str):
        raise UsageError(f"class names {class_names!r}: give a list of names, one for each class")
    # It checks what is the same for data that are loaded.
    LoadOptions(validation_fraction=validation_fraction, split_seed=split_seed)


def _two(pair: Any, split: str) -> tuple[Any, Any]:
    if isinstance(pair, tuple | list) and len(pair) == 2:
        return pair[0], pair[1]
    raise UsageError(f"{split}: give (x, y), a pair of images and labels")


def _read(x: Any, y: Any, split: str) -> _Part:
    images, notes = iterables.stack(x, f"{split} x")
    axes = find_axes(images.shape, f"{split} x")
    values = iterables.to_array(y)
    if not isinstance(values, np.ndarray):
        values = [iterables.to_array(value) for value in values]
    labels = plain_labels(values, len(images), f"{split} y")
    # The other splits are as this one is: said once.
    noted = (*notes, axes.note) if split == TRAIN else notes
    return _Part(split=split, images=images, labels=labels, notes=noted)


def _values(train: _Part, value_range: tuple[float, float] | None) -> Values:
    where = f"{train.split} x"
    enough = 255 * HALF if train.images.dtype == np.uint8 and value_range is None else np.inf
    low, high = extremes(train.blocks(), where, enough=enough)
    return find_values(train.images.dtype, low, high, where, value_range=value_range)


def _check_sides(train: _Part) -> None:
    height, width, _ = find_axes(train.images.shape, "x").shape
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise InputError(
            f"x: images are {height}x{width}; height and width must be from {SMALLEST} to "
            f"{LARGEST}: resize them, or give a folder of image files, which are resized"
        )


def _check_like(part: _Part, train: _Part, values: Values, *, told: bool) -> None:
    if part is train:
        return
    shape, expected = (find_axes(p.images.shape, f"{p.split} x").shape for p in (part, train))
    if shape != expected:
        raise InputError(
            f"{part.split}: images are {list(shape)}, those of train {list(expected)} (height, "
            "width, channels); bring both to one form"
        )
    kinds = {"u": "integers", "i": "integers", "f": "floats", "b": "booleans"}
    found, wanted = (kinds.get(p.images.dtype.kind, p.images.dtype.name) for p in (part, train))
    if found != wanted:
        raise InputError(
            f"{part.split}: images are {found} ({part.images.dtype}), those of train {wanted} "
            f"({train.images.dtype}); bring both to one form"
        )
    low, high = extremes(part.blocks(), f"{part.split} x")
    span = (values.black, values.white)
    find_values(part.images.dtype, low, high, f"{part.split} x", value_range=span)
    # Values of 0 to 1 lie within 0 to 255, and within -1 to 1, and mean something else there.
    narrower = (values.white > 1 and high <= 1) or values.black < 0 <= low
    if narrower and not told and part.images.dtype.kind == "f":
        raise InputError(
            f"{part.split} x: values from {low:g} to {high:g}, those of train are from "
            f"{span[0]:g} to {span[1]:g}; bring both to one range, or say value_range"
        )


def _check_groups(groups: Sequence[Any] | None, train: Split) -> None:
    if groups is not None and len(groups) != len(train):
        raise InputError(
            f"groups: {len(groups):,} keys for {len(train):,} images; give one for each"
        )


def _without_images(labels: np.ndarray[Any, Any], names: Sequence[str]) -> list[str]:
    counts = np.bincount(labels, minlength=len(names))
    missing = [name for name, count in zip(names, counts, strict=True) if not count]
    if not missing:
        return []
    more = f" and {len(missing) - MAX_LISTED} more" if len(missing) > MAX_LISTED else ""
    return [f"no training images of {', '.join(missing[:MAX_LISTED])}{more}: they are not learnt"]
