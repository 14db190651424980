"""Describe a dataset, and check it for problems."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.catalog import LoadOptions, load_and_list_bad
from cifarlab.data.dataset import Dataset, Split, fingerprint
from cifarlab.errors import InputError


def train_fingerprint(data: Dataset) -> str:
    """Return the fingerprint of training and validation images together.

    It is that of the source's own training part, whatever the validation split is.
    """
    both = (data.train, data.validation)
    return fingerprint(
        Split(
            images=np.concatenate([split.images for split in both]),
            labels=np.concatenate([split.labels for split in both]),
        )
    )


def describe(data: Dataset) -> dict[str, Any]:
    """Return names, counts, sizes and fingerprints of a dataset as plain JSON values."""
    one_byte = len(data.class_names) <= 256
    return {
        "name": data.name,
        "source": data.source,
        "class_names": list(data.class_names),
        "train_fingerprint": train_fingerprint(data) if one_byte else None,
        "splits": {
            part: {
                "count": len(split),
                "per_class": _per_class(data, split),
                "image_size": list(split.images.shape[1:3]),
                "fingerprint": fingerprint(split) if one_byte else None,
            }
            for part, split in _splits(data).items()
        },
    }


def check(
    spec: str | os.PathLike[str],
    *,
    image_size: int = 32,
    resize_mode: str = "squash",
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Load a dataset without its bad images, and return its problems as plain JSON values.

    ``bad_files`` has one line for each image that cannot be used. ``duplicates`` counts
    images whose pixels equal an earlier one's: ``within`` a split, and ``between`` two (how
    many images of the second are in the first too). ``imbalance`` is the largest class over the
    smallest, in all splits together, or ``None`` when a class is empty. ``ok`` says that
    there are no bad files, duplicates or empty classes.

    Raises:
        CifarlabError: as ``load_dataset``, when nothing can be loaded.
    """
    options = LoadOptions(
        image_size=image_size,
        resize_mode=resize_mode,
        skip_bad=True,
        offline=offline,
        progress=progress,
    )
    data, bad = load_and_list_bad(spec, options)
    if bad is None:
        bad = _bad_images(Path(spec).expanduser())
    splits = _splits(data)
    digests = {part: _digests(split) for part, split in splits.items()}
    unique = {part: set(digests[part]) for part in splits}
    within = {part: len(digests[part]) - len(unique[part]) for part in splits}
    between = {
        f"{first}-{second}": sum(digest in unique[first] for digest in digests[second])
        for first, second in itertools.combinations(splits, 2)
    }
    totals = np.sum([list(_per_class(data, split).values()) for split in splits.values()], axis=0)
    labels = np.concatenate([split.labels for split in splits.values()])
    empty = [name for name, n in zip(data.class_names, totals, strict=True) if n == 0]
    return {
        "name": data.name,
        "source": data.source,
        "ok": not bad and not empty and not any([*within.values(), *between.values()]),
        "bad_files": list(bad),
        "duplicates": {"within": within, "between": between},
        "per_class": {part: _per_class(data, split) for part, split in splits.items()},
        "imbalance": None if empty else float(totals.max() / totals.min()),
        "empty_classes": empty,
        "label_range": [int(labels.min()), int(labels.max())],
    }


def _splits(data: Dataset) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def _per_class(data: Dataset, split: Split) -> dict[str, int]:
    counts = np.bincount(split.labels, minlength=len(data.class_names))
    return dict(zip(data.class_names, counts.tolist(), strict=True))


def _digests(split: Split) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in split.images]


def _bad_images(path: Path) -> tuple[str, ...]:
    """Return one line for every image in a folder that cannot be decoded."""
    from cifarlab.data import image, listing

    bad = []
    for file in listing.list_images(path):
        try:
            image.read_image(file)
        except InputError as error:
            bad.append(str(error))
    return tuple(bad)
