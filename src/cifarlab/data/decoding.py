"""Decode what a reader found, on all cores, into the cache.

The images are written straight into the cache's files, so that memory stays flat however many
there are.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cifarlab.data import cache
from cifarlab.data.bad_images import refusal
from cifarlab.data.image_format import ImageFormat
from cifarlab.data.load_options import AUTO, CHANNELS, LoadOptions
from cifarlab.data.samples import Found, Samples, Stored
from cifarlab.data.split import Split, release
from cifarlab.errors import InputError
from cifarlab.runtime.cores import usable_cores
from cifarlab.runtime.parallel import in_order

if TYPE_CHECKING:
    from cifarlab.data.image import DecodedImage

# The largest own size, on either side, that is kept without being asked for.
LARGEST_OWN = 64
SMALLEST_OWN = 8
# Images that one thread decodes in a row: starting one costs as much as a small image.
CHUNK = 16
PROGRESS_EVERY = 1000
FULL_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """What came of a few images: their positions, and what was seen in them."""

    bad: tuple[tuple[int, str], ...]
    grey: bool
    highest: int


def unchanged(decoded: cache.Decoded) -> cache.Decoded:
    """Return ``decoded``."""
    return decoded


def decode(
    found: Found,
    options: LoadOptions,
    finish: Callable[[cache.Decoded], cache.Decoded] = unchanged,
) -> cache.Decoded:
    """Return the images that a reader found, from the cache where they have been decoded before.

    Args:
        finish: called with newly decoded images; what it returns is kept.

    Raises:
        InputError: an image is bad, and bad ones are not to be left out.
        ResourceError: the memory does not suffice.
    """
    size = _wanted_size(found, options)

    def build(allocate: cache.Allocate) -> cache.Decoded:
        return finish(_decode(found, options, size, allocate))

    # A key takes a look at every file, so the second one is made where it is needed only.
    decoded = _as_guessed(found, size, options)
    if decoded is None:
        decoded = cache.get(_key(found, size, options), build, progress=options.progress)
    if decoded.skipped and not options.skip_bad:
        raise InputError(refusal(found, decoded.skipped))
    return decoded


def _key(found: Found, size: tuple[int, int], options: LoadOptions) -> str:
    decisive = (size, options.channels, options.resize_mode, options.bits, _labels_of(found))
    return cache.key_for(Path(found.source), found.files, decisive)


def _as_guessed(found: Found, size: tuple[int, int], options: LoadOptions) -> cache.Decoded | None:
    """Return the entry whose channels and bits were guessed, where they are those asked for now.

    A run records what was guessed, and asks for just that when its data are read again.
    """
    guessed = replace(options, channels=AUTO, bits=None)
    entry = cache.read(_key(found, size, guessed)) if guessed != options else None
    if entry is None:
        return None
    same_channels = CHANNELS[options.channels] in (None, entry.train.images.shape[3])
    return entry if same_channels and options.bits in (None, entry.bits) else None


def decode_in_memory(found: Found, options: LoadOptions) -> cache.Decoded:
    """Decode like ``decode``, into memory; nothing is kept.

    Raises:
        InputError: an image is bad.
    """
    size = _wanted_size(found, options)
    decoded = _decode(found, options, size, cache.in_memory)
    if decoded.skipped:
        raise InputError(refusal(found, decoded.skipped))
    return decoded


def _wanted_size(found: Found, options: LoadOptions) -> tuple[int, int]:
    return options.size or own_size(found) or (options.photo_size, options.photo_size)


def own_size(found: Found) -> tuple[int, int] | None:
    """Return height and width of the images where all have the same, and it is a small one."""
    size = None
    for samples in found.splits.values():
        for stored in samples.contents():
            here = _size(stored)
            if here is None:
                continue
            if here != (size or here) or not all(SMALLEST_OWN <= s <= LARGEST_OWN for s in here):
                return None
            size = here
    return size


def _size(stored: Stored) -> tuple[int, int] | None:
    """Return height and width of an image, or ``None`` where it cannot be read."""
    from cifarlab.data.image import probe

    if isinstance(stored, np.ndarray):
        return stored.shape[0], stored.shape[1]
    try:
        header = probe(stored)
    except InputError:
        return None
    return header.height, header.width


def _decode(
    found: Found, options: LoadOptions, size: tuple[int, int], allocate: cache.Allocate
) -> cache.Decoded:
    bits = options.bits or FULL_BITS
    seen, splits, bad = _decode_splits(found, options, size, bits, allocate)
    needed = _bits(seen.highest)
    if options.bits is None and needed < bits:
        bits = needed
        seen, splits, bad = _decode_splits(found, options, size, bits, allocate)
    if options.channels == AUTO and seen.grey and any(len(s) for s in splits.values()):
        splits = {name: _one_channel(split) for name, split in splits.items()}
    return cache.Decoded(
        name=found.name,
        source=found.source,
        class_names=found.class_names,
        train=splits["train"],
        validation=splits.get("validation", cache.NOTHING),
        test=splits.get("test", cache.NOTHING),
        skipped=tuple(bad),
        bits=bits,
        grey=seen.grey,
    )


def _decode_splits(
    found: Found,
    options: LoadOptions,
    size: tuple[int, int],
    bits: int,
    allocate: cache.Allocate,
) -> tuple[Chunk, dict[str, Split], list[str]]:
    channels = CHANNELS[options.channels] or 3
    seen = Chunk(bad=(), grey=True, highest=0)
    splits = {}
    bad: list[str] = []
    total = sum(len(samples) for samples in found.splits.values())
    done = 0
    for part, samples in found.splits.items():
        images = allocate(part, (len(samples), *size, channels))
        wrong: list[tuple[int, str]] = []
        for chunk in _in_parallel(samples, images, options.resize_mode, bits):
            wrong += chunk.bad
            seen = Chunk(
                bad=(), grey=seen.grey and chunk.grey, highest=max(seen.highest, chunk.highest)
            )
            before, done = done, min(done + CHUNK, total)
            if options.progress and done // PROGRESS_EVERY > before // PROGRESS_EVERY:
                release(images)
                options.progress(f"decoded {done:,} of {total:,} images")
        bad += [message for _, message in sorted(wrong)]
        splits[part] = _without(samples, images, {index for index, _ in wrong})
    return seen, splits, bad


def _in_parallel(
    samples: Samples, images: np.ndarray[Any, Any], resize_mode: str, bits: int
) -> Iterator[Chunk]:
    """Decode into ``images``; few images are waiting at any time, however many there are."""

    def work(items: list[tuple[int, Stored]]) -> Chunk:
        return _decode_chunk(items, samples.names, images, resize_mode, bits)

    threads = usable_cores()
    batches = _batched(enumerate(samples.contents()), CHUNK)
    yield from in_order(work, batches, threads=threads, ahead=2 * threads + 1)


def _batched(items: Iterable[tuple[int, Stored]], count: int) -> Iterator[list[tuple[int, Stored]]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, count)):
        yield batch


def _decode_chunk(
    items: list[tuple[int, Stored]],
    names: tuple[str, ...],
    images: np.ndarray[Any, Any],
    resize_mode: str,
    bits: int,
) -> Chunk:
    height, width, channels = images.shape[1:]
    wanted = ImageFormat(
        height=height, width=width, channels=channels, resize_mode=resize_mode, bits=bits
    )
    bad = []
    grey, highest = True, 0
    for index, stored in items:
        try:
            decoded = _decode_one(stored, names[index], wanted)
        except InputError as error:
            bad.append((index, str(error)))
            continue
        images[index] = decoded.pixels
        grey = grey and decoded.grey
        highest = max(highest, decoded.highest or 0)
    return Chunk(bad=tuple(bad), grey=grey, highest=highest)


def _decode_one(stored: Stored, name: str, wanted: ImageFormat) -> DecodedImage:
    from cifarlab.data import image

    if isinstance(stored, np.ndarray):
        return image.resize_pixels(stored, wanted)
    if isinstance(stored, Path):
        return image.details_as(wanted, image.read_bytes(stored), name=str(stored))
    return image.details_as(wanted, stored, name=name)


def _bits(highest: int) -> int:
    """Return how many bits values up to ``highest`` need, of those that cameras have.

    Example:
        >>> [_bits(highest) for highest in (0, 255, 4095, 65535)]
        [16, 8, 12, 16]
    """
    if highest == 0:
        return FULL_BITS
    return next(bits for bits in (8, 10, 12, 14, FULL_BITS) if highest < 2**bits)


def _without(samples: Samples, images: np.ndarray[Any, Any], bad: set[int]) -> Split:
    """Return the split, with the images at ``bad`` left out by moving the others up."""
    if not bad:
        return Split(images=images, labels=samples.labels, names=samples.names)
    good = np.array([index for index in range(len(samples)) if index not in bad], np.int64)
    for new, old in enumerate(good):
        if new != old:
            images[new] = images[old]
    return Split(
        images=images[: len(good)],
        labels=samples.labels[good],
        names=tuple(samples.names[index] for index in good),
    )


def _one_channel(split: Split) -> Split:
    """Keep the first channel of grey images, at the beginning of the same memory."""
    images = split.images
    count, height, width, _ = images.shape
    flat = images.reshape(-1)
    size = height * width
    for index in range(count):
        flat[index * size : (index + 1) * size] = images[index, :, :, 0].reshape(-1)
    grey = flat[: count * size].reshape(count, height, width, 1)
    return Split(images=grey, labels=split.labels, names=split.names)


def _labels_of(found: Found) -> str:
    """Return a digest of which images have which labels, so that another table is another entry."""
    digest = hashlib.sha256(repr(found.class_names).encode())
    for part, samples in found.splits.items():
        digest.update(part.encode())
        digest.update(np.ascontiguousarray(samples.labels).tobytes())
        digest.update("\n".join(samples.names).encode(errors="surrogateescape"))
    return digest.hexdigest()
