"""Numeric arrays in MATLAB 5 files, read in blocks.

Format: MathWorks, MAT-File Format, chapter 1. SciPy's reader is not used, because a damaged file
makes it read outside of its memory.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

HEADER_BYTES = 128
MATRIX, COMPRESSED = 14, 15
UINT32, INT32, INT8 = 6, 5, 1
TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "double",
    7: "single",
    8: "int8",
    9: "uint8",
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
}
NUMERIC = range(6, 16)
MAX_AXES, MAX_NAME, MAX_ELEMENTS = 16, 64, 1000
BLOCK_BYTES = 1 << 22
CHUNK_BYTES = 1 << 16
BOMB_BYTES, BOMB_RATIO = 1 << 30, 200


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class MatArray:
    """An array in a file, of which the header is read.

    Attributes:
        path: the file.
        name: of the array.
        kind: its class in MATLAB, such as ``"uint8"``.
        shape: as in MATLAB, where the first axis varies fastest.
        dtype: of the stored values, or ``None`` where they are no plain numbers.
        element: where it begins in the file, and how long it is there.
        compressed: whether it is.
        start: where its values begin, in bytes of the array as it is unpacked.
    """

    path: Path
    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    element: tuple[int, int]
    compressed: bool
    start: int

    def blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield the array in parts along its *last* axis, as ``[n, ..., second, first]``.

        Raises:
            InputError: the file is damaged.
        """
        if self.dtype is None:
            raise ValueError(f"{self.name} holds no plain numbers")
        row = math.prod(self.shape[:-1])
        rows = max(1, BLOCK_BYTES // max(row * self.dtype.itemsize, 1))
        with _opened(self.path) as file:
            stream = _stream(file, self.element, compressed=self.compressed)
            _take(stream, self.start, self.path)
            for first in range(0, self.shape[-1], rows):
                count = min(rows, self.shape[-1] - first)
                data = _take(stream, count * row * self.dtype.itemsize, self.path)
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[-2::-1])
            if isinstance(stream, _Inflated) and not stream.at_end():
                raise damaged(self.path, "its checksum is not reached")


def list_arrays(path: Path) -> list[MatArray]:
    """Return the arrays of a MATLAB 5 file; no values are read.

    Raises:
        InputError: the file is damaged, or another kind of file.
        UnsafeError: an array is far larger than the file.
    """
    arrays: list[MatArray] = []
    size = path.stat().st_size
    with _opened(path) as file:
        head = file.read(HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
        if len(head) < HEADER_BYTES or order is None or not head.startswith(b"MATLAB 5.0"):
            raise damaged(path, "it does not start like a MATLAB 5 file")
        place = HEADER_BYTES
        while place < size and len(arrays) < MAX_ELEMENTS:
            file.seek(place)
            kind, length = struct.unpack(f"{order}2I", _take(file, 8, path))
            if place + 8 + length > size:
                raise damaged(path, "it ends early")
            if kind in (MATRIX, COMPRESSED):
                arrays.append(_describe(path, file, (place + 8, length), order, kind == COMPRESSED))
            # What is not compressed is padded to whole 8 bytes.
            place += 8 + length + (0 if kind == COMPRESSED else -length % 8)
    return arrays


def _describe(
    path: Path, file: IO[bytes], element: tuple[int, int], order: str, compressed: bool
) -> MatArray:
    stream = _Counted(_stream(file, element, compressed=compressed), path)
    if compressed and struct.unpack(f"{order}2I", stream.read(8))[0] != MATRIX:
        raise damaged(path, "an element is no array")
    flags = stream.element(order, UINT32, 8)
    dimensions = stream.element(order, INT32, 4 * MAX_AXES)
    name = stream.element(order, INT8, MAX_NAME).decode("latin-1")
    if len(flags) != 8 or len(dimensions) % 4 or len(dimensions) < 8:
        raise damaged(path, "an array has no shape")
    word = struct.unpack(f"{order}I", flags[:4])[0]
    kind, is_complex = word & 0xFF, word & 0x800
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    if min(shape) < 0:
        raise damaged(path, "an array has a negative length")
    dtype, start = None, 0
    if kind in NUMERIC and not is_complex:
        code, length = stream.tag(order)
        start = stream.count
        if code not in TYPES:
            raise damaged(path, f"values of the unknown type {code}")
        dtype = np.dtype(order + TYPES[code])
        if length != math.prod(shape) * dtype.itemsize:
            raise damaged(path, f"{length:,} bytes of values for an array {list(shape)}")
        _refuse_bomb(path, name, length, element[1])
    return MatArray(
        path=path,
        name=name,
        kind=CLASSES.get(kind, "unknown") + (" complex" if is_complex else ""),
        shape=shape,
        dtype=dtype,
        element=element,
        compressed=compressed,
        start=start,
    )


def _refuse_bomb(path: Path, name: str, length: int, packed: int) -> None:
    if length > BOMB_BYTES and length > BOMB_RATIO * packed:
        raise UnsafeError(
            f"{printable(path)}: refused: {printable(name)} unpacks from {packed:,} to {length:,} "
            "bytes; use a copy from a source that you trust"
        )


class _Counted:
    """Reads the parts of an array's header, and counts the bytes."""

    def __init__(self, stream: _Readable, path: Path) -> None:
        self.stream = stream
        self.path = path
        self.count = 0

    def read(self, size: int) -> bytes:
        self.count += size
        return _take(self.stream, size, self.path)

    def tag(self, order: str) -> tuple[int, int]:
        """Return type and length of the next part; the data of a small one begin at once."""
        word = struct.unpack(f"{order}I", self.read(4))[0]
        if word >> 16:
            return word & 0xFFFF, word >> 16
        return word, struct.unpack(f"{order}I", self.read(4))[0]

    def element(self, order: str, kind: int, most: int) -> bytes:
        """Return the data of the next part, with what pads it read past."""
        start = self.count
        code, length = self.tag(order)
        if code != kind or length > most:
            raise damaged(self.path, "the header of an array is not as it must be")
        data = self.read(length)
        self.read(-(self.count - start) % 8)
        return data


class _Inflated:
    """A compressed element, unpacked no further than it is read."""

    def __init__(self, file: IO[bytes], length: int) -> None:
        self.file = file
        self.left = length
        self.inflate = zlib.decompressobj()

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0 and not self.inflate.eof:
            packed = self.inflate.unconsumed_tail
            if not packed:
                packed = self.file.read(min(CHUNK_BYTES, self.left))
                self.left -= len(packed)
            part = self.inflate.decompress(packed, size)
            if not part and not packed:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def at_end(self) -> bool:
        """Read past what pads the array; return whether the checksum at the end was right."""
        self.read(16)
        return self.inflate.eof


def _stream(file: IO[bytes], element: tuple[int, int], *, compressed: bool) -> _Readable:
    file.seek(element[0])
    return _Inflated(file, element[1]) if compressed else file


def _take(stream: _Readable, size: int, path: Path) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise damaged(path, "it ends early")
    return data


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except (OSError, zlib.error) as error:
        raise damaged(path, getattr(error, "strerror", None) or str(error)) from error


def damaged(path: Path, reason: str) -> InputError:
    """Return the error that says why a file cannot be read."""
    return InputError(
        f"{printable(path)}: an incomplete or damaged .mat file ({reason}); copy it again"
    )
