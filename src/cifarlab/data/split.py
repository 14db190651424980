"""``Split``: labelled uint8 images, and what can be done with them."""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import InputError

# Images that are copied at once.
ROWS = 4096
DIGEST_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Split:
    """Labelled images.

    Attributes:
        images: uint8 ``[N, H, W, C]``, 0 to 255, C is 3 (RGB) or 1 (grey); may be memory-mapped.
        labels: int64 ``[N]``, each an index into the dataset's class names.
        names: where each image came from, ``N`` strings, or empty when unknown.

    Example:
        >>> split = Split(images=np.zeros((2, 32, 32, 3), np.uint8), labels=np.array([0, 1]))
        >>> len(split)
        2
    """

    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: np.ndarray[Any, Any]) -> Split:
        """Return the images at ``indices`` (int ``[M]``) in that order, as a copy in memory."""
        names = tuple(self.names[i] for i in indices) if self.names else ()
        images = np.empty((len(indices), *self.images.shape[1:]), self.images.dtype)
        for start in range(0, len(indices), ROWS):
            images[start : start + ROWS] = self.images[indices[start : start + ROWS]]
            release(self.images)
        return Split(images=images, labels=self.labels[indices], names=names)


def release(images: np.ndarray[Any, Any]) -> None:
    """Give the memory of a memory-mapped array back; its file keeps the content."""
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def joined(splits: Iterable[Split]) -> Split:
    """Return the images of several splits as one, in order, those without images left out."""
    all_parts = list(splits)
    parts = [split for split in all_parts if len(split)] or all_parts[:1]
    if len(parts) == 1:
        return parts[0]
    return Split(
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        names=tuple(name for part in parts for name in part.names),
    )


def check_split(split: Split, class_names: tuple[str, ...], where: str) -> None:
    """Raise ``InputError`` unless ``split`` is as ``Split`` describes it.

    Args:
        where: the name of the split in the message.
    """
    images, labels = split.images, split.labels
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(
            f"{where}: images are {images.dtype} {list(images.shape)}; "
            "they must be uint8 [N, height, width, 1 or 3]; convert them first"
        )
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise InputError(
            f"{where}: labels are {labels.dtype} {list(labels.shape)}; "
            f"they must be integers, one for each of the {len(images)} images"
        )
    if len(labels) == 0:
        raise InputError(f"{where}: holds no images; at least one is needed")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(class_names):
        raise InputError(
            f"{where}: labels run from {low} to {high}; "
            f"{len(class_names)} classes allow 0 to {len(class_names) - 1}"
        )


def stratified_split(
    labels: np.ndarray[Any, Any], fraction: float, seed: int
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Divide indices so that ``fraction`` of each class goes to the second part.

    Of a class with two or more members at least one goes to each part.

    Args:
        labels: int ``[N]``.
        fraction: share of the second part, above 0 and below 1.
        seed: 0 or more; the same seed gives the same division.

    Returns:
        Two sorted int64 index arrays that together hold 0 to N-1 once each.

    Raises:
        InputError: ``fraction`` is not between 0 and 1.

    Example:
        >>> kept, held_out = stratified_split(np.repeat([0, 1], 10), 0.1, seed=0)
        >>> len(kept), len(held_out)
        (18, 2)
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"validation fraction {fraction}: it must lie between 0 and 1; use 0.1")
    generator = np.random.default_rng(seed)
    held_out = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        count = round(len(members) * fraction)
        if len(members) > 1:
            count = min(max(count, 1), len(members) - 1)
        held_out.append(members[:count])
    second = np.sort(np.concatenate(held_out)).astype(np.int64)
    first = np.setdiff1d(np.arange(len(labels), dtype=np.int64), second, assume_unique=True)
    return first, second


def pixel_digests(images: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Return a number for each image, uint64 ``[N]``, that only equal pixels have in common.

    The first 8 bytes of the SHA-256 of the pixels, little-endian; among a million different images
    the chance that any two have the same is below one in ten million. Only digests of images of
    one shape can be compared.

    Args:
        images: uint8 ``[N, H, W, C]``, an array or one image after the other.

    Example:
        >>> one, two, three = pixel_digests(np.array([[[[0]]], [[[9]]], [[[0]]]], np.uint8))
        >>> bool(one == three), bool(one == two)
        (True, False)
    """
    digests = (
        hashlib.sha256(np.ascontiguousarray(image).data).digest()[:DIGEST_BYTES] for image in images
    )
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def fingerprint(split: Split, version: int | None = None) -> str:
    """Return the SHA-256 (hex) of a split's content, whatever its order or container.

    Version 1, for 32x32 RGB images of at most 256 classes, is the hash of the sorted,
    concatenated SHA-256 digests of ``bytes([label]) + pixels`` over all images, pixels in
    height-width-channel order. Version 2, for all others, begins with ``"v2:"``; its digests are
    of height, width, channels and label (8 bytes each, little-endian) and the pixels.

    Args:
        version: 1 or 2; ``None`` for the first that covers the split.

    Raises:
        InputError: a label does not fit into the one byte of version 1.
    """
    highest = int(split.labels.max(initial=0))
    if version is None:
        version = 1 if split.images.shape[1:] == (32, 32, 3) and highest < 256 else 2
    if version == 1 and highest > 255:
        raise InputError(
            f"label {highest}: version 1 of the fingerprint covers labels 0 to 255; use version 2"
        )
    shape = struct.pack("<3q", *split.images.shape[1:])
    heads = (
        bytes([int(label)]) if version == 1 else shape + struct.pack("<q", int(label))
        for label in split.labels
    )
    digests = sorted(
        hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).digest()
        for head, image in zip(heads, split.images, strict=True)
    )
    mark = "" if version == 1 else f"v{version}:"
    return mark + hashlib.sha256(b"".join(digests)).hexdigest()
