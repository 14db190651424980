"""Look at the tags of TIFF files and EXIF data before Pillow does, which reads all of them.

A tag may claim a value of any size anywhere in the file, so that a thousand tags over the same
bytes take a thousand times the file's memory.
"""

from __future__ import annotations

import ctypes
import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAX_TAGS = 1_000
# Numbers become Python objects; 300,000 are the tiles of a large image and to spare.
MAX_NUMBERS = 300_000

# All that Pillow takes for a TIFF header, also wrong ones.
_HEADERS = {
    b"II*\0": "<",
    b"MM\0*": ">",
    b"II\0*": "<",
    b"MM*\0": ">",
    b"II+\0": "<",
    b"MM\0+": ">",
}
# Bytes of a value, by type; see TIFF 6.0, section 2, and the BigTIFF design.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_BYTES = (1, 2, 6, 7)
_FORMATS = {1: "B", 3: "H", 4: "I", 16: "Q"}

NEW_SUBFILE_TYPE, BITS_PER_SAMPLE = 254, 258
COMPRESSION, PHOTOMETRIC = 259, 262
SAMPLES_PER_PIXEL, PLANAR_CONFIGURATION, TILE_WIDTH, TILE_LENGTH = 277, 284, 322, 323
# The directories of EXIF and GPS, which Pillow reads as well.
_INNER = (34665, 34853)
SUB_DIRECTORIES, SAMPLE_FORMAT, DNG_VERSION = 330, 339, 50706


# In the list of a process's memory.
_LIBTIFF = re.compile(r"/\S*libtiff\S*\.so\S*")


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One entry of a directory: its type, how many values it has, and the first of them."""

    type: int
    count: int
    first: int

    @property
    def size(self) -> int:
        """Bytes that the values take."""
        return _SIZES.get(self.type, 1) * self.count


def read_tags(data: bytes, start: int = 0, directory: int | None = None) -> dict[int, Tag] | None:
    """Return the tags of a directory, or ``None`` where there is none.

    Args:
        data: a file that holds a TIFF header.
        start: where the header is.
        directory: where the directory is, counted from the header; the first one by default.
    """
    order = _HEADERS.get(data[start : start + 4])
    if order is None:
        return None
    big = b"+" in data[start : start + 4]
    try:
        if directory is None:
            place, form = (8, "Q") if big else (4, "I")
            (directory,) = struct.unpack_from(order + form, data, start + place)
        at = start + directory
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        at += 8 if big else 2
        entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
        found = {}
        for number in range(min(count, MAX_TAGS + 1)):
            tag, kind, values, inline = entry.unpack_from(data, at + number * entry.size)
            found[tag] = Tag(
                type=kind, count=values, first=_first(data, start, order, kind, values, inline)
            )
    except struct.error:
        # A directory that is cut off holds no more than its bytes.
        return None
    return found


def excess(data: bytes, start: int = 0) -> str | None:
    """Say why the tags after the header at ``start`` must not be read, or ``None``."""
    tags = read_tags(data, start)
    if tags is None:
        return None
    directories = [tags]
    for number in _INNER:
        if number in tags:
            directories.append(read_tags(data, start, tags[number].first) or {})
    for found in directories:
        if len(found) > MAX_TAGS:
            return f"more than {MAX_TAGS:,} tags"
        if sum(tag.size for tag in found.values()) > len(data):
            return "tags that are larger than the file"
        if sum(tag.count for tag in found.values() if tag.type not in _BYTES) > MAX_NUMBERS:
            return f"more than {MAX_NUMBERS:,} numbers in its tags"
    return None


def excess_anywhere(data: bytes) -> str | None:
    """``excess`` of every TIFF header in the data, at most a hundred of each kind."""
    for header in _HEADERS:
        at = data.find(header)
        for _ in range(100):
            if at < 0:
                break
            if reason := excess(data, at):
                return reason
            at = data.find(header, at + 1)
    return None


def why_not(data: bytes, max_pixels: int) -> str | None:
    """Say what a TIFF file is that cannot be read faithfully, or ``None``.

    Args:
        data: the file.
        max_pixels: largest tile.
    """
    tags = read_tags(data)
    if tags is None:
        return None

    def value(tag: int, default: int) -> int:
        return tags[tag].first if tag in tags else default

    bands, bits = value(SAMPLES_PER_PIXEL, 1), value(BITS_PER_SAMPLE, 1)
    kind = value(SAMPLE_FORMAT, 1)
    if DNG_VERSION in tags or (value(NEW_SUBFILE_TYPE, 0) & 1 and SUB_DIRECTORIES in tags):
        return "a camera's raw file; develop it and save it as PNG or JPEG"
    if bands > 4:
        return f"{bands} bands; at most 4 are read; save the three that matter as RGB"
    if kind == 3:
        return "floating-point values, which have no agreed white; save it with 8 or 16 bits"
    if kind not in (1, 2, 4) or (kind == 2 and (bits == 8 or bands > 1)):
        return "signed or complex values; save it with 8 or 16 bits without a sign"
    if bits == 16 and bands > 1 and value(PLANAR_CONFIGURATION, 1) == 2:
        return "16-bit bands stored one after another; save it with its bands interleaved"
    if value(PHOTOMETRIC, 1) == 6 and value(COMPRESSION, 1) == 1:
        return "YCbCr values without compression; save it as RGB"
    if value(TILE_WIDTH, 1) * value(TILE_LENGTH, 1) > max(max_pixels, 2**20):
        return "tiles that are larger than any image that is read; save it without tiles"
    return None


def layout(data: bytes) -> str:
    """Say how many bands of how many bits a TIFF file has, for messages."""
    tags = read_tags(data) or {}
    bands = tags[SAMPLES_PER_PIXEL].first if SAMPLES_PER_PIXEL in tags else 1
    bits = tags[BITS_PER_SAMPLE].first if BITS_PER_SAMPLE in tags else 1
    return f"{bands} bands of {bits} bits"


def silence_libtiff() -> None:
    """Stop libtiff from writing to standard error, where it can be found (Linux).

    It writes about damaged files, for which Pillow raises an error as well; and Pillow offers
    no way to stop it.
    """
    with suppress(OSError, AttributeError):
        for path in set(_LIBTIFF.findall(Path("/proc/self/maps").read_text())):
            library = ctypes.CDLL(path)
            library.TIFFSetErrorHandler(None)
            library.TIFFSetWarningHandler(None)


def _first(data: bytes, start: int, order: str, kind: int, count: int, inline: bytes) -> int:
    form = _FORMATS.get(kind)
    if form is None or count == 0:
        return 0
    if _SIZES[kind] * count <= len(inline):
        return int(struct.unpack_from(order + form, inline)[0])
    offset = struct.unpack(order + ("Q" if len(inline) == 8 else "I"), inline)[0]
    if start + offset + _SIZES[kind] > len(data):
        return 0
    return int(struct.unpack_from(order + form, data, start + offset)[0])
