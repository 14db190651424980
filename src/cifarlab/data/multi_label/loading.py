"""Load images with several labels each."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data import catalog
from cifarlab.data.cache import Decoded, say
from cifarlab.data.dividing import groups_of, loading_of, warn_of_overlap
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.missing_splits import missing_from, take
from cifarlab.data.multi_label import sources
from cifarlab.data.multi_label.combinations import table_of
from cifarlab.data.multi_label.dataset import MultiLabelDataset, MultiLabelSplit
from cifarlab.data.readers.labelling import some
from cifarlab.data.samples import Found
from cifarlab.data.split import pixel_digests
from cifarlab.errors import InputError
from cifarlab.files import printable

Array = np.ndarray[Any, Any]
DEFAULTS = LoadOptions()


def load_multi_label(
    path: str | os.PathLike[str], *, load: LoadOptions = DEFAULTS
) -> MultiLabelDataset:
    """Load images that have several labels each, or one, or none.

    The labels are told by a table: cells that hold several (``cat;dog``, ``cat|dog``, ``cat,dog``,
    lists), a column of zeros and ones for each class, or several rows for an image; by a text file
    beside each image; or by class folders, where an image whose pixels lie in several folders is
    one image with several labels. An empty list or a row of zeros means none of the classes; an
    image with an empty cell is left out.

    Splits that the source lacks are taken from its training images, a tenth for testing and
    ``load.validation_fraction`` for validation, with the same share of every class where that is
    possible; the same seed gives the same splits, and images of the same pixels are one image.

    Args:
        path: what ``load_dataset`` takes: a folder, a table, an archive or Parquet files.
        load: how the images are read; ``LoadOptions`` describes each of its values.

    Raises:
        UsageError: there is no such path, or an option is not possible.
        InputError: the content is damaged, or a class has no training image.
        UnsafeError: a file could run code or fill the memory.
        ResourceError: the disk is full.

    Example:
        >>> data = load_multi_label("photos")  # doctest: +SKIP
        >>> data.class_names, data.train.labels[0]  # doctest: +SKIP
        (('cat', 'dog'), array([1, 1], dtype=uint8))
    """
    with catalog.arguments_in_notes():
        decoded, guessed, class_names, rows = _read(path, load)
        options = replace(load, **guessed)
        shown = printable(decoded.source)
        splits = {
            name: _each_once(split.images, rows[split.labels], split.names)
            for name, split in decoded.splits.items()
            if decoded.has(name)
        }
        _say_of_copies(decoded, splits, shown)
        splits = _filled(splits, class_names, options, shown)
        _check(splits, class_names, shown)
        warn_of_overlap({n: pixel_digests(s.images) for n, s in splits.items()}, shown)
    return MultiLabelDataset(
        name=decoded.name,
        source=decoded.source,
        class_names=class_names,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        loading=loading_of(decoded, options),
        skipped=decoded.skipped,
    )


def _read(
    path: str | os.PathLike[str], options: LoadOptions
) -> tuple[Decoded, Mapping[str, Any], tuple[str, ...], Array]:
    """Return the images, guessed options, class names, and uint8 ``[C, K]``: a row a label."""
    found: Found | InputError | None
    try:
        found = sources.find(catalog.existing(path), options)
    except InputError as error:
        found = error
    if isinstance(found, Found):
        decoded, guessed = catalog.decoded_with_notes(found, options)
        return decoded, guessed, *table_of(decoded.class_names)
    try:
        decoded, guessed = catalog.read(Path(path), options)
    except InputError as error:
        # What the other readers miss is one label an image, which is not asked for here.
        raise (found or error) from None
    return decoded, guessed, decoded.class_names, np.eye(len(decoded.class_names), dtype=np.uint8)


def _each_once(images: Array, labels: Array, names: Sequence[str]) -> MultiLabelSplit:
    """Return images of the same pixels as one, with the labels of all."""
    _, first, inverse = np.unique(pixel_digests(images), return_index=True, return_inverse=True)
    if len(first) == len(images):
        return MultiLabelSplit(images=images, labels=labels, names=tuple(names))
    together = np.zeros((len(first), labels.shape[1]), np.uint8)
    np.maximum.at(together, inverse, labels)
    order = np.argsort(first)
    kept = first[order]
    return MultiLabelSplit(
        images=images[kept], labels=together[order], names=tuple(names[i] for i in kept)
    )


def _say_of_copies(decoded: Decoded, splits: Mapping[str, MultiLabelSplit], shown: str) -> None:
    copies = sum(len(decoded.splits[name]) - len(split) for name, split in splits.items())
    several = sum(int((split.labels.sum(axis=1) > 1).sum()) for split in splits.values())
    images = sum(map(len, splits.values()))
    if not several:
        warnings.warn(
            f"{shown}: no image has several labels; load_dataset loads one label an image",
            stacklevel=3,
        )
    elif copies:
        # To the log: it is how class folders of such data are meant to be read.
        say(
            None,
            f"{shown}: {copies:,} files have the pixels of another and are one image with it; "
            f"{several:,} of {images:,} images have several labels",
        )


def _filled(
    splits: Mapping[str, MultiLabelSplit],
    class_names: Sequence[str],
    options: LoadOptions,
    shown: str,
) -> dict[str, MultiLabelSplit]:
    """Return all three splits, those that are missing taken from the training images."""
    _check_train(splits["train"], class_names, shown)
    missing = missing_from(splits)
    if not missing:
        return dict(splits)
    train = splits["train"]
    rest, taken = take(
        _rarest(train.labels),
        groups_of(train.names, options.group_by, shown),
        missing,
        validation_fraction=options.validation_fraction,
        seed=options.split_seed,
        shown=shown,
    )
    filled = {name: _subset(train, chosen) for name, chosen in {"train": rest, **taken}.items()}
    return {**splits, **filled}


def _rarest(labels: Array) -> Array:
    """Return for each image the rarest of its classes, int64 ``[N]``; K where it has none.

    An image of each is kept for training, so the rarest classes are not lost to the other splits.
    """
    counts = labels.sum(axis=0)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    rarest: Array = np.where(labels == 1, rank, len(counts)).min(axis=1, initial=len(counts))
    return rarest


def _subset(split: MultiLabelSplit, chosen: Array) -> MultiLabelSplit:
    return MultiLabelSplit(
        images=split.images[chosen],
        labels=split.labels[chosen],
        names=tuple(split.names[i] for i in chosen),
    )


def _check_train(train: MultiLabelSplit, class_names: Sequence[str], shown: str) -> None:
    """Raise ``InputError`` where a class has no training image."""
    counts = train.labels.sum(axis=0, dtype=np.int64)
    without = [name for name, count in zip(class_names, counts, strict=True) if not count]
    if without:
        raise InputError(
            f"{shown}: no training image of {some(without)}; add some, or remove the class"
        )


def _check(splits: Mapping[str, MultiLabelSplit], class_names: Sequence[str], shown: str) -> None:
    _check_train(splits["train"], class_names, shown)
    for part in ("validation", "test"):
        if not len(splits[part]):
            raise InputError(f"{shown}: {part} holds no images; at least one is needed")
        counts = splits[part].labels.sum(axis=0)
        absent = [name for name, n in zip(class_names, counts, strict=True) if not n]
        if absent:
            warnings.warn(
                f"{shown}: {part} has no images of {some(absent)}, so that class is not measured "
                "there",
                stacklevel=3,
            )
