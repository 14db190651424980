"""Divide images into training, validation and test splits, and say what is unsound about them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cifarlab.data.bad_images import in_one_line
from cifarlab.data.cache import Decoded, say
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.missing_splits import fill_missing, missing_from, too_few
from cifarlab.data.multi_label.copies import refuse_several_labels
from cifarlab.data.readers.labelling import some
from cifarlab.data.split import Split, check_split, pixel_digests
from cifarlab.errors import InputError, UsageError, warn_user
from cifarlab.files import printable


def divide(decoded: Decoded, options: LoadOptions) -> Dataset:
    """Return the three splits; those that the source lacks are taken from its training images.

    The same share of every class is taken, groups are kept together, and the same seed gives the
    same splits. Both shares are of all training images.

    Raises:
        InputError: a class has nothing to be trained on, a split has no images, or many images
            have several labels.
        UsageError: no image's name matches ``group_by``, or the shares leave nothing to train on.
    """
    shown = printable(decoded.source)
    splits = {name: split for name, split in decoded.splits.items() if decoded.has(name)}
    if decoded.skipped and not any(len(split) for split in splits.values()):
        raise InputError(
            f"{shown}: no image can be read: {in_one_line(decoded.skipped)}; repair or remove them"
        )
    _check_classes(splits, decoded, shown)
    missing = missing_from(splits)
    if few := too_few(splits["train"], decoded.class_names, missing):
        warn_user(f"{shown}: {few}")
    if "test" in missing:
        # To the log: it is how data without splits are meant to be read.
        say(None, f"{shown}: no test images; a tenth of each class becomes the test split")
    splits = fill_missing(
        splits,
        groups_of(splits["train"].names, options.group_by, shown) if missing else None,
        validation_fraction=options.validation_fraction,
        seed=options.split_seed,
        shown=shown,
    )
    for name, split in splits.items():
        check_split(split, decoded.class_names, f"{shown} ({name})")
    digests = {name: pixel_digests(split.images) for name, split in splits.items()}
    of_train = {name: splits[name] for name in ("train", *missing)}
    refuse_several_labels(of_train, digests, decoded.class_names, shown)
    warn_of_overlap(digests, shown)
    _warn_of_shared_groups(splits, options.group_by, shown)
    return Dataset(
        name=decoded.name,
        source=decoded.source,
        class_names=decoded.class_names,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        loading=loading_of(decoded, options),
        skipped=decoded.skipped,
    )


def loading_of(decoded: Decoded, options: LoadOptions) -> dict[str, Any]:
    """Return the options with nothing left to be guessed the next time."""
    height, width, channels = decoded.train.images.shape[1:]
    return {
        **options.recorded,
        "image_size": [height, width],
        "channels": "grey" if channels == 1 else "rgb",
        "bits": decoded.bits,
    }


# Which images go where


def groups_of(names: Sequence[str], pattern: str | None, shown: str) -> list[str] | None:
    """Return a key for each image's group; an image whose name does not match is one itself.

    Raises:
        UsageError: no name matches.
    """
    if pattern is None:
        return None
    keys = [_group_of(name, pattern) for name in names]
    unmatched = [name for name, key in zip(names, keys, strict=True) if key is None]
    if len(unmatched) == len(keys):
        example = printable(names[0]) if names else "the images have no names"
        raise UsageError(
            f"{shown}: no image's name matches the group pattern {pattern!r}; "
            f"a name looks like this: {example}"
        )
    if unmatched:
        warn_user(
            f"{shown}: {len(unmatched):,} images are in no group, such as "
            f"{printable(unmatched[0])}; each is taken as a group of its own"
        )
    return [key if key is not None else f"\0{name}" for name, key in zip(names, keys, strict=True)]


def _group_of(name: str, pattern: str) -> str | None:
    match = re.search(pattern, name)
    if match is None:
        return None
    return match[1] if match.re.groups and match[1] is not None else match[0]


# What is unsound


def _check_classes(splits: Mapping[str, Split], decoded: Decoded, shown: str) -> None:
    names = decoded.class_names
    for part, split in splits.items():
        if decoded.skipped and not len(split):
            raise InputError(
                f"{shown} ({part}): holds no images that can be read: "
                f"{in_one_line(decoded.skipped)}; repair or remove them"
            )
        check_split(split, names, f"{shown} ({part})")
    counts = {part: np.bincount(s.labels, minlength=len(names)) for part, s in splits.items()}
    total: np.ndarray[Any, Any] = np.sum(list(counts.values()), axis=0)
    gone = [
        name
        for name, here, everywhere in zip(names, counts["train"], total, strict=True)
        if here == 0 and (everywhere or decoded.skipped)
    ]
    if gone:
        bad = f" (bad are {in_one_line(decoded.skipped)})" if decoded.skipped else ""
        raise InputError(
            f"{shown}: class {gone[0]!r} has no good images to train on{bad}; add some"
        )
    empty = [name for name, here in zip(names, counts["train"], strict=True) if here == 0]
    if empty:
        warn_user(f"{shown}: no images at all of {some(empty)}; it cannot be learnt")
    for part in ("validation", "test"):
        lacking = [n for n, c in zip(names, counts.get(part, total), strict=True) if c == 0]
        lacking = [name for name in lacking if name not in empty]
        if lacking:
            warn_user(
                f"{shown}: {part} has no images of {some(lacking)}, so that class is not "
                "measured there"
            )


def warn_of_overlap(digests: Mapping[str, np.ndarray[Any, Any]], shown: str) -> None:
    """Say how many images of validation and test have the pixels of one that is trained on."""
    for part in ("validation", "test"):
        count = int(np.isin(digests[part], digests["train"]).sum())
        if count:
            images = "1 image" if count == 1 else f"{count:,} images"
            warn_user(
                f"{shown}: {images} of {len(digests[part]):,} in {part} are in train too, pixel "
                f"for pixel; accuracy on {part} comes out too high (cifarlab data show shows them)"
            )


def _warn_of_shared_groups(splits: Mapping[str, Split], pattern: str | None, shown: str) -> None:
    """Say where the source itself has divided groups."""
    if pattern is None:
        return
    keys = {
        part: {_group_of(name, pattern) for name in split.names} - {None}
        for part, split in splits.items()
    }
    for part in ("validation", "test"):
        shared = keys["train"] & keys[part]
        if shared:
            warn_user(
                f"{shown}: {len(shared):,} groups are in train and in {part}, as the source "
                "divides them"
            )
