"""Folders that stand for a split each, above the class folders or below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from cifarlab.data.readers.class_folders import (
    classes_of,
    hardly_classes,
    holding_folders,
    labelled_by,
    without_wrappers,
)
from cifarlab.data.readers.labelling import Labelling, of_pairs, same_class, some
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION, splits_of
from cifarlab.data.readers.tree import Folder
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError
from cifarlab.files import printable


def are_splits(folders: Sequence[Folder]) -> bool:
    """Whether each of the folders is called after a split."""
    return set(splits_of([f.name for f in folders])) == {f.name for f in folders}


def have_train(folders: Sequence[Folder]) -> bool:
    """Whether one of the folders is called after the training split."""
    return TRAIN in splits_of([f.name for f in folders]).values()


def have_nested_train(folders: Sequence[Folder]) -> bool:
    """Whether a folder that is called train holds folders, so that it is hardly a class."""
    spoken = splits_of([f.name for f in folders])
    return any(spoken.get(f.name) == TRAIN and f.with_images for f in folders)


def splits_above_classes(folder: Folder, class_folder: str) -> Labelling | Rejected:
    """``train/cat``, ``test/cat`` and the like."""
    by_split = {split: _with_classes(group) for split, group in _by_split(folder).items()}
    if TRAIN not in by_split:
        return Rejected(reason="")
    twice = next((group for group in by_split.values() if len(group) > 1), None)
    if twice:
        names = " and ".join(printable(f.name) for f in twice)
        return Rejected(reason=f"holds {names}; keep one of them")
    train = by_split[TRAIN][0]
    folders = _classes_below(train, class_folder)
    if isinstance(folders, Rejected):
        return folders
    names_of_classes = [f.name for f in folders]
    if len(folders) < 2:
        count = len(folders)
        return Rejected(reason=f"{train.name} holds {count} class folders; at least 2 are needed")
    if class_folder != "first" and (reason := hardly_classes(names_of_classes)):
        return Rejected(reason=f"{printable(train.name)}: {reason}")
    classes = classes_of(folders, train)
    splits = {TRAIN: labelled_by(folders, classes)}
    unlabelled: list[PurePath] = []
    notes: list[str] = []
    for split in (VALIDATION, TEST):
        for other in by_split.get(split, ()):
            below = _classes_below(other, class_folder)
            found = other.with_images if isinstance(below, Rejected) else below
            known = [f for f in found if same_class(f.name) in classes]
            if not known:
                images = tuple(other.everything())
                unlabelled += images
                notes.append(
                    f"{printable(other.name)}: {len(images):,} images without class folders are "
                    "left out; cifarlab predict takes them"
                )
                continue
            _refuse_unknown(other.path, found, classes)
            splits[split] = labelled_by(known, classes)
    read = {f.name for group in by_split.values() for f in group}
    rest = [f.name for f in folder.with_images if f.name not in read]
    if rest:
        notes.append(f"only the splits are read; left out: {some(rest)}")
    return Labelling(
        reading="folders below the splits",
        class_names=tuple(classes.values()),
        splits=splits,
        unlabelled=tuple(unlabelled),
        notes=tuple(notes),
    )


def classes_above_splits(folder: Folder, class_folder: str) -> Labelling | Rejected:
    """``cat/train``, ``cat/test`` and the like."""
    inner = folder.with_images
    spoken = [splits_of([f.name for f in c.with_images]) for c in inner]
    fits = len(inner) >= 2 and all(
        not c.images and len(s) == len(c.with_images) and TRAIN in s.values()
        for c, s in zip(inner, spoken, strict=True)
    )
    if not fits:
        return Rejected(reason="")
    deeper = sorted({f.name for c in inner for s in c.with_images for f in s.with_images})
    if len(deeper) > 1 and class_folder != "first":
        return Rejected(
            reason=f"the classes may be {some([c.name for c in inner])}, above the splits, or "
            f"{some(deeper)}, below them; if they are above, say --class-folder first, else put "
            "the splits above all other folders"
        )
    classes = classes_of(inner, folder)
    order = list(classes)
    splits = {}
    for split in (TRAIN, VALIDATION, TEST):
        labelled = [
            (image, order.index(same_class(c.name)))
            for c, s in zip(inner, spoken, strict=True)
            for f in c.with_images
            if s[f.name] == split
            for image in f.everything()
        ]
        if labelled:
            splits[split] = of_pairs(labelled)
    return Labelling(
        reading="folders above the splits", class_names=tuple(classes.values()), splits=splits
    )


def _by_split(folder: Folder) -> dict[str, list[Folder]]:
    """Return the folders that speak of each split."""
    spoken = splits_of([f.name for f in folder.with_images])
    by_split: dict[str, list[Folder]] = {}
    for inner in folder.with_images:
        if inner.name in spoken:
            by_split.setdefault(spoken[inner.name], []).append(inner)
    return by_split


def _with_classes(group: Sequence[Folder]) -> Sequence[Folder]:
    """Return the only folder of one split with folders in it, or all of them."""
    nested = [folder for folder in group if folder.with_images]
    return nested if len(nested) == 1 else group


def _classes_below(split: Folder, class_folder: str) -> Sequence[Folder] | Rejected:
    """Return the class folders of one split, or why they cannot be told."""
    folder, _ = without_wrappers(split)
    inner = folder.with_images
    deeper = [below for f in inner for below in f.with_images]
    nested = bool(deeper) and not any(f.images for f in inner)
    if not nested or class_folder == "first":
        return inner
    if class_folder == "last":
        return holding_folders(folder)
    first, last = some([f.name for f in inner]), some(sorted({f.name for f in deeper}))
    return Rejected(
        reason=f"in {printable(split.name)} the classes may be the first folders ({first}) or the "
        f"folders that hold the images ({last}); say which with --class-folder first or last"
    )


def _refuse_unknown(split: PurePath, folders: Sequence[Folder], classes: Mapping[str, str]) -> None:
    unknown = [f.name for f in folders if same_class(f.name) not in classes]
    if unknown:
        raise InputError(
            f"{printable(split)}: class {unknown[0]!r} is not among the training classes; "
            "use the same class folders in every split"
        )
