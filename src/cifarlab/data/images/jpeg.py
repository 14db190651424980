"""What a JPEG file says about itself: its frame and scans, and whether the last scan is whole.

Markers and segments are those of ITU-T T.81, annex B.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

END = b"\xff\xd9"
# Files have ten scans or so; every scan goes over the whole image again.
MAX_SCANS = 500

# In the data of a scan, FF 00 is a value and D0 to D7 are restarts.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")
_PROGRESSIVE = (0xC2, 0xCA)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Frames that libjpeg decodes at a reduced size.
_REDUCIBLE = (0xC0, 0xC1, 0xC2)

# Data that mean different things to the decoder wherever it would go on reading: all ways of
# two bits are among their beginnings. The restarts let it begin the next interval, whichever;
# it skips one that comes a little early, so each begins with another one. Between them is more
# than the blocks that are decoded together can take, some of which may lie outside the image.
_FILLS = tuple(
    b"".join(fill * 2048 + bytes((0xFF, 0xD0 + (first + number) % 8)) for number in range(8))
    for first, fill in ((0, b"\0"), (2, b"\x55"), (4, b"\xaa"), (6, b"\xff\0"))
)


@dataclass(frozen=True, kw_only=True)
class Component:
    """One component of a frame: its number and its sampling factors."""

    number: int
    across: int
    down: int


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one scan brings: for which components, which coefficients, down to which bit."""

    components: tuple[int, ...]
    first: int
    last: int
    low_bit: int


@dataclass(frozen=True, kw_only=True)
class Jpeg:
    """A JPEG file's structure.

    Attributes:
        process: the code of the frame's marker.
        precision: bits of a value.
        height, width: as stored, in pixels.
        components: of the frame.
        scans: in their order.
        exif: the EXIF data, beginning with a TIFF header; empty where there are none.
        end: where the end marker is, or ``None`` where it is missing.
    """

    process: int
    precision: int
    height: int
    width: int
    components: tuple[Component, ...]
    scans: tuple[Scan, ...]
    exif: bytes
    end: int | None

    @property
    def progressive(self) -> bool:
        return self.process in _PROGRESSIVE

    @property
    def reducible(self) -> bool:
        """Whether it can be decoded at a half, a quarter or an eighth of its size."""
        return self.process in _REDUCIBLE

    @property
    def coefficient_bytes(self) -> int:
        """Memory for the coefficients of the whole image, 0 where none is needed.

        libjpeg keeps all of them, two bytes each, where an image comes in more than one scan.
        """
        if not self.progressive and len(self.scans[0].components) == len(self.components):
            return 0
        most_across = max(part.across for part in self.components)
        most_down = max(part.down for part in self.components)
        blocks = sum(
            -(-self.width * part.across // (8 * most_across))
            * -(-self.height * part.down // (8 * most_down))
            for part in self.components
        )
        return blocks * 64 * 2

    @property
    def every_scan_is_there(self) -> bool:
        """Whether the scans bring every coefficient of every component to its last bit."""
        numbers = {part.number for part in self.components}
        if not self.progressive:
            return numbers <= {number for scan in self.scans for number in scan.components}
        missing = {(number, place) for number in numbers for place in range(64)}
        for scan in self.scans:
            if scan.low_bit == 0:
                missing -= {
                    (number, place)
                    for number in scan.components
                    for place in range(scan.first, scan.last + 1)
                }
        return not missing


def read_structure(data: bytes) -> Jpeg | None:
    """Return the structure of a JPEG file, or ``None`` where it has no frame or no scan.

    Bytes that belong to nothing are skipped, as decoders do.
    """
    frame: tuple[int, bytes] | None = None
    scans: list[Scan] = []
    exif = b""
    at, end = 2, None
    while match := _MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker == END[1]:
            end = match.start()
            break
        if marker == 0xD8:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        if length < 2 or len(segment) != length - 2:
            return None
        at += length
        if marker in _FRAMES and frame is None:
            frame = marker, segment
        elif marker == 0xDA:
            scans.append(_read_scan(segment))
            if len(scans) > MAX_SCANS:
                break
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            exif += segment[6:]
    if frame is None or not scans or len(frame[1]) < 6 + 3 * frame[1][5] or not frame[1][5]:
        return None
    process, body = frame
    return Jpeg(
        process=process,
        precision=body[0],
        height=int.from_bytes(body[1:3], "big"),
        width=int.from_bytes(body[3:5], "big"),
        components=tuple(
            Component(
                number=body[i], across=max(1, body[i + 1] >> 4), down=max(1, body[i + 1] & 15)
            )
            for i in range(6, 6 + 3 * body[5], 3)
        ),
        scans=tuple(scans),
        exif=exif,
        end=end,
    )


def why_not(jpeg: Jpeg) -> str | None:
    """Say what a JPEG file is that cannot be decoded, or ``None``."""
    if jpeg.precision != 8:
        return f"a JPEG of {jpeg.precision} bits a value; save it with 8 bits, or as 16-bit PNG"
    if len(jpeg.components) not in (1, 3, 4):
        return f"a JPEG of {len(jpeg.components)} bands; save the three that matter as RGB"
    return None


def without_end(data: bytes) -> bytes:
    """Return a file that lacks its end marker without the zeros that may follow its data."""
    body = data.rstrip(b"\0")
    if not body.endswith(b"\xff"):
        return body
    # Half of an end marker, or a value of FF, which is stored as FF 00.
    return body + b"\0" if len(body) < len(data) else body[:-1]


def last_scan_is_whole(body: bytes, decode: Callable[[bytes], np.ndarray[Any, Any]]) -> bool:
    """Tell whether the decoder needs nothing more than ``body``, a file without its end marker.

    The decoder does not say so itself: it takes what is missing as zeros or grey. But after a
    whole scan it skips whatever follows, and after a truncated one it goes on reading: so the
    scan is whole if different data after it give the same image.

    Args:
        body: the file without its end marker.
        decode: from a file to its pixels.
    """
    plain = decode(body + END)
    return all(np.array_equal(plain, decode(body + fill + END)) for fill in _FILLS)


def _read_scan(segment: bytes) -> Scan:
    count = segment[0] if segment else 0
    components = tuple(segment[1 : 1 + 2 * count : 2])
    first, last, bits = (segment[1 + 2 * count :] + bytes(3))[:3]
    return Scan(components=components, first=first, last=last, low_bit=bits & 15)
