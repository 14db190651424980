"""A ``Dataset`` from whatever holds images and labels in memory, of whatever library."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from cifarlab.data.dataset import Dataset
from cifarlab.data.memory import iterables
from cifarlab.data.memory.array_names import pair_up, subject
from cifarlab.data.multi_label.dataset import refuse_multi_label
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION, splits_of
from cifarlab.errors import InputError, UsageError, warn_user


def is_in_memory(data: Any) -> bool:
    """Return whether ``dataset_from`` is for this, not ``load_dataset``: no name and no path.

    Example:
        >>> import numpy as np
        >>> is_in_memory("mnist"), is_in_memory((np.zeros((2, 8, 8)), [0, 1]))
        (False, True)
    """
    return not isinstance(data, str | os.PathLike | Dataset) and data is not None


def dataset_from(
    data: Any,
    *,
    validation: Any = None,
    test: Any = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    value_range: tuple[float, float] | None = None,
    groups: Sequence[Any] | None = None,
) -> Dataset:
    """Return a dataset from whatever holds images and labels in memory.

    One split is ``(x, y)``; a dictionary of both; an iterable of (image, label); a PyTorch dataset
    or loader; a ``tf.data.Dataset``, in batches or not; a Hugging Face dataset. Several are a tuple
    of two or three of these, for training, validation and testing, or a dictionary of them by
    split, such as a Hugging Face ``DatasetDict``. Images are arrays, tensors, PIL images or paths.

    Args:
        data: the above, or a ``Dataset``, which is returned.
        validation, test: one split each, where ``data`` has none.
        class_names: in label order; ``None`` for those that the data bring, or the labels.
        name, validation_fraction, split_seed, value_range, groups: as in
            ``Dataset.from_arrays``, which also says what is accepted, and raises.

    Raises:
        UsageError: a split is given twice.
        InputError: an image has several labels.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
        >>> y = np.arange(40) % 2
        >>> data = dataset_from(((x, y), (x, y), (x, y)))
        >>> len(data.train), data.train.images.shape
        (40, (40, 8, 8, 1))
    """
    if isinstance(data, Dataset):
        return data
    refuse_multi_label(data)
    sources = _by_split(data)
    for split, given in ((VALIDATION, validation), (TEST, test)):
        if given is not None and split in sources:
            raise UsageError(f"{split} is given twice, in data and as {split}=; give it once")
        if given is not None:
            sources[split] = given
    collected = {split: _collect(source, split) for split, source in sources.items()}
    return Dataset.from_arrays(
        collected[TRAIN].images,
        collected[TRAIN].labels,
        validation=_pair_of(collected.get(VALIDATION)),
        test=_pair_of(collected.get(TEST)),
        class_names=class_names if class_names is not None else _own_names(collected),
        name=name,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        value_range=value_range,
        groups=groups,
    )


# What holds which split


def _by_split(data: Any) -> dict[str, Any]:
    if isinstance(data, Mapping) and not iterables.is_hugging_face(data):
        return _of_mapping(data)
    if not isinstance(data, tuple | list) or not 2 <= len(data) <= 3 or _is_pair(data):
        return {TRAIN: data}
    # A list may also hold two or three pairs of one image and its label.
    aligned = isinstance(data, tuple) or all(_is_aligned(part) for part in data)
    if aligned and not any(_is_item(part) for part in data):
        return dict(zip((TRAIN, VALIDATION, TEST), data, strict=False))
    return {TRAIN: data}


def _of_mapping(data: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the parts of ``{"train": ..., "test": ...}`` or ``{"x_train": ..., ...}``."""
    keys = {str(key): key for key in data}
    spoken = splits_of(list(keys))
    whole = {key: split for key, split in spoken.items() if not subject(key)}
    if not whole:
        return _of_arrays(data)
    if TRAIN not in whole.values() or len(set(whole.values())) < len(whole):
        raise UsageError(
            f"data with {', '.join(keys)}: one split must be called train, and each name be given "
            "once; the others are validation and test"
        )
    others = [name for name in keys if name not in whole]
    if others:
        warn_user(f"data: left out {', '.join(others)}, which is no split")
    return {split: data[keys[key]] for key, split in whole.items()}


def _of_arrays(data: Mapping[Any, Any]) -> dict[str, Any]:
    pairs = pair_up(key for key in data if isinstance(key, str))
    unlabelled = [pair.images for pair in pairs.splits.values() if pair.labels is None]
    others = [*unlabelled, *pairs.others]
    if others:
        warn_user(f"data: left out {', '.join(others)}, which have no labels")
    try:
        return {
            split: (data[pair.images], data[pair.labels])
            for split, pair in pairs.splits.items()
            if pair.labels is not None
        }
    except ValueError as error:
        # What an opened .npz file raises for an array of Python objects.
        raise InputError(f"data: an array cannot be read ({error}); save it as numbers") from error


def _is_pair(part: Any) -> bool:
    """Return whether this is ``(x, y)``: many images, and labels for them."""
    if not isinstance(part, tuple | list) or len(part) != 2:
        return False
    return _is_images(part[0]) and _is_labels(part[1])


def _is_aligned(part: Any) -> bool:
    return not isinstance(part, tuple | list) or (_is_pair(part) and len(part[0]) == len(part[1]))


def _is_item(part: Any) -> bool:
    """Return whether this is one image and its label."""
    return isinstance(part, tuple | list) and len(part) == 2 and _label_axes(part[1]) == 0


def _is_images(value: Any) -> bool:
    axes = iterables.axes_of(value)
    if axes is not None:
        return axes >= 1
    return isinstance(value, list | tuple) and bool(value) and not _is_item(value[0])


def _is_labels(value: Any) -> bool:
    axes = iterables.axes_of(value)
    if axes is not None:
        return 1 <= axes <= 2
    if not isinstance(value, list | tuple) or not value:
        return False
    first = _label_axes(value[0])
    return first is not None and first <= 1


def _label_axes(value: Any) -> int | None:
    """Return the axes of what may be a label: a number, text, an array, or a list of numbers."""
    if isinstance(value, str | int | float):
        return 0
    if isinstance(value, list) and all(isinstance(entry, int | float) for entry in value):
        return 1
    return iterables.axes_of(value)


def _collect(source: Any, split: str) -> iterables.Collected:
    if isinstance(source, Mapping) and not iterables.is_hugging_face(source):
        source = _of_arrays(source)[TRAIN]
    if _is_pair(source):
        return iterables.Collected(images=source[0], labels=source[1])
    return iterables.collect(source, split)


def _pair_of(part: iterables.Collected | None) -> tuple[Any, Any] | None:
    return None if part is None else (part.images, part.labels)


def _own_names(collected: Mapping[str, iterables.Collected]) -> Sequence[str] | None:
    for split, part in collected.items():
        if part.class_names != collected[TRAIN].class_names and part.class_names is not None:
            raise InputError(
                f"{split}: its class names are not those of train; give both the same names, in "
                "the same order"
            )
        for note in part.notes:
            warn_user(f"{split}: {note}")
    return collected[TRAIN].class_names
