"""Decode Toronto's file formats of the CIFAR datasets: bytes to a ``Split``.

Source: https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.data.split import Split
from cifarlab.errors import InputError, UnsafeError

SIDE = 32
PIXELS = SIDE * SIDE * 3


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One of Toronto's formats: the folder, its files, and a function that decodes one."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    decode: Callable[[bytes, str], Split]


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
    return Split(
        images=_from_planes(rows[:, label_bytes:]), labels=rows[:, label_bytes - 1].astype(np.int64)
    )


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
            f"{where}: {len(rows)} images, but labels {labels.dtype} {list(labels.shape)} and "
            f"{len(names)} names; copy it again"
        )
    return Split(images=_from_planes(rows), labels=labels, names=names)


def _from_planes(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1))


class _Array:
    """Stands in for the NumPy array that a pickle rebuilds: it holds the state only."""

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
    """Stands in for the NumPy dtype that a pickle names: it holds the code only."""

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
            f"{where}: an incomplete or damaged pickle ({type(error).__name__}); copy it again"
        ) from error
