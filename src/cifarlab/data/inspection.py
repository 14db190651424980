"""Describe a dataset, and check it for problems."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shlex
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from cifarlab.data.catalog import load_without_bad
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.split import Split, fingerprint, pixel_digests

DEFAULTS = LoadOptions()


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
    return {
        "name": data.name,
        "source": data.source,
        "class_names": list(data.class_names),
        "train_fingerprint": train_fingerprint(data),
        "splits": {
            part: {
                "count": len(split),
                "per_class": _per_class(data, split),
                "image_size": list(split.images.shape[1:3]),
                "fingerprint": fingerprint(split),
            }
            for part, split in _splits(data).items()
        },
    }


def load_with_notes(
    spec: str | os.PathLike[str], options: LoadOptions = DEFAULTS
) -> tuple[Dataset, list[str]]:
    """Load a dataset without its bad images, and what else is said about how it is read.

    Raises:
        CifarlabError: as ``load_dataset``, when nothing can be loaded.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_without_bad(spec, replace(options, skip_bad=True))
    needed = options.skip_bad or bool(data.skipped)
    data = replace(data, loading={**data.loading, "skip_bad": needed})
    return data, [str(warning.message) for warning in caught]


def check(data: Dataset) -> dict[str, Any]:
    """Return the problems of a dataset as plain JSON values.

    ``bad_files`` has one line for each image that cannot be used. ``duplicates`` counts
    images whose pixels equal an earlier one's: ``within`` a split, and ``between`` two (how
    many images of the second are in the first too). ``imbalance`` is the largest class over the
    smallest, in all splits together, to two places, or ``None`` when a class is empty. ``ok`` says
    that there are no bad files, duplicates or empty classes.

    Example:
        >>> from cifarlab.data.catalog import load_dataset
        >>> check(load_dataset("shapes10"))["ok"]
        True
    """
    splits = _splits(data)
    digests = {part: pixel_digests(split.images) for part, split in splits.items()}
    within = {part: len(here) - len(np.unique(here)) for part, here in digests.items()}
    between = {
        f"{first}-{second}": int(np.isin(digests[second], digests[first]).sum())
        for first, second in itertools.combinations(splits, 2)
    }
    totals = np.sum([list(_per_class(data, split).values()) for split in splits.values()], axis=0)
    labels = np.concatenate([split.labels for split in splits.values()])
    empty = [name for name, n in zip(data.class_names, totals, strict=True) if n == 0]
    return {
        "name": data.name,
        "source": data.source,
        "ok": not data.skipped and not empty and not any([*within.values(), *between.values()]),
        "bad_files": list(data.skipped),
        "duplicates": {"within": within, "between": between},
        "per_class": {part: _per_class(data, split) for part, split in splits.items()},
        "imbalance": None if empty else round(float(totals.max() / totals.min()), 2),
        "empty_classes": empty,
        "label_range": [int(labels.min()), int(labels.max())],
    }


def command(spec: str | os.PathLike[str], data: Dataset) -> str:
    """Return a command that trains on the same images, with nothing left to be guessed.

    Example:
        >>> from cifarlab.data.catalog import load_dataset
        >>> command("shapes10", load_dataset("shapes10"))
        'cifarlab train --data shapes10 --image-size 32 --channels rgb'
    """
    height, width, channels = data.train.images.shape[1:]
    size = str(height) if height == width else f"{height}x{width}"
    words = ["cifarlab", "train", "--data", os.fspath(spec), "--image-size", size]
    words += ["--channels", "grey" if channels == 1 else "rgb"]
    for field in dataclasses.fields(LoadOptions):
        value = data.loading.get(field.name, field.default)
        if field.name in ("image_size", "channels") or value == field.default:
            continue
        if (field.name, value) == ("bits", 16):
            continue
        option = "--" + field.name.replace("_", "-")
        words += [option] if value is True else [option, str(value)]
    return shlex.join(words)


def _splits(data: Dataset) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def _per_class(data: Dataset, split: Split) -> dict[str, int]:
    counts = np.bincount(split.labels, minlength=len(data.class_names))
    return dict(zip(data.class_names, counts.tolist(), strict=True))
