"""Annotation formats that are known and not read: what each is, and how to convert it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

# What they are for, and what is needed instead.
DETECTION = (
    "which are for object detection; cifarlab tells what a whole image is of, and needs one class "
    "for each image: a folder for each class, or a CSV of file and label (--labels)"
)
HEAD_BYTES = 65536
FOLDERS = ("annotations", "annotation", "labels")
# Lines of class and box, as YOLO's: five numbers or more.
BOX = re.compile(rb"\s*\d+([ \t]+[\d.eE+-]+){4,}[ \t]*(?:\r?\n|$)")

CONVERT = "write a CSV of file and label with one class an image, and give it with --labels"


def annotation_format(value: Any) -> str | None:
    """Return what a JSON value is and what to do with it, or ``None`` for no known format."""
    if isinstance(value, list):
        value = value[0] if value else None
        if isinstance(value, dict) and "image" in value and "annotations" in value:
            return f"boxes in Create ML's format, which are not classes of images; {CONVERT}"
    if not isinstance(value, dict):
        return None
    if {"images", "annotations"} <= value.keys():
        return f"annotations in COCO's format, which are for detection; {CONVERT}"
    if "shapes" in value and "imagePath" in value:
        return f"outlines in LabelMe's format, which are not classes of images; {CONVERT}"
    if "_via_img_metadata" in value or "_via_settings" in value:
        return f"regions in VIA's format, which are not classes of images; {CONVERT}"
    return None


def of_objects(
    files: Sequence[PurePath], images: Sequence[PurePath], read: Callable[[PurePath, int], bytes]
) -> str:
    """Return what annotations of objects in images ``files`` hold; empty for none.

    Args:
        files: that are no images.
        images: the images that they may be of.
        read: returns the first bytes of a file, at most so many.
    """
    stems = {image.stem for image in images}
    for file in files:
        suffix, folder = file.suffix.lower(), file.parent.name.casefold()
        if suffix == ".json" and _is_coco(read(file, HEAD_BYTES)):
            return f"{file.name} holds annotations in COCO's format, {DETECTION}"
        if suffix == ".xml" and (folder in FOLDERS or file.stem in stems):
            return f"holds annotations in Pascal VOC's format, {DETECTION}"
        if (
            suffix == ".txt"
            and (folder in FOLDERS or file.stem in stems)
            and BOX.match(read(file, HEAD_BYTES))
        ):
            return f"holds boxes in YOLO's format, {DETECTION}"
    return ""


def _is_coco(head: bytes) -> bool:
    return b'"images"' in head and (b'"annotations"' in head or b'"file_name"' in head)
