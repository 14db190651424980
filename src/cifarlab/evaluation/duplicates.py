"""Find near-duplicates of images in another set, such as test images among training images.

There are three steps, each on fewer pairs than the one before: matrix products of short
descriptors give the most likely pairs, a comparison at half size removes most of them, and the
rest are compared pixel by pixel. For the effect of near-duplicates in CIFAR-10 see Barz and
Denzler, "Do we train on test data? Purging CIFAR of near-duplicates", J. Imaging 6(6), 2020.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.data.channels import as_rgb
from cifarlab.errors import InputError, UsageError

Array = np.ndarray[Any, Any]

# All three chosen on CIFAR-10 by viewing the pairs on both sides of each limit.
THRESHOLD = 25.0
# Images of low contrast, such as two clear skies, differ little without being duplicates.
LARGEST_SHARE_OF_CONTRAST = 0.5
# Two ships in front of the same horizon differ in the detail only.
LARGEST_SHARE_OF_DETAIL = 0.6
# Detail is the difference of these two blurs, in pixels: noise is finer, a horizon coarser.
FINE, COARSE = 1.0, 3.0

# Waves across the image that the descriptor keeps, for lightness and for the two colour
# differences. Few, because a shift by 2 pixels changes all shorter ones too much.
LIGHTNESS_WAVES = 6
COLOUR_WAVES = 4
# Colour differences vary less than lightness, and change less with a shift.
COLOUR_WEIGHT = 3.0
CANDIDATES = 12
LEAST_SIMILARITY = 0.7
HALF_SIZE_BLUR = 0.7
LARGEST_SHARE_AT_HALF_SIZE = 0.5
LARGEST_SHIFT = 2
CONTRAST_RANGE = (0.8, 1.25)
# Rounding error of float32 in grey levels, for an image of constant lightness.
ROUNDING = 0.01

# The size of image that all these are for.
SIDE = 32

# Small enough that the arrays stay in the processor's cache.
ROWS_AT_ONCE, IMAGES_AT_ONCE = 16, 500


@dataclass(frozen=True, kw_only=True)
class DuplicatePair:
    """An image and its near-duplicate in the other set.

    Attributes:
        index: index in ``images``.
        other: index in ``others``.
        distance: root mean square difference of the pixels, 0 to 255, with the other image
            shifted, mirrored, and adjusted in brightness and contrast for the best match.
        mirrored: whether the other image was mirrored left to right.
    """

    index: int
    other: int
    distance: float
    mirrored: bool


def near_duplicates(
    images: Array, others: Array, threshold: float = THRESHOLD
) -> tuple[DuplicatePair, ...]:
    """Return, for each image that has one, its nearest near-duplicate in the other set.

    The distance leaves out the outermost 2 pixels of the image, so that the other one can be
    shifted by up to 2 in each direction; 1 below 32 pixels, none below 16. Each colour channel's
    mean is subtracted (brightness), and the other image's contrast is multiplied by the best
    factor within 0.8 to 1.25. A pair must also differ by no more than half of the image's own
    contrast (the root mean square of its pixels without their means), and its detail, the
    lightness blurred by 1 pixel less that blurred by 3, by no more than 0.6 of its own. An image
    of a single colour has no near-duplicates.

    Images of 64 pixels or more on both sides are compared at a half, a third and so on of their
    size, whichever makes the shorter side 32 to 63; grey images as colour images of equal channels.

    10,000 images of 32x32 against 50,000 take some seconds and 0.3 GB.

    Args:
        images: uint8 ``[N, H, W, C]``, C is 3 or 1; may be memory-mapped.
        others: uint8 ``[M, H, W, C]``, of the same shape; may be memory-mapped.
        threshold: the largest distance, 0 to 255.

    Returns:
        At most one pair for each of ``images``, nearest first.

    Raises:
        InputError: the images are not uint8 images of one shape.
        UsageError: the threshold is not within 0 to 255.
    """
    if not 0.0 <= threshold <= 255.0:
        raise UsageError(f"threshold {threshold}: it must lie within 0 to 255; use {THRESHOLD:g}")
    _check(images, others)
    if not len(images) or not len(others):
        return ()
    images, others = _reduced(images), _reduced(others)
    pairs = _likely_partners(images, others)
    pairs = pairs[_alike_at_half_size(images, others, pairs)]
    best: dict[int, DuplicatePair] = {}
    for some in _chunks(len(pairs), IMAGES_AT_ONCE):
        distances = _distances(images, others, pairs[some]).tolist()
        for (index, other, mirrored), distance in zip(pairs[some].tolist(), distances, strict=True):
            nearer = index not in best or distance < best[index].distance
            if nearer and distance <= threshold:
                best[index] = DuplicatePair(
                    index=index, other=other, distance=distance, mirrored=bool(mirrored)
                )
    return tuple(sorted(best.values(), key=lambda pair: (pair.distance, pair.index)))


def _check(images: Array, others: Array) -> None:
    for array in (images, others):
        shape = list(array.shape)
        if array.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or 0 in shape[1:]:
            raise InputError(
                f"images of type {array.dtype} and shape {shape}: they must be "
                "uint8 [N, height, width, 1 or 3]; convert them"
            )
    if images.shape[1:] != others.shape[1:]:
        raise InputError(
            f"images of shape {list(images.shape[1:])} and {list(others.shape[1:])}: "
            "both sets must have one shape; convert one"
        )


def _reduced(images: Array) -> Array:
    """Return RGB images of nearly the size that the limits are for: means of blocks."""
    height, width, channels = images.shape[1:]
    block = min(height, width) // SIDE
    if block < 2:
        return as_rgb(images)
    height, width = height // block, width // block
    small = np.empty((len(images), height, width, channels), np.uint8)
    for some in _chunks(len(images), IMAGES_AT_ONCE):
        # What is left of a block at the end is left out.
        whole = images[some, : height * block, : width * block]
        blocks = whole.reshape(-1, height, block, width, block, channels)
        small[some] = blocks.mean(axis=(2, 4), dtype=np.float32).round()
    return as_rgb(small)


def _likely_partners(images: Array, others: Array) -> Array:
    """Return pairs (index, other, mirrored) of similar descriptors, int64 ``[P, 3]``, by index."""
    even, odd = _describe(images)
    others_even, others_odd = (part.T.copy() for part in _describe(others))
    m = len(others)
    # The best few of a row are in the few groups with the highest maxima; maxima over groups are
    # much faster than a partial sort of whole rows.
    wanted, groups = min(CANDIDATES, m), min(m, 1000)
    size = -(-m // groups)
    pairs = []
    upright, flip = (np.empty((ROWS_AT_ONCE, m), np.float32) for _ in range(2))
    similarity = np.full((ROWS_AT_ONCE, groups * size), -1.0, np.float32)
    for some in _chunks(len(images), ROWS_AT_ONCE):
        rows = len(even[some])
        np.matmul(even[some], others_even, out=upright[:rows])
        np.matmul(odd[some], others_odd, out=flip[:rows])
        # Mirroring changes the sign of the odd waves, so this is the larger of the two products.
        best = np.abs(flip[:rows], out=similarity[:rows, :m])
        best += upright[:rows]
        grouped = similarity[:rows].reshape(rows, size, groups)
        leaders = np.argpartition(-grouped.max(axis=1), min(wanted, groups) - 1, axis=1)[:, :wanted]
        members = (leaders[:, None, :] + groups * np.arange(size)[:, None]).reshape(rows, -1)
        values = np.take_along_axis(similarity[:rows], members, axis=1)
        first = np.argpartition(-values, wanted - 1, axis=1)[:, :wanted]
        partners = np.take_along_axis(members, first, axis=1)
        row, column = np.nonzero(np.take_along_axis(values, first, axis=1) >= LEAST_SIMILARITY)
        other = partners[row, column]
        pairs.append(np.stack([row + some.start, other, flip[row, other] < 0], axis=1))
    return np.concatenate(pairs).astype(np.int64)


def _describe(images: Array) -> tuple[Array, Array]:
    """Return amplitudes of the longest waves (a cosine transform) of lightness and colour.

    The mean is left out, and both parts together have length 1, so that they do not depend on
    brightness and contrast; they are 0 where an image has no contrast.

    Returns:
        float32 ``[N, ...]`` twice: the waves that mirroring leaves unchanged, and those whose
        sign it changes.
    """
    down, across = (_waves(size) for size in images.shape[1:3])
    vertical, horizontal = np.mgrid[:LIGHTNESS_WAVES, :LIGHTNESS_WAVES]
    length = np.hypot(vertical, horizontal)
    limits = np.array([LIGHTNESS_WAVES, COLOUR_WAVES, COLOUR_WAVES])
    kept = (length > 0)[..., None] & (length[..., None] < limits)
    mirror_changes = (horizontal % 2 == 1)[..., None]
    # Lightness and two colour differences (ITU-R BT.601).
    colours = np.array(
        [[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32
    )
    colours[1:] *= COLOUR_WEIGHT
    even, odd = [], []
    for some in _chunks(len(images), IMAGES_AT_ONCE):
        pixels = images[some].astype(np.float32) @ colours.T
        pixels -= pixels.mean(axis=(1, 2), keepdims=True)
        rows = down @ pixels.reshape(*pixels.shape[:2], -1)
        amplitudes = across @ rows.reshape(len(rows), LIGHTNESS_WAVES, -1, 3)
        norm = np.sqrt((amplitudes[:, kept] ** 2).sum(axis=1, keepdims=True))
        # Rounding leaves small amplitudes even in an image of one colour.
        scale = np.where(norm > 1e-2, norm, np.inf)
        even.append(amplitudes[:, kept & ~mirror_changes] / scale)
        odd.append(amplitudes[:, kept & mirror_changes] / scale)
    # In C order, because products of other layouts are several times slower.
    return np.array(np.concatenate(even), order="C"), np.array(np.concatenate(odd), order="C")


def _waves(size: int) -> Array:
    """Return cosines of 0, 1, 2, ... half turns, float32 ``[LIGHTNESS_WAVES, size]``."""
    turns = np.outer(np.arange(LIGHTNESS_WAVES), (np.arange(size) + 0.5) / size)
    waves = np.cos(np.pi * turns) * math.sqrt(2.0 / size)
    # A small image has no shorter waves.
    waves[size:] = 0.0
    return waves.astype(np.float32)


def _largest_shift(images: Array) -> int:
    """Return how far the other image may be shifted, in pixels."""
    return int(min(LARGEST_SHIFT, min(images.shape[1:3]) // 16))


def _alike_at_half_size(images: Array, others: Array, pairs: Array) -> Array:
    """Return whether the lightness of each pair matches at half size, bool ``[P]``."""
    small, small_others = _half_size(images), _half_size(others)
    alike = np.zeros(len(pairs), bool)
    for some in _chunks(len(pairs), IMAGES_AT_ONCE):
        first, second = _both(small, small_others, pairs[some])
        rest, contrast = _best_fit(first, second, (_largest_shift(images) + 1) // 2)
        alike[some] = rest <= LARGEST_SHARE_AT_HALF_SIZE * contrast + ROUNDING
    return alike


def _half_size(images: Array) -> Array:
    """Return means of 2x2 blocks and all channels, blurred, float32 ``[N, H / 2, W / 2, 1]``."""
    # An odd last row or column is left out, and a line of pixels has blocks of 1 pixel.
    block = [min(2, size) for size in images.shape[1:3]]
    height, width = (size // step for size, step in zip(images.shape[1:3], block, strict=True))
    # Without a blur, a shift by an odd number of pixels would change the blocks too much.
    down, across = _blur(height, HALF_SIZE_BLUR), _blur(width, HALF_SIZE_BLUR).T
    small = np.empty((len(images), height, width, 1), np.float32)
    for some in _chunks(len(images), IMAGES_AT_ONCE):
        light = images[some].mean(axis=3, dtype=np.float32)
        parts = [light[:, i::2, j::2][:, :height, :width] for i, j in np.ndindex(*block)]
        small[some, ..., 0] = down @ (sum(parts) / len(parts)) @ across
    return small


def _both(images: Array, others: Array, pairs: Array) -> tuple[Array, Array]:
    partners = others[pairs[:, 1]]
    mirrored = pairs[:, 2] == 1
    partners[mirrored] = partners[mirrored, :, ::-1]
    return images[pairs[:, 0]], partners


def _distances(images: Array, others: Array, pairs: Array) -> Array:
    """Return the distance of each pair, infinite where detail or contrast disagree; ``[P]``."""
    first, second = _both(images, others, pairs)
    rest, detail = _best_fit(_detail(first), _detail(second), _largest_shift(images))
    alike = np.flatnonzero(rest <= LARGEST_SHARE_OF_DETAIL * detail + ROUNDING)
    result = np.full(len(pairs), np.inf)
    if len(alike):
        # In float64 because the distance is a small difference of large sums.
        first, second = first[alike].astype(np.float64), second[alike].astype(np.float64)
        distance, contrast = _best_fit(first, second, _largest_shift(images))
        agree = distance <= LARGEST_SHARE_OF_CONTRAST * contrast
        result[alike] = np.where(agree, distance.round(4), np.inf)
    return result


def _detail(images: Array) -> Array:
    """Return lightness between two blurs, less the means of rows and columns, ``[P, H, W, 1]``."""
    light = images.mean(axis=3, dtype=np.float32)
    height, width = light.shape[1:]
    fine, coarse = (_blur(height, r) @ light @ _blur(width, r).T for r in (FINE, COARSE))
    detail = fine - coarse
    # A straight horizon, or a frame, can be the same in images that are otherwise different.
    detail -= detail.mean(axis=2, keepdims=True)
    detail -= detail.mean(axis=1, keepdims=True)
    return np.asarray(detail)[..., None]


def _blur(size: int, reach: float) -> Array:
    """Return a Gaussian blur of a line of pixels as a matrix, float32 ``[size, size]``."""
    apart = np.subtract.outer(np.arange(size), np.arange(size))
    weights = np.exp(-0.5 * (apart / reach) ** 2).astype(np.float32)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _best_fit(first: Array, second: Array, reach: int) -> tuple[Array, Array]:
    """Match second images, shifted by up to ``reach``, with the first; floats ``[P, H, W, C]``.

    Returns:
        Root mean square difference at the best shift, brightness and contrast; and the contrast
        of the first without its outer ``reach`` pixels; ``[P]`` each.
    """
    height, width = (size - 2 * reach for size in first.shape[1:3])
    inner = first[:, reach : reach + height, reach : reach + width]
    inner = inner - inner.mean(axis=(1, 2), keepdims=True)
    second = second - second.mean(axis=(1, 2), keepdims=True)
    pixels = inner[0].size
    power = np.einsum("phwc,phwc->p", inner, inner) / pixels
    best = np.full(len(inner), np.inf)
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            window = second[:, down : down + height, right : right + width]
            means = window.mean(axis=(1, 2))
            own = np.einsum("phwc,phwc->p", window, window) / pixels - (means**2).mean(axis=1)
            shared = np.einsum("phwc,phwc->p", inner, window) / pixels
            gain = np.clip(shared / np.maximum(own, 1e-9), *CONTRAST_RANGE)
            best = np.minimum(best, power - 2 * gain * shared + gain**2 * own)
    return np.sqrt(np.maximum(best, 0.0)), np.sqrt(power)


def _chunks(n: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, n, size))
