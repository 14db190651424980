"""Images that are no images of a class: masks and annotations of others, and whole copies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

from cifarlab.data.readers.labelling import same_class
from cifarlab.data.readers.tree import Folder
from cifarlab.files import printable

IMAGES = frozenset({"images", "image", "imgs", "img", "jpegimages"})
# What stands beside folders of these names and says something of the images there.
ANNOTATIONS = frozenset(
    {"annotations", "annotation", "labels", "label", "masks", "mask", "trimaps", "gt"}
    | {"segmentations", "segmentation", "ground_truth", "groundtruth", "bboxes", "bounding_boxes"}
)
# "benign (1)_mask.png" and "benign (1)_mask_1.png" belong to "benign (1).png".
MASK = re.compile(r"(.+?)[ _-](?:masks?|segmentation|seg|gt)(?:[ _-]?\d+)?", re.IGNORECASE)


def without_companions(root: Folder, *, class_folder: str) -> tuple[Folder, tuple[str, ...]]:
    """Return ``root`` without what belongs to other images, and one line for each kind left out.

    Args:
        class_folder: where it is ``"first"``, folders right below ``root`` that hold nothing but
            images are classes, whatever they are called.
    """
    folders: list[PurePath] = []
    files: list[PurePath] = []
    copies: list[PurePath] = []

    def cleaned(folder: Folder) -> Folder:
        left_out = _copies(folder)
        copies.extend(f.path for f in left_out)
        are_classes = folder is root and class_folder == "first"
        annotations = [] if are_classes and not _nested(folder) else _annotations(folder)
        if folder is not root and folder.images:
            # Class folders hold no classes, so that these can be nothing else.
            annotations += _called_annotations(folder)
        folders.extend(f.path for f in annotations)
        masks = _masks(folder.images)
        files.extend(masks)
        gone = {f.path for f in left_out}
        emptied = {f.path for f in annotations}
        return replace(
            folder,
            folders=tuple(
                _without_images(f) if f.path in emptied else cleaned(f)
                for f in folder.folders
                if f.path not in gone
            ),
            images=tuple(i for i in folder.images if i not in masks),
            skipped=folder.skipped + len(gone) + len(masks),
        )

    kept = cleaned(root)
    return kept, (
        *_said(folders, "folders of annotations beside images"),
        *_said(files, "masks of the images beside them"),
        *_said(copies, "folders that hold the same folders as are beside them, perhaps copies"),
    )


def _said(paths: Sequence[PurePath], what: str) -> tuple[str, ...]:
    if not paths:
        return ()
    return (f"left out {len(paths):,} {what}, such as {printable(min(paths))}",)


def _without_images(folder: Folder) -> Folder:
    """Return the folder with its other files, which may be tables and lists."""
    return replace(
        folder,
        folders=tuple(map(_without_images, folder.folders)),
        images=(),
        skipped=folder.skipped + len(folder.images),
    )


def _nested(folder: Folder) -> bool:
    return any(f.with_images for f in folder.with_images)


def _annotations(folder: Folder) -> list[Folder]:
    """Return the folders of annotations in a folder of nothing but images and annotations."""
    inner = folder.with_images
    found = _called_annotations(folder)
    images = [f for f in inner if f.name.casefold() in IMAGES]
    return found if images and len(found) + len(images) == len(inner) else []


def _called_annotations(folder: Folder) -> list[Folder]:
    return [f for f in folder.with_images if f.name.casefold() in ANNOTATIONS]


def _copies(folder: Folder) -> list[Folder]:
    """Return the folders that hold the same folders as are beside them."""
    inner = folder.with_images
    names = {f.path: same_class(f.name) for f in inner}
    nested = [f for f in inner if len(f.with_images) > 1]
    return [
        f
        for f in nested
        if {same_class(below.name) for below in f.with_images}
        == {name for path, name in names.items() if path != f.path}
    ]


def _masks(images: Sequence[PurePath]) -> set[PurePath]:
    """Return the masks among ``images``, if most of the others have one."""
    matches = {image: match for image in images if (match := MASK.fullmatch(image.stem))}
    if not matches:
        return set()
    stems = {image.stem for image in images if image not in matches}
    masks = {image for image, match in matches.items() if match[1] in stems}
    masked = {matches[image][1] for image in masks}
    return masks if 2 * len(masked) >= len(stems) else set()
