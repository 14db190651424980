"""Toronto's own file formats of the CIFAR datasets, packed or not: bytes in, ``Split`` out.

Source: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cifarlab.data.dataset import Split
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

if TYPE_CHECKING:
    from cifarlab.data.cifar import Kind

SIDE = 32
PIXELS = SIDE * SIDE * 3
# The real archives unpack to about 190 MB.
MAX_UNPACKED_BYTES = 256_000_000


@dataclass(frozen=True)
class Layout:
    """One of Toronto's formats: which files lie in which folder, and how to decode one."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    decode: Callable[[bytes, str], Split]


def find(path: Path, kinds: tuple[Kind, ...]) -> Iterator[tuple[Kind, Layout, Path]]:
    """Yield each kind, layout and folder, at ``path`` or below, that unpacked files are in."""
    for kind in kinds:
        for layout in kind.layouts:
            for folder in (path / layout.folder, path):
                # One file is enough: what is missing is then named.
                named = folder.name == layout.folder and folder.is_dir()
                if named or all((folder / n).is_file() for n in (layout.train[0], layout.test[0])):
                    yield kind, layout, folder


def decode_records(raw: bytes, where: str, *, label_bytes: int) -> Split:
    """Decode the binary format: records of ``label_bytes`` labels (the last counts) and 3,072
    pixels, a plane each of red, green and blue.

    Raises:
        InputError: the length is not a whole number of records.
    """
    record = label_bytes + PIXELS
    if not raw or len(raw) % record:
        raise InputError(
            f"{where}: {len(raw)} bytes are not a whole number of {record}-byte records; "
            "the file is truncated: copy it again"
        )
    rows = np.frombuffer(raw, dtype=np.uint8).reshape(-1, record)
    return Split(_from_planes(rows[:, label_bytes:]), rows[:, label_bytes - 1].astype(np.int64))


def decode_pickle(raw: bytes, where: str, *, label_key: bytes) -> Split:
    """Decode the Python format: a pickled dictionary, read without running anything in it.

    Raises:
        InputError: it is truncated, or not such a dictionary.
        UnsafeError: it asks for anything but plain values and NumPy arrays.
    """
    batch = _unpickle(raw, where)
    try:
        rows = batch[b"data"].to_bytes_array().reshape(-1, PIXELS)
        labels = np.array(batch[label_key])
        names = tuple(name.decode("utf-8", "replace") for name in batch.get(b"filenames", ()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: a batch must hold uint8 'data' [N, {PIXELS}] and '{label_key.decode()}' "
            f"({type(error).__name__}); copy it again"
        ) from error
    if labels.shape != (len(rows),) or labels.dtype != np.int64 or len(names) not in (0, len(rows)):
        raise InputError(
            f"{where}: {len(rows)} pictures, but labels {labels.dtype} {list(labels.shape)} and "
            f"{len(names)} names; copy it again"
        )
    return Split(_from_planes(rows), labels, names)


def _from_planes(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


class _Array:
    """What a pickle gets when it asks to rebuild a NumPy array: a holder of its state."""

    state: Any = None

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state

    def to_bytes_array(self) -> np.ndarray[Any, Any]:
        """Return the array, which must be plain uint8 in C order."""
        _version, shape, dtype, fortran, raw = self.state
        if not isinstance(dtype, _DType) or dtype.code not in ("u1", b"u1") or fortran:
            raise ValueError("the array is not uint8 in C order")
        return np.frombuffer(raw, dtype=np.uint8).reshape(shape)


class _DType:
    """What a pickle gets when it asks for a NumPy dtype: a holder of its code."""

    def __init__(self, code: object = None, *_arguments: object) -> None:
        self.code = code

    def __setstate__(self, _state: object) -> None:
        pass


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
}


# The unpickler written in Python keeps its memo in a dictionary; the one in C allocates
# and clears as many slots as a hostile file names.
class _DataOnly(pickle._Unpickler):
    """Reads plain values; the three NumPy names that CIFAR needs become stand-ins."""

    # This opcode alone fills memory of the length that it declares before it reads any.
    dispatch = {  # noqa: RUF012 - the base class declares it so
        code: method
        for code, method in pickle._Unpickler.dispatch.items()
        if code != pickle.BYTEARRAY8[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STAND_INS:
            raise UnsafeError(f"refused: the pickle asks for {module}.{name}, which is not data")
        return _STAND_INS[module, name]


def _unpickle(raw: bytes, where: str) -> Any:
    try:
        return _DataOnly(io.BytesIO(raw), encoding="bytes").load()
    except UnsafeError as error:
        raise UnsafeError(f"{where}: {error}; use a copy from a source that you trust") from error
    except Exception as error:
        # A damaged pickle can fail in almost any way; none of them is worth telling apart.
        raise InputError(
            f"{where}: not a whole pickle ({type(error).__name__}); copy it again"
        ) from error


def read_folder(kind: Kind, layout: Layout, folder: Path) -> tuple[Split, Split]:
    """Read the train and test pictures of ``kind`` from a directory in ``layout``.

    Raises:
        InputError: a file is missing, too long, truncated or holds other values.
        UnsafeError: a pickle asks for anything but data.
    """
    members = {}
    for name in layout.train + layout.test:
        file = folder / name
        try:
            if file.stat().st_size > MAX_UNPACKED_BYTES:
                raise InputError(
                    f"{printable(file)}: longer than {MAX_UNPACKED_BYTES} bytes; not {kind.name}"
                )
            members[name] = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"{printable(file)}: cannot be read ({error.strerror}); {kind.name} needs it: "
                "copy it again"
            ) from error
    return _decode(layout, members, printable(folder))


def read_archive(path: Path, kinds: tuple[Kind, ...]) -> tuple[Kind, Split, Split]:
    """Read one of Toronto's ``.tar.gz`` archives in memory; nothing is extracted to disk.

    Members are looked up by exact name, so that what else lies in the archive, and under
    what path, does not matter.

    Raises:
        InputError: it is damaged, or holds none of ``kinds``.
        UnsafeError: it unpacks to far too much, or a wanted member is a link or comes twice.
    """
    shown = printable(path)
    members = _wanted_members(path, kinds, shown)
    for kind in kinds:
        for layout in kind.layouts:
            found = {
                name: members[f"{layout.folder}/{name}"]
                for name in layout.train + layout.test
                if f"{layout.folder}/{name}" in members
            }
            if found:
                return kind, *_decode(layout, found, shown)
    names = ", ".join(layout.folder for kind in kinds for layout in kind.layouts)
    raise InputError(f"{shown}: the archive holds none of {names}; give one of Toronto's archives")


def _wanted_members(path: Path, kinds: tuple[Kind, ...], shown: str) -> dict[str, bytes]:
    wanted = {
        f"{layout.folder}/{name}"
        for kind in kinds
        for layout in kind.layouts
        for name in layout.train + layout.test
    }
    members: dict[str, bytes] = {}
    try:
        with _Capped(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name not in wanted:
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or name in members:
                    raise UnsafeError(f"{shown}: refused: {name} is a link or comes twice")
                members[name] = content.read()
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise InputError(
            f"{shown}: not a whole .tar.gz archive ({error}); copy it again"
        ) from error
    return members


class _Capped(gzip.GzipFile):
    """Ends in ``UnsafeError`` when more comes out than any real archive holds."""

    left = MAX_UNPACKED_BYTES

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise UnsafeError(
                f"{printable(self.name)}: refused: it unpacks to more than "
                f"{MAX_UNPACKED_BYTES} bytes"
            )
        return chunk


def _decode(layout: Layout, members: dict[str, bytes], where: str) -> tuple[Split, Split]:
    missing = [name for name in layout.train + layout.test if name not in members]
    if missing:
        raise InputError(f"{where}: {', '.join(missing)} missing; copy it again")
    train, test = (
        [layout.decode(members[name], f"{where}: {name}") for name in names]
        for names in (layout.train, layout.test)
    )
    return _join(train), _join(test)


def _join(parts: list[Split]) -> Split:
    return Split(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        tuple(name for part in parts for name in part.names),
    )
