"""Look at the frames inside an AVIF file before its decoder does.

The size that the file declares need not be that of the AV1 frames in it, and the decoder makes
room for the frames. Boxes are those of ISO/IEC 14496-12, frames those of the AV1 Bitstream
Specification, sections 5.3 to 5.5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress

_SEQUENCE_HEADER, _LAST_KNOWN = 1, 8
# Before the first frame come three or four units.
_MAX_UNITS = 1_000
_MAX_BOXES = 100


def largest_frame(data: bytes) -> int:
    """Return the pixels of the largest frame that a file announces, 0 where none is found."""
    return max(
        (
            width * height
            for start in _starts(data)
            for width, height in _frames(data[start : start + 2**20])
        ),
        default=0,
    )


def _starts(data: bytes) -> Iterator[int]:
    """Yield where AV1 data begin: the extents of items, and the chunks of animations."""
    for at in _places(data, b"iloc"):
        with suppress(struct.error, IndexError):
            yield from list(_extents(data, at))
    for name, form in ((b"stco", ">I"), (b"co64", ">Q")):
        for at in _places(data, name):
            with suppress(struct.error):
                (count,) = struct.unpack_from(">I", data, at + 4)
                size = struct.calcsize(form)
                for number in range(min(count, _MAX_UNITS)):
                    yield struct.unpack_from(form, data, at + 8 + number * size)[0]


def _places(data: bytes, name: bytes) -> Iterator[int]:
    at = data.find(name)
    for _ in range(_MAX_BOXES):
        if at < 0:
            return
        yield at + 4
        at = data.find(name, at + 4)


def _extents(data: bytes, at: int) -> Iterator[int]:
    """Yield the offsets in an item location box whose content begins at ``at``."""
    version, sizes = data[at], struct.unpack_from(">H", data, at + 4)[0]
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version in (1, 2) else 0
    inner = data.find(b"idat") + 4
    at += 6

    def number(size: int) -> int:
        nonlocal at
        if at + size > len(data):
            raise IndexError
        at += size
        return int.from_bytes(data[at - size : at], "big")

    for _ in range(min(number(4 if version == 2 else 2), _MAX_UNITS)):
        number(4 if version == 2 else 2)
        inside = version in (1, 2) and number(2) & 15 == 1
        number(2)
        base = number(base_size) + (inner if inside else 0)
        for _ in range(min(number(2), _MAX_UNITS)):
            number(index_size)
            yield base + number(offset_size)
            number(length_size)


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the width and height in every sequence header among the units in ``data``."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(data):
            return
        header = data[at]
        kind, extended, sized = header >> 3 & 15, header >> 2 & 1, header >> 1 & 1
        if header & 0x81 or not (1 <= kind <= _LAST_KNOWN or kind == 15):
            return
        at += 1 + extended
        length, shift = len(data) - at, 0
        if sized:
            length = 0
            for byte in data[at : at + 8]:
                at += 1
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    break
        if kind == _SEQUENCE_HEADER:
            yield _frame_size(_Bits(data[at : at + min(length, 512)]))
        at += length


class _Bits:
    """Reads numbers of so many bits from bytes; zeros follow their end."""

    def __init__(self, data: bytes) -> None:
        self._left = len(data) * 8 + 4096
        self._value = int.from_bytes(data + bytes(512), "big")

    def take(self, count: int) -> int:
        self._left = max(0, self._left - count)
        return self._value >> self._left & ((1 << count) - 1)


def _frame_size(bits: _Bits) -> tuple[int, int]:
    """Return the width and height of a sequence header; see section 5.5.1."""
    bits.take(4)
    if bits.take(1):
        bits.take(5)
    else:
        delay_bits = _skip_timing(bits)
        display_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delay_bits and bits.take(1):
                bits.take(2 * delay_bits + 1)
            if display_delay and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_timing(bits: _Bits) -> int:
    """Skip the timing of a sequence header; return the bits of a decoder's delays, or 0."""
    if not bits.take(1):
        return 0
    bits.take(64)
    if bits.take(1):
        zeros = 0
        while zeros < 32 and not bits.take(1):
            zeros += 1
        bits.take(zeros)
    if not bits.take(1):
        return 0
    delay_bits = bits.take(5) + 1
    bits.take(42)
    return delay_bits
