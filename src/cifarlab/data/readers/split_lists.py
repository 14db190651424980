"""Divide images as the lists of splits beside them say: ``train.txt``, ``splits.csv`` and the like.

Without them the images that others test on would be trained on, and the numbers would mean
nothing. Lists that name images beyond doubt are used; of others it is said that they are there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from cifarlab.data.readers.image_index import index_images
from cifarlab.data.readers.labelling import Labelling, of_pairs, some
from cifarlab.data.readers.places import Place
from cifarlab.data.readers.split_list_files import (
    TABLES,
    TEXTS,
    UNREAD,
    SplitList,
    UnclearListError,
    read_list,
    speaks_of_splits,
)
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION
from cifarlab.files import printable

# Deeper files, and more of them, are no lists of this kind.
MAX_DEPTH = 4
MAX_FILES = 100
DIGITS = re.compile(r"\d+")


def divided(place: Place, labelling: Labelling) -> Labelling:
    """Return ``labelling`` divided as the lists in ``place`` say; a note tells which, or why not.

    Images that no list names are trained on where no list says what is to be trained on, and left
    out where one does. What is in test or validation without the lists stays there.
    """
    files = _candidates(place)
    if not files:
        return labelling
    index = index_images(place.path, place.listing.root.everything())
    lists: list[SplitList] = []
    try:
        for path in files:
            # A table that labels images of one split is no list of it: it is used already.
            if path in labelling.tables and len(labelling.splits) > 1:
                continue
            found = read_list(index, path, place.read)
            if found is not None and (path not in labelling.tables or _is_divided(found)):
                lists.append(found)
        lists = _without_repeats(lists, labelling)
        by_split = _by_split(labelling, _together(lists))
    except UnclearListError as unclear:
        return _not_used(labelling, [path for path in files if speaks_of_splits(path)], unclear)
    if by_split == {split: labelled.paths for split, labelled in labelling.splits.items()}:
        return _with_unread(labelling, files)
    return _as_listed(labelling, by_split, lists)


def _candidates(place: Place) -> list[PurePath]:
    """Return the files that may be such lists, those nearest to the root first."""
    depth = len(place.path.parts)
    found = []
    for file in place.listing.root.other_files():
        suffix = file.suffix.lower()
        speaks = suffix in (*TEXTS, *UNREAD) and speaks_of_splits(file)
        is_table = suffix in TABLES and "submission" not in file.stem.casefold()
        if (speaks or is_table) and len(file.parts) - depth <= MAX_DEPTH:
            found.append(file)
    return sorted(found, key=lambda file: (len(file.parts), str(file)))[:MAX_FILES]


def _is_divided(one: SplitList) -> bool:
    return len(set(one.splits.values())) > 1


def _without_repeats(lists: Sequence[SplitList], labelling: Labelling) -> list[SplitList]:
    """Return the lists without ``trainval.txt`` and its like, where others name the same images."""
    kept: list[SplitList] = []
    named: dict[PurePath, str] = {}
    if len(labelling.splits) > 1 and labelling.tables:
        named = {image: split for image, (split, _) in labelling.by_path.items()}
    for one in sorted(lists, key=lambda one: len(one.splits)):
        repeats = set(one.splits.values()) == {TRAIN} and all(
            named.get(image) in (TRAIN, VALIDATION) for image in one.splits
        )
        if not repeats:
            kept.append(one)
            named |= one.splits
    return kept


def _together(lists: Sequence[SplitList]) -> dict[PurePath, str]:
    """Return the split of each image.

    Raises:
        UnclearListError: an image is in two splits, or lists are numbered: one of them is meant.
    """
    splits: dict[PurePath, str] = {}
    numbered: dict[PurePath, SplitList] = {}
    for one in lists:
        other = numbered.setdefault(one.path.with_name(DIGITS.sub("", one.path.name)), one)
        if other.splits != one.splits:
            raise UnclearListError(f"{other.path.name} and {one.path.name} say the same split")
        for image, split in one.splits.items():
            if splits.setdefault(image, split) != split:
                raise UnclearListError(f"{printable(image)} is in {splits[image]} and in {split}")
    return splits


def _by_split(
    labelling: Labelling, splits: Mapping[PurePath, str]
) -> dict[str, tuple[PurePath, ...]]:
    """Return the images of each split.

    Raises:
        UnclearListError: the lists contradict the folders, or leave a class untrained.
    """
    rest = None if TRAIN in splits.values() else TRAIN
    by_split: dict[str, list[PurePath]] = {}
    trained: set[int] = set()
    for own, labelled in labelling.splits.items():
        for image, label in zip(labelled.paths, labelled.labels, strict=True):
            listed = splits.get(image)
            if own != TRAIN and listed not in (None, own):
                raise UnclearListError(f"{printable(image)} is in {own}, and listed in {listed}")
            split = own if own != TRAIN else listed or rest
            if split is not None:
                by_split.setdefault(split, []).append(image)
            if split == TRAIN:
                trained.add(label)
    untrained = [name for i, name in enumerate(labelling.class_names) if i not in trained]
    if untrained:
        raise UnclearListError(f"no training images of {some(untrained)} would be left")
    order = [split for split in (TRAIN, VALIDATION, TEST) if split in by_split]
    return {split: tuple(by_split[split]) for split in order}


def _as_listed(
    labelling: Labelling, by_split: Mapping[str, Sequence[PurePath]], lists: Sequence[SplitList]
) -> Labelling:
    labels = {
        image: label
        for labelled in labelling.splits.values()
        for image, label in zip(labelled.paths, labelled.labels, strict=True)
    }
    splits = {
        split: of_pairs([(image, labels[image]) for image in images])
        for split, images in by_split.items()
    }
    counts = ", ".join(f"{len(images):,} {split}" for split, images in by_split.items())
    paths = [one.path for one in lists]
    notes = [f"splits as listed in {some([str(path) for path in paths])}: {counts}"]
    if without := len(labels) - sum(map(len, by_split.values())):
        notes.append(f"left out {without:,} images that are listed in no split")
    if missing := sum(one.missing for one in lists):
        notes.append(f"{missing:,} lines of these lists name no image there is")
    return replace(
        labelling,
        splits=splits,
        tables=tuple(dict.fromkeys((*labelling.tables, *paths))),
        notes=(*labelling.notes, *notes),
    )


# What is not used


def _not_used(labelling: Labelling, files: Sequence[PurePath], why: Exception) -> Labelling:
    named = some([str(path) for path in files])
    note = (
        f"lists of splits that are not used, since {why}: {named}; to use some, keep one list for "
        "each split"
    )
    return replace(labelling, notes=(*labelling.notes, note))


def _with_unread(labelling: Labelling, files: Sequence[PurePath]) -> Labelling:
    """Add a note on files that may divide the images, where nothing else does."""
    unread = [str(path) for path in files if path.suffix.lower() in UNREAD]
    if not unread or len(labelling.splits) > 1:
        return labelling
    note = (
        f"{some(unread)} may say which images are in which split, and cannot be read; write a CSV "
        "of path and split beside the images to use it"
    )
    return replace(labelling, notes=(*labelling.notes, note))
