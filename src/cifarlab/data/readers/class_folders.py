"""Folders that stand for a class each: their names, and the images in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from cifarlab.data.readers.labelling import Labelled, natural_order, of_pairs, same_class, some
from cifarlab.data.readers.tree import Folder
from cifarlab.data.readers.unread import are_unread_images, unread_images
from cifarlab.errors import InputError
from cifarlab.files import printable

# What stands beside each other in data whose classes are told elsewhere.
NO_CLASSES = frozenset(
    {"images", "image", "imgs", "jpegimages", "annotations", "annotation", "labels", "trimaps"}
    | {"segmentations", "ground_truth", "groundtruth", "bboxes", "bounding_boxes", "masks"}
)


def hardly_classes(names: Sequence[str]) -> str:
    """Return why folders of these names are hardly classes; empty if they may be."""
    found = [name for name in names if name.casefold() in NO_CLASSES]
    if not found or len(names) < 2:
        return ""
    return f"folders called {some(found)} are hardly classes; if they are, --class-folder first"


def without_wrappers(folder: Folder) -> tuple[Folder, list[str]]:
    """Descend while a folder holds nothing but one folder that holds folders."""
    notes: list[str] = []
    while True:
        inner = folder.with_images
        if folder.images or len(inner) != 1 or not inner[0].with_images:
            return folder, notes
        folder = inner[0]
        notes.append(f"read from {printable(folder.path)}, the only folder with images")


def holding_folders(folder: Folder) -> list[Folder]:
    """Return a folder for each name of the folders that hold images, with all of their images."""
    groups: dict[str, list[PurePath]] = {}
    for image in folder.everything():
        groups.setdefault(image.parent.name, []).append(image)
    return [
        Folder(path=folder.path / name, folders=(), images=tuple(groups[name]), others=())
        for name in sorted(groups, key=natural_order)
    ]


def classes_of(folders: Sequence[Folder], parent: Folder) -> dict[str, str]:
    """Return the class of each spelling, in numeric or alphabetical order.

    Args:
        parent: what the folders are in; what else is in it is checked.

    Raises:
        InputError: a class has no images that are read, or its name cannot be used.
    """
    _check_beside(parent)
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
        classes[key] = folder.name.strip()
    return classes


def _check_beside(parent: Folder) -> None:
    """Refuse folders that would be classes if they held images that are read."""
    if parent.linked_out:
        raise InputError(
            f"{printable(parent.linked_out[0])}: a class folder that is a link out of the folder; "
            "read it with --follow-links, or remove the link"
        )
    for folder in parent.folders:
        if folder.is_empty:
            raise InputError(
                f"{printable(folder.path)}: holds no images; add some or remove the folder"
            )
        files = list(folder.other_files())
        if are_unread_images(files) and not folder.has_images:
            raise InputError(f"{printable(folder.path)}: {unread_images(files)}")


def labelled_by(folders: Sequence[Folder], classes: Mapping[str, str]) -> Labelled:
    """Return all images in ``folders``, each of the class that its folder is called after."""
    order = list(classes)
    labelled = [
        (image, order.index(same_class(folder.name)))
        for folder in sorted(folders, key=lambda f: order.index(same_class(f.name)))
        for image in folder.everything()
    ]
    return of_pairs(labelled)
