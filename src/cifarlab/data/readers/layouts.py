"""What a tree of folders means: which folders are splits, which are classes, which are neither.

Every way to read it is tried. One that fits is taken; none is an error with each one's reason;
several are an error that names them, because a guess would train on the wrong classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath

from cifarlab.data.readers.labelling import (
    Labelled,
    Labelling,
    natural_order,
    of_pairs,
    same_class,
    some,
)
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION, splits_of
from cifarlab.data.readers.tree import Folder
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError
from cifarlab.files import printable

# What stands beside each other in data whose classes are told elsewhere.
NO_CLASSES = frozenset(
    {"images", "image", "imgs", "jpegimages", "annotations", "annotation", "labels", "trimaps"}
    | {"segmentations", "ground_truth", "groundtruth", "bboxes", "bounding_boxes"}
)


def understand(root: Folder, *, class_folder: str = "auto") -> Labelling | Rejected:
    """Return the one way in which the tree below ``root`` can be read.

    Args:
        class_folder: where the class of an image is named, if folders are nested: ``"first"``, by
            the first folder, ``"last"``, by the folder that holds the image, ``"auto"`` for
            whichever is the only possible one.

    Returns:
        How it is read, or why it cannot be: there is no way, or more than one.

    Raises:
        InputError: class folders are there, and something in them is wrong.
    """
    folder, notes = _without_wrappers(root)
    divided = [
        _splits_above_classes(folder, class_folder),
        _classes_above_splits(folder, class_folder),
    ]
    fitting = [answer for answer in divided if isinstance(answer, Labelling)]
    # Where there are splits, reading across them would train on test images.
    undivided = (
        ()
        if fitting or _has_nested_train(folder)
        else [read(folder) for read in READINGS[class_folder]]
    )
    fitting += [answer for answer in undivided if isinstance(answer, Labelling)]
    if len(fitting) > 1:
        ways = " or ".join(f"{way.reading} ({some(way.class_names)})" for way in fitting)
        return Rejected(
            reason=f"the classes may be {ways}; say which with --class-folder first or last"
        )
    if not fitting:
        answers = [*divided, *undivided]
        reasons = [answer.reason for answer in answers if isinstance(answer, Rejected)]
        return Rejected(reason="; ".join(dict.fromkeys(filter(None, reasons))))
    (found,) = fitting
    return replace(found, notes=(*notes, *found.notes))


def _without_wrappers(folder: Folder) -> tuple[Folder, list[str]]:
    """Descend while a folder holds nothing but one folder that holds folders."""
    notes: list[str] = []
    while True:
        inner = folder.with_images
        if folder.images or len(inner) != 1 or not inner[0].with_images:
            return folder, notes
        folder = inner[0]
        notes.append(f"read from {printable(folder.path)}, the only folder with images")


def _has_nested_train(folder: Folder) -> bool:
    """Whether a folder that is called train holds folders, so that it is hardly a class."""
    spoken = splits_of([f.name for f in folder.with_images])
    return any(spoken.get(f.name) == TRAIN and f.with_images for f in folder.with_images)


def _classes_below(split: Folder, class_folder: str) -> Sequence[Folder] | Rejected:
    """Return the class folders of one split, or why they cannot be told."""
    folder, _ = _without_wrappers(split)
    inner = folder.with_images
    deeper = [below for f in inner for below in f.with_images]
    nested = bool(deeper) and not any(f.images for f in inner)
    if not nested or class_folder == "first":
        return inner
    if class_folder == "last":
        return _holding(folder)
    first, last = some([f.name for f in inner]), some(sorted({f.name for f in deeper}))
    return Rejected(
        reason=f"in {printable(split.name)} the classes may be the first folders ({first}) or the "
        f"folders that hold the images ({last}); say which with --class-folder first or last"
    )


def _holding(folder: Folder) -> list[Folder]:
    """Return a folder for each name of the folders that hold images, with all of their images."""
    groups: dict[str, list[PurePath]] = {}
    for image in folder.everything():
        groups.setdefault(image.parent.name, []).append(image)
    return [
        Folder(path=folder.path / name, folders=(), images=tuple(groups[name]), others=())
        for name in sorted(groups, key=natural_order)
    ]


def _splits_above_classes(folder: Folder, class_folder: str) -> Labelling | Rejected:
    """``train/cat``, ``test/cat`` and the like."""
    spoken = splits_of([f.name for f in folder.with_images])
    by_split: dict[str, list[Folder]] = {}
    for inner in folder.with_images:
        if inner.name in spoken:
            by_split.setdefault(spoken[inner.name], []).append(inner)
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
    if len(folders) < 2:
        count = len(folders)
        return Rejected(reason=f"{train.name} holds {count} class folders; at least 2 are needed")
    classes = _classes_of(folders, train)
    splits = {TRAIN: _labelled(folders, classes)}
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
            splits[split] = _labelled(known, classes)
            notes += _not_measured(split, known, classes)
    rest = [f.name for f in folder.with_images if f.name not in spoken]
    if rest:
        notes.append(f"only the splits are read; left out: {some(rest)}")
    return Labelling(
        reading="folders below the splits",
        class_names=tuple(classes.values()),
        splits=splits,
        unlabelled=tuple(unlabelled),
        notes=tuple(notes),
    )


def _classes_above_splits(folder: Folder, class_folder: str) -> Labelling | Rejected:
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
    classes = _classes(folder)
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


def _first_folder_without_splits(folder: Folder) -> Labelling | Rejected:
    """``cat/1.jpg``, unless a class holds a folder called train."""
    if reason := _no_classes([f.name for f in folder.with_images]):
        return Rejected(reason=reason)
    holding = [c.name for c in folder.with_images if _has_train(c.with_images)]
    if holding:
        return Rejected(reason=f"{some(holding)} hold splits; every class must, or none")
    return _first_folder_is_class(folder)


def _no_classes(names: Sequence[str]) -> str | None:
    found = [name for name in names if name.casefold() in NO_CLASSES]
    if not found or len(names) < 2:
        return None
    return f"folders called {some(found)} are hardly classes; if they are, --class-folder first"


def _first_folder_is_class(folder: Folder) -> Labelling | Rejected:
    """``cat/1.jpg``, with images perhaps deeper."""
    inner = folder.with_images
    if _are_splits(inner) and _has_train(inner):
        return Rejected(reason="")
    if len(inner) < 2:
        return Rejected(
            reason=f"holds {len(inner)} class folders; at least 2 are needed, each with the "
            "images of one class"
        )
    if _are_splits(inner):
        names = some([f.name for f in inner])
        return Rejected(reason=f"holds {names} and no train; add the training images")
    classes = _classes(folder)
    notes = []
    if folder.images:
        notes.append(
            f"left out {len(folder.images):,} images outside of the class folders, such as "
            f"{printable(folder.images[0].name)}"
        )
    return Labelling(
        reading="the first folders",
        options={"class_folder": "first"},
        class_names=tuple(classes.values()),
        splits={TRAIN: _labelled(inner, classes)},
        notes=tuple(notes),
    )


def _last_folder_is_class(folder: Folder) -> Labelling | Rejected:
    """``2024/site1/cat/1.jpg``: the folder that holds an image is its class."""
    inner = folder.with_images
    nested = len(inner) >= 2 and not any(f.images for f in inner)
    if not nested or _are_splits(inner) or all(_has_train(c.with_images) for c in inner):
        return Rejected(reason="")
    return _holding_folder_is_class(folder)


def _holding_folder_is_class(folder: Folder) -> Labelling | Rejected:
    """The folder that holds an image names its class, however deep it is."""
    holding = _holding(folder)
    if len(holding) < 2:
        return Rejected(
            reason=f"{len(holding)} folders hold images; at least 2 are needed, each with the "
            "images of one class"
        )
    labelled = [(image, label) for label, f in enumerate(holding) for image in f.images]
    return Labelling(
        reading="the folders that hold the images",
        options={"class_folder": "last"},
        class_names=tuple(f.name for f in holding),
        splits={TRAIN: of_pairs(labelled)},
    )


def _are_splits(folders: Sequence[Folder]) -> bool:
    return set(splits_of([f.name for f in folders])) == {f.name for f in folders}


def _has_train(folders: Sequence[Folder]) -> bool:
    return TRAIN in splits_of([f.name for f in folders]).values()


def _classes(parent: Folder) -> dict[str, str]:
    """Return the class of each spelling, in numeric or alphabetical order."""
    return _classes_of(parent.with_images, parent)


def _classes_of(folders: Sequence[Folder], parent: Folder) -> dict[str, str]:
    beside = parent.folders
    if parent.linked_out:
        raise InputError(
            f"{printable(parent.linked_out[0])}: a class folder that is a link out of the folder; "
            "read it with --follow-links, or remove the link"
        )
    empty = [f.path for f in beside if f.is_empty]
    if empty:
        raise InputError(f"{printable(empty[0])}: holds no images; add some or remove the folder")
    classes: dict[str, str] = {}
    for folder in sorted(folders, key=lambda f: natural_order(f.name)):
        key = same_class(folder.name)
        if key in classes:
            raise InputError(
                f"{printable(str(folder.path.parent))}: class folders {classes[key]!r} and "
                f"{folder.name!r} differ in case or blanks only; join them, or rename one"
            )
        if not folder.name.isprintable():
            raise InputError(
                f"{printable(folder.path)}: class folder {folder.name!r} has no printable name; "
                "rename it"
            )
        classes[key] = folder.name
    return classes


def _labelled(folders: Sequence[Folder], classes: Mapping[str, str]) -> Labelled:
    order = list(classes)
    labelled = [
        (image, order.index(same_class(folder.name)))
        for folder in sorted(folders, key=lambda f: order.index(same_class(f.name)))
        for image in folder.everything()
    ]
    return of_pairs(labelled)


def _refuse_unknown(split: PurePath, folders: Sequence[Folder], classes: Mapping[str, str]) -> None:
    unknown = [f.name for f in folders if same_class(f.name) not in classes]
    if unknown:
        raise InputError(
            f"{printable(split)}: class {unknown[0]!r} is not among the training classes; "
            "use the same class folders in every split"
        )


def _not_measured(split: str, known: Sequence[Folder], classes: Mapping[str, str]) -> Sequence[str]:
    there = {same_class(f.name) for f in known}
    missing = [name for key, name in classes.items() if key not in there]
    if not missing:
        return ()
    return (f"{split}: no images of {some(missing)}, which is not measured there",)


READINGS: Mapping[str, Sequence[Callable[[Folder], Labelling | Rejected]]] = {
    "auto": (_first_folder_without_splits, _last_folder_is_class),
    "first": (_first_folder_is_class,),
    "last": (_holding_folder_is_class,),
}
