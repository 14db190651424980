"""List the arrays of an HDF5 file that holds nothing else.

HDF5 can refer to other files (external links, external and virtual storage), and reading such a
file would reveal their content. Only plain groups and plain numeric arrays that are stored in
the file itself are accepted.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import h5py

from cifarlab.errors import UnsafeError

# Numeric types of NumPy; references and strings are refused.
PLAIN_KINDS = "fiub"
MAX_OBJECTS = 100_000
MAX_ATTRIBUTE_VALUES = 1_000_000
# Keras stores arrays uncompressed, so an array far larger than its storage is an attack.
MAX_EXPANSION = 100
EXPANSION_FLOOR = 64 * 1024 * 1024


class Array(NamedTuple):
    """Shape and NumPy dtype of an array in a file, such as ``(3, 3, 3, 32), "float32"``."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"


def list_arrays(file: h5py.File, where: str) -> dict[str, Array]:
    """Return every array in ``file`` by its path, such as ``"layers/dense/vars/0"``.

    Only headers are read.

    Args:
        file: an HDF5 file, open for reading.
        where: the name of the file in messages.

    Raises:
        UnsafeError: it holds a link, an array that is stored elsewhere, an array of
            anything but numbers, or one that expands to far more than its storage.
    """
    arrays: dict[str, Array] = {}
    seen = {h5py.h5o.get_info(file.id).addr}
    _check_attributes(file, "/", where)
    waiting: list[tuple[str, Any]] = [("", file)]
    while waiting:
        prefix, group = waiting.pop()
        for name in group:
            path = f"{prefix}{name}"
            item = _open(group, name, path, where)
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise _refused(where, path, "is linked to twice")
            seen.add(address)
            if len(seen) > MAX_OBJECTS:
                raise _refused(where, path, f"is one of more than {MAX_OBJECTS:,} objects")
            _check_attributes(item, path, where)
            if isinstance(item, h5py.Group):
                waiting.append((f"{path}/", item))
            else:
                arrays[path] = _describe(item, path, where)
    return arrays


def _open(group: Any, name: str, path: str, where: str) -> Any:
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise _refused(where, path, "is an HDF5 link to somewhere else")
    item_class = group.get(name, getclass=True)
    if item_class not in (h5py.Group, h5py.Dataset):
        raise _refused(where, path, "is neither a group nor an array")
    return group[name]


def _describe(dataset: Any, path: str, where: str) -> Array:
    layout = dataset.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise _refused(where, path, "is an HDF5 array that is stored elsewhere")
    if dataset.dtype.kind not in PLAIN_KINDS or dataset.shape is None:
        raise _refused(where, path, "is not an array of numbers")
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size > EXPANSION_FLOOR and size > MAX_EXPANSION * dataset.id.get_storage_size():
        raise _refused(where, path, f"expands to {size:,} bytes from far fewer")
    return Array(tuple(dataset.shape), dataset.dtype.name)


def _check_attributes(item: Any, path: str, where: str) -> None:
    for name in item.attrs:
        shape = item.attrs.get_id(name).shape
        if shape is not None and math.prod(shape) > MAX_ATTRIBUTE_VALUES:
            raise _refused(where, path, f"has an attribute of {math.prod(shape):,} values")


def _refused(where: str, path: str, what: str) -> UnsafeError:
    shown = path[:80] if path.isprintable() else repr(path[:80])
    return UnsafeError(f"{where}: refused: {shown} {what}; use a file that Keras saved")
