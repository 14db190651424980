"""Bring image arrays of any usual form to uint8 ``[N, H, W, C]``: first the axes, then the values.

Nothing is guessed that could be wrong in silence: what is not clear is refused, and what is
changed has a note that says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.errors import InputError

CHANNELS = (1, 3)
# Images whose largest value is below half of white are more likely of another range than dark.
HALF = 0.5
SAY_RANGE = (
    "save them as uint8 from 0 to 255, or say which values are black and white: "
    "Dataset.from_arrays(..., value_range=(black, white))"
)


class UnsuitableError(InputError):
    """The arrays are intact, and are not images or labels that can be used."""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """How one image is stored in an array.

    Attributes:
        shape: height, width and channels.
        order: ``"HW"``, ``"HWC"``, ``"CHW"``, or ``"flat"``.
        note: what a user should know of, or empty.
    """

    shape: tuple[int, int, int]
    order: str
    note: str = ""

    def arrange(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return ``block``, ``[N, ...]`` as stored, as ``[N, H, W, C]``."""
        if self.order == "CHW":
            return block.transpose(0, 2, 3, 1)
        return block.reshape(len(block), *self.shape)


def find_axes(shape: tuple[int, ...], where: str) -> Axes:
    """Return what the axes of an array of images mean.

    ``[N, H, W]``, ``[N, H, W, 1 or 3]``, ``[N, 1 or 3, H, W]`` and ``[N, side * side]`` are clear.

    Args:
        shape: of the whole array.
        where: the array's name in messages.

    Raises:
        UnsuitableError: none of these, or no images.

    Example:
        >>> find_axes((60000, 3, 32, 32), "x").order
        'CHW'
    """
    if len(shape) < 2 or 0 in shape:
        raise UnsuitableError(f"{where}: its shape is {list(shape)}; images are [N, H, W, 1 or 3]")
    image = shape[1:]
    if len(image) == 1:
        return _square(image[0], where)
    if len(image) == 2:
        return Axes(shape=(image[0], image[1], 1), order="HW")
    if len(image) > 3:
        raise UnsuitableError(
            f"{where}: {list(shape)} are volumes or films; give flat images, [N, H, W, 1 or 3]"
        )
    first, last = image[0] in CHANNELS, image[2] in CHANNELS
    if last and not first:
        return Axes(shape=(image[0], image[1], image[2]), order="HWC")
    if first and not last:
        return Axes(
            shape=(image[1], image[2], image[0]),
            order="CHW",
            note=f"{where}: {list(shape)} are read with the channels first",
        )
    raise UnsuitableError(f"{where}: {_not_channels(shape)}")


def _square(count: int, where: str) -> Axes:
    side = math.isqrt(count)
    if count % 3 == 0 and math.isqrt(count // 3) ** 2 == count // 3:
        raise UnsuitableError(f"{where}: {count:,} values an image: {three_colours(count)}")
    if side * side != count or side < 2:
        raise UnsuitableError(
            f"{where}: {count} values for each image are no square; "
            "reshape the array to [N, H, W, 1 or 3]"
        )
    return Axes(
        shape=(side, side, 1),
        order="flat",
        note=f"{where}: {count} values for each image are read as {side}x{side} grey, row by row",
    )


def three_colours(count: int) -> str:
    """Return what ``count`` values of a square image in three colours may be, and what to do.

    Example:
        >>> three_colours(3072)[:35]
        '32x32 in three colours, and nothing'
    """
    side = math.isqrt(count // 3)
    return (
        f"{side}x{side} in three colours, and nothing says in which order; save them as .npz, "
        f"x.reshape(-1, 3, {side}, {side}) where each colour's plane follows the other, as in "
        f"CIFAR's files, else x.reshape(-1, {side}, {side}, 3)"
    )


def _not_channels(shape: tuple[int, ...]) -> str:
    _, first, _, last = shape
    if first in CHANNELS and last in CHANNELS:
        return f"{list(shape)} has channels first or last; reshape it to [N, H, W, 1 or 3]"
    if last <= 4 or first <= 4:
        return (
            f"{list(shape)} has {min(first, last)} channels; keep 1 (grey) or 3 (red, green, "
            "blue), such as x[..., :3]"
        )
    return f"{list(shape)} are volumes, or of more than 3 channels; give [N, H, W, 1 or 3]"


@dataclass(frozen=True, kw_only=True)
class Values:
    """Which values are black and white.

    Attributes:
        black, white: the stored values.
        note: what a user should know of, or empty.
    """

    black: float
    white: float
    note: str = ""

    def to_uint8(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return ``block`` scaled to 0 to 255; a uint8 array of that range as it is.

        Integers of more than 8 bits keep their upper 8, as they do in image files.
        """
        if (self.black, self.white) == (0, 255) and block.dtype.kind in "ui":
            return block.astype(np.uint8, copy=False)
        if block.dtype.kind in "ui" and self.black == 0 and self.white > 255:
            bits = int(self.white).bit_length()
            if self.white == 2**bits - 1:
                return (block >> (bits - 8)).astype(np.uint8)
        scaled = (block.astype(np.float64) - self.black) * (255 / (self.white - self.black))
        return np.asarray(scaled.round().clip(0, 255), dtype=np.uint8)


def extremes(
    blocks: Iterable[np.ndarray[Any, Any]], where: str, *, enough: float = math.inf
) -> tuple[float, float]:
    """Return the smallest and the largest value.

    Args:
        enough: stop at the first block with a value as large.

    Raises:
        UnsuitableError: a value is not a finite number, or the array holds none.
    """
    low, high, start = math.inf, -math.inf, 0
    for block in blocks:
        if block.dtype.kind not in "buif":
            raise UnsuitableError(f"{where}: its values are {block.dtype}; images hold numbers")
        if block.dtype.kind == "f" and not np.isfinite(block).all():
            bad = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
            raise UnsuitableError(
                f"{where}: image {start + int(bad.argmax())} holds NaN or infinity; "
                "replace these values, or leave the image out"
            )
        low, high = min(low, block.min().item()), max(high, block.max().item())
        start += len(block)
        if high >= enough and low < high:
            break
    return low, high


def find_values(
    dtype: np.dtype[Any],
    low: float,
    high: float,
    where: str,
    *,
    value_range: tuple[float, float] | None = None,
    bits: int | None = None,
) -> Values:
    """Return which values are black and white.

    Clear are uint8; integers and floats from 0 to 255; floats from 0 to 1 and from -1 to 1, each
    as long as they use more than half of it; zeros and ones; and integers of 9 to 16 bits, where
    white is the largest number of ``bits`` bits, or of as many as the largest value needs.

    Args:
        dtype: of the array.
        low, high: its smallest and largest value.
        where: the array's name in messages.
        value_range: black and white, where the user says so.
        bits: of integers above 255.

    Raises:
        UnsuitableError: it is not clear, or values lie outside of ``value_range``.

    Example:
        >>> find_values(np.dtype("float32"), 0.0, 1.0, "x").white
        1
    """
    span = f"values from {low:g} to {high:g}"
    if value_range is not None:
        return _as_told(value_range, low, high, where)
    if high <= low:
        raise UnsuitableError(f"{where}: every value is {low:g}; give images that show something")
    if dtype.kind == "b":
        return Values(black=0, white=1)
    found = _float(low, high) if dtype.kind == "f" else _integer(dtype, low, high, bits)
    if found is None:
        raise UnsuitableError(
            f"{where}: {dtype} {span}: it is not clear which are black and white; {SAY_RANGE}"
        )
    usual = dtype == np.uint8 and found == (0, 255)
    note = (
        "" if usual else f"{where}: {dtype} {span} are read as {found[0]} black, {found[1]} white"
    )
    if usual and high < 255 * HALF:
        note = f"{where}: the largest of its values is {high:g}; the images are dark: {SAY_RANGE}"
    return Values(black=found[0], white=found[1], note=note)


def _as_told(told: tuple[float, float], low: float, high: float, where: str) -> Values:
    try:
        black, white = (float(value) for value in told)
    except (TypeError, ValueError):
        raise UnsuitableError(
            f"{where}: value range {told!r}: give two numbers, black and white, such as (0, 255)"
        ) from None
    if not (math.isfinite(black) and math.isfinite(white) and black < white):
        raise UnsuitableError(f"{where}: value range {told}: black must be the smaller number")
    # Sums of float32 may pass the end of their range by a little.
    slack = 1e-5 * (white - black)
    if low < black - slack or high > white + slack:
        raise UnsuitableError(
            f"{where}: values from {low:g} to {high:g} lie outside of the range {black:g} to "
            f"{white:g}; give the range that they have"
        )
    return Values(black=black, white=white)


def _float(low: float, high: float) -> tuple[int, int] | None:
    if low >= 0 and HALF < high <= 1:
        return 0, 1
    if -1 <= low < -HALF and HALF < high <= 1:
        return -1, 1
    if low >= 0 and 255 * HALF < high <= 255:
        return 0, 255
    return None


def _integer(
    dtype: np.dtype[Any], low: float, high: float, bits: int | None
) -> tuple[int, int] | None:
    if low < 0 or high >= 2**16:
        return None
    if high > 255:
        needed = int(high).bit_length()
        return (0, 2 ** max(bits or needed, needed) - 1)
    if high == 1:
        return 0, 1
    return (0, 255) if dtype == np.uint8 or high > 255 * HALF else None
