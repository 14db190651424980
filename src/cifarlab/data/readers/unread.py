"""Images in formats that are not read: which they are, and what to do, in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath

CONVERT = "convert them to PNG or JPEG"
DEVELOP = "develop them to PNG or JPEG with the camera's program or darktable"
SCANS = "write what is to be seen in them as PNG (pydicom, nibabel)"
FRAMES = (
    "write frames of them as PNG or JPEG (ffmpeg); keep those of one video together (--group-by)"
)

IMAGES: Mapping[str, str] = {
    **dict.fromkeys((".tga", ".ico", ".pcx", ".dds", ".exr", ".hdr", ".psd", ".xcf"), CONVERT),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2"), DEVELOP),
    **dict.fromkeys((".pef", ".srw"), DEVELOP),
    **dict.fromkeys((".dcm", ".dicom", ".nii", ".mha", ".nrrd"), SCANS),
}
DOCUMENTS: Mapping[str, str] = {
    **dict.fromkeys((".pdf", ".eps", ".djvu"), CONVERT),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm"), FRAMES),
}


def are_unread_images(files: Sequence[PurePath]) -> bool:
    """Whether all of ``files`` are images in formats that are not read."""
    return bool(files) and all(file.suffix.lower() in IMAGES for file in files)


def unread_images(files: Sequence[PurePath]) -> str:
    """Return which images of ``files`` are not read and what to do; empty if there are none.

    Example:
        >>> unread_images([PurePath("a/1.tga"), PurePath("a/2.TGA"), PurePath("a/notes.txt")])
        'holds 2 .tga files, which are not read; convert them to PNG or JPEG'
    """
    known = {**IMAGES, **DOCUMENTS}
    suffixes = Counter(file.suffix.lower() for file in files)
    counts = [(suffix, n) for suffix, n in suffixes.most_common() if suffix in known]
    if not counts:
        return ""
    named = " and ".join(f"{n:,} {suffix} {'file' if n == 1 else 'files'}" for suffix, n in counts)
    remedies = "; ".join(dict.fromkeys(known[suffix] for suffix, _ in counts))
    are = "is" if sum(n for _, n in counts) == 1 else "are"
    return f"holds {named}, which {are} not read; {remedies}"
