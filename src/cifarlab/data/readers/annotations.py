"""Annotation formats that are known and not read: what each is, and how to convert it."""

from __future__ import annotations

from typing import Any

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
