"""What a tree of folders means: which folders are splits, which are classes, which are neither.

Every way to read it is tried. One that fits is taken; none is an error with each one's reason;
several are an error that names them, because a guess would train on the wrong classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cifarlab.data.readers.class_folders import (
    classes_of,
    hardly_classes,
    holding_folders,
    labelled_by,
)
from cifarlab.data.readers.entering import enter, give_one
from cifarlab.data.readers.labelling import Labelling, of_pairs, same_class, some
from cifarlab.data.readers.split_folders import (
    are_splits,
    classes_above_splits,
    have_nested_train,
    have_train,
    splits_above_classes,
)
from cifarlab.data.readers.split_names import TRAIN, splits_of
from cifarlab.data.readers.tree import Folder
from cifarlab.data.samples import Rejected
from cifarlab.files import printable


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
    entered = enter(root)
    if isinstance(entered, Rejected):
        return entered
    folder, notes = entered
    divided = [
        splits_above_classes(folder, class_folder),
        classes_above_splits(folder, class_folder),
    ]
    fitting = [answer for answer in divided if isinstance(answer, Labelling)]
    # Where there are splits, reading across them would train on test images.
    undivided = (
        ()
        if fitting or have_nested_train(folder.with_images)
        else [read(folder) for read in READINGS[class_folder]]
    )
    fitting += [answer for answer in undivided if isinstance(answer, Labelling)]
    if len(fitting) > 1:
        ways = " or ".join(f"{way.reading} ({some(way.class_names)})" for way in fitting)
        return Rejected(
            reason=f"the classes may be {ways}; say which with --class-folder first or last"
            f"{_versions(folder)}"
        )
    if not fitting:
        answers = [*divided, *undivided]
        reasons = [answer.reason for answer in answers if isinstance(answer, Rejected)]
        return Rejected(reason="; ".join(dict.fromkeys(filter(None, reasons))))
    (found,) = fitting
    return replace(found, notes=(*notes, *found.notes))


def _versions(folder: Folder) -> str:
    """Return the advice to give one folder, where all hold folders of the same names."""
    inner = folder.with_images
    names = {frozenset(same_class(below.name) for below in f.with_images) for f in inner}
    return f", or {give_one(inner)}" if len(names) == 1 and len(names.pop()) > 1 else ""


def _first_folder_without_splits(folder: Folder) -> Labelling | Rejected:
    """``cat/1.jpg``, unless a class holds a folder called train."""
    if reason := hardly_classes([f.name for f in folder.with_images]):
        return Rejected(reason=reason)
    holding = [c.name for c in folder.with_images if have_train(c.with_images)]
    if holding:
        return Rejected(reason=f"{some(holding)} hold splits; every class must, or none")
    return _first_folder_is_class(folder)


def _first_folder_is_class(folder: Folder) -> Labelling | Rejected:
    """``cat/1.jpg``, with images perhaps deeper."""
    inner = folder.with_images
    if are_splits(inner) and have_train(inner):
        return Rejected(reason="")
    if len(inner) < 2:
        return Rejected(
            reason=f"holds {len(inner)} class folders; at least 2 are needed, each with the "
            "images of one class"
        )
    if are_splits(inner):
        names = some([f.name for f in inner])
        return Rejected(reason=f"holds {names} and no train; add the training images")
    classes = classes_of(inner, folder)
    notes = []
    if spoken := splits_of([f.name for f in inner]):
        notes.append(
            f"read as a class: {some(list(spoken))}; if it is a split, put the class folders of "
            "the training images into a folder called train"
        )
    if folder.images:
        notes.append(
            f"left out {len(folder.images):,} images outside of the class folders, such as "
            f"{printable(folder.images[0].name)}"
        )
    return Labelling(
        reading="the first folders",
        options={"class_folder": "first"},
        class_names=tuple(classes.values()),
        splits={TRAIN: labelled_by(inner, classes)},
        notes=tuple(notes),
    )


def _last_folder_is_class(folder: Folder) -> Labelling | Rejected:
    """``2024/site1/cat/1.jpg``: the folder that holds an image is its class."""
    inner = folder.with_images
    nested = len(inner) >= 2 and not any(f.images for f in inner)
    if not nested or are_splits(inner) or hardly_classes([f.name for f in inner]):
        return Rejected(reason="")
    # Where only some hold splits, reading across those would train on test images.
    if all(have_train(c.with_images) for c in inner) or any(
        have_nested_train(c.with_images) for c in inner
    ):
        return Rejected(reason="")
    return _holding_folder_is_class(folder)


def _holding_folder_is_class(folder: Folder) -> Labelling | Rejected:
    """The folder that holds an image names its class, however deep it is."""
    holding = holding_folders(folder)
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


READINGS: Mapping[str, Sequence[Callable[[Folder], Labelling | Rejected]]] = {
    "auto": (_first_folder_without_splits, _last_folder_is_class),
    "first": (_first_folder_is_class,),
    "last": (_holding_folder_is_class,),
}
