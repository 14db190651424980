"""Arrays in ``.npy`` and ``.npz`` files, read in blocks: a false header allocates nothing.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. No pickle is
ever read.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cifarlab.data.memory.image_arrays import UnsuitableError
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

HEADER_BYTES = 1 << 16
BLOCK_BYTES = 1 << 24
# Of an array that must be in memory as a whole, as labels must.
MAX_WHOLE_BYTES = 1 << 31
# Deflate shrinks zeros to a thousandth; real images never come near.
BOMB_BYTES, BOMB_RATIO = 1 << 30, 200
MAX_MEMBERS = 1000


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array in a file, of which the header is read.

    Attributes:
        name: of the member, or of the file without its suffix.
        file: where it is.
        member: its name within a ``.npz`` file, or ``None``.
        shape, dtype: as the header says.
        fortran: whether the first axis varies fastest.
        start: where the values begin, in bytes.
    """

    name: str
    file: Path
    member: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield the array in parts along its first axis, as many as fit into a few megabytes.

        Raises:
            InputError: the file ends early or is damaged.
        """
        if self.fortran:
            yield self.load()
            return
        row = self.nbytes // self.shape[0] if self.shape and self.shape[0] else 0
        rows = max(1, BLOCK_BYTES // max(row, 1))
        with self._values() as stream:
            for first in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - first)
                yield self._read(stream, (count, *self.shape[1:]))

    def load(self) -> np.ndarray[Any, Any]:
        """Return the whole array.

        Raises:
            UnsuitableError: it is too large for that.
            InputError: the file ends early or is damaged.
        """
        if self.nbytes > MAX_WHOLE_BYTES:
            raise UnsuitableError(
                f"{printable(self.name)}: {self.nbytes:,} bytes; at most {MAX_WHOLE_BYTES:,} are "
                "read at once; save it in C order, np.ascontiguousarray(x)"
            )
        with self._values() as stream:
            if self.fortran:
                return self._read(stream, self.shape[::-1]).T
            return self._read(stream, self.shape)

    def _read(self, stream: IO[bytes], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        wanted = math.prod(shape) * self.dtype.itemsize
        data = stream.read(wanted)
        if len(data) < wanted:
            raise InputError(f"{_place(self.file, self.member)}: ends early; copy it again")
        return np.frombuffer(data, dtype=self.dtype).reshape(shape)

    @contextmanager
    def _values(self) -> Iterator[IO[bytes]]:
        with _opened(self.file, self.member) as stream:
            stream.read(self.start)
            yield stream


def list_arrays(path: Path) -> list[StoredArray]:
    """Return the arrays in a ``.npy`` or ``.npz`` file; only their headers are read.

    Raises:
        InputError: the file is damaged.
        UnsafeError: an array holds pickled objects, or is far larger than the file.
    """
    if kind_of(path) != ".npz":
        return [_describe(path, None, path.stem, _size(path))]
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if len(members) > MAX_MEMBERS or len({member.filename for member in members}) < len(members):
        raise InputError(
            f"{printable(path)}: {len(members):,} members, or two of one name; "
            f"at most {MAX_MEMBERS} arrays are read"
        )
    arrays = []
    for member in members:
        if member.filename.endswith(".npy"):
            _refuse_bomb(path, member)
            name = member.filename.removesuffix(".npy")
            arrays.append(_describe(path, member.filename, name, member.file_size))
    return arrays


def _refuse_bomb(path: Path, member: zipfile.ZipInfo) -> None:
    size, packed = member.file_size, max(member.compress_size, 1)
    if size > BOMB_BYTES and size > BOMB_RATIO * packed:
        raise UnsafeError(
            f"{_place(path, member.filename)}: refused: {packed:,} bytes unpack to {size:,}; "
            "use a copy from a source that you trust"
        )


def _describe(path: Path, member: str | None, name: str, size: int) -> StoredArray:
    place = _place(path, member)
    with _opened(path, member) as stream:
        head = io.BytesIO(stream.read(HEADER_BYTES))
    try:
        version = np.lib.format.read_magic(head)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, fortran, dtype = readers[version](head)
    # A false header makes NumPy's parser raise nearly every built-in exception.
    except Exception as error:
        raise InputError(
            f"{place}: not a NumPy array, or damaged ({type(error).__name__}); copy it again"
        ) from error
    if dtype.hasobject:
        raise UnsafeError(
            f"{place}: refused: holds Python objects, and reading these could run code; save it "
            "as a plain array, such as labels.astype(str)"
        )
    array = StoredArray(
        name=name,
        file=path,
        member=member,
        shape=shape,
        dtype=dtype,
        fortran=fortran and len(shape) > 1,
        start=head.tell(),
    )
    if min(shape, default=0) < 0 or array.start + array.nbytes != size:
        raise InputError(
            f"{place}: its header says {array.nbytes:,} bytes of values, it holds "
            f"{size - array.start:,}; copy it again"
        )
    return array


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[IO[bytes]]:
    try:
        if member is None:
            with path.open("rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(path) as archive, archive.open(member) as packed:
                yield packed
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise _damaged(path, error) from error
    except RuntimeError as error:
        # What the zipfile module raises for a member that needs a password.
        raise _damaged(path, error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
    return InputError(
        f"{printable(path)}: cannot be read, or is damaged ({reason or type(error).__name__}); "
        "copy it again"
    )


def _place(path: Path, member: str | None) -> str:
    return printable(path) if member is None else f"{printable(path)}: {printable(member)}"
