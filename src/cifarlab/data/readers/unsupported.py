"""Formats that are known and not read: what a path is, and what to do with it, in one line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.data.readers.what_is_read import SUFFIXES
from cifarlab.data.samples import Rejected
from cifarlab.files import printable

FOLDERS = "write its images into one folder for each class"
CLASSES = f"which says where things are, not what an image is of; {FOLDERS}"

SAVE_ARRAYS = "load it yourself if you trust it, and save its arrays with numpy.savez"
IN_PYTHON = "give what it loads to cifarlab.train in Python"

# What a file is, by its suffix, and what to do with it.
FILES = (
    ((".tfrecord", ".tfrecords", ".tfrec"), f"a TFRecord file, which needs its own schema; {IN_PYTHON} (a tf.data.Dataset), or {FOLDERS}"),  # noqa: E501
    ((".h5", ".hdf5", ".hdf"), "an HDF5 file, in which anything may be stored; read it with h5py and save its arrays with numpy.savez"),  # noqa: E501
    ((".rar",), "a RAR archive; unpack it and give the folder, or make a .zip of it"),
    ((".7z",), "a 7-Zip archive; unpack it and give the folder, or make a .zip of it"),
    ((".zst", ".tzst", ".lz4"), "an archive in Zstandard or LZ4 compression; unpack it and give the folder"),  # noqa: E501
    ((".gz", ".bz2", ".xz"), "a compressed file; unpack it and give what is in it"),
    ((".pkl", ".pickle", ".joblib", ".dill"), f"a pickle, which can run code and is never opened; {SAVE_ARRAYS}"),  # noqa: E501
    ((".pt", ".pth", ".ckpt"), f"a file of PyTorch, which can run code; {SAVE_ARRAYS}"),
    ((".safetensors",), "tensors in the format safetensors; load it and save its arrays with numpy.savez"),  # noqa: E501
    ((".keras", ".onnx", ".tflite"), "a model, not images; give images here, and the model as the model"),  # noqa: E501
    ((".xlsx", ".xls", ".ods"), "a spreadsheet; save it as CSV, and give that with --labels"),
    ((".orc", ".avro"), "a table in a format that is not read; write it as Parquet"),
    ((".mdb", ".lmdb"), f"an LMDB database, which needs its own schema; {FOLDERS}"),
    ((".sqlite", ".sqlite3", ".db"), "a database; write its table as Parquet or CSV"),
    ((".rec", ".beton"), f"records of a loader of their own; {IN_PYTHON}, or {FOLDERS}"),
    ((".xml",), f"an XML file, perhaps boxes in Pascal VOC's format, {CLASSES}"),
    ((".yaml", ".yml"), f"a list of settings, perhaps of YOLO; give the folder of images, or {FOLDERS}"),  # noqa: E501
    ((".txt",), "a text file; give the folder of images, and the list of their labels as CSV with --labels"),  # noqa: E501
    ((".mp4", ".avi", ".mov", ".mkv"), f"a video; save its frames as images and {FOLDERS}"),
)  # fmt: skip
# Shards of TFRecord: train.tfrecord-00000-of-00004.
_SHARD = re.compile(r"-\d+-of-\d+$")
MAX_LOOKED_AT = 1000


def find(path: Path, options: LoadOptions) -> Rejected:  # noqa: ARG001
    """Return what ``path`` is if it is of a known kind that is not read; else an empty reason."""
    if path.is_dir():
        return Rejected(reason=_folder(path))
    if path.suffix.lower() in SUFFIXES:
        return Rejected(reason="one image; give a folder with one folder of images for each class")
    return Rejected(reason=by_suffix(kind_of(path)) or by_suffix(path.name))


def by_suffix(name: str) -> str:
    """Return what a file of that name is and what to do with it; empty if it is not known."""
    lower = _SHARD.sub("", name.lower())
    return next((what for suffixes, what in FILES if lower.endswith(suffixes)), "")


def url(spec: str) -> str | None:
    """Return what to do where an address was given as the dataset; ``None`` if it is none.

    Example:
        >>> url("https://example.org/photos.zip")
        'an address; download it and give the path of the file'
    """
    scheme, separator, _ = spec.partition("://")
    if separator and scheme.isalpha():
        return "an address; download it and give the path of the file"
    return None


def _folder(path: Path) -> str:
    for is_kind, what in KINDS:
        try:
            if is_kind(path):
                return what
        except OSError:
            continue
    return _other_files(path)


def _other_files(path: Path) -> str:
    """Return what to do with files of a known kind where there are no images; empty if none."""
    files = list(itertools.islice((f for p in ("*", "*/*") for f in path.glob(p)), MAX_LOOKED_AT))
    if any(file.suffix.lower() in SUFFIXES for file in files):
        return ""
    known = (file for file in sorted(files) if by_suffix(file.name) and file.is_file())
    first = next(known, None)
    return f"holds {printable(first.name)}, {by_suffix(first.name)}" if first else ""


def _any(path: Path, *patterns: str) -> bool:
    return any(next(path.glob(pattern), None) is not None for pattern in patterns)


def _is_lmdb(path: Path) -> bool:
    return _any(path, "data.mdb", "*/data.mdb")


def _is_tfrecord(path: Path) -> bool:
    return _any(path, "*.tfrecord*", "*/*.tfrecord*", "*/*/*.tfrecord*", "*/*/*/*.tfrecord*")


def _is_hdf5(path: Path) -> bool:
    return _any(path, "*.h5", "*.hdf5")


KINDS: tuple[tuple[Callable[[Path], bool], str], ...] = (
    (_is_lmdb, by_suffix(".mdb")),
    (_is_tfrecord, by_suffix(".tfrecord")),
    (_is_hdf5, by_suffix(".h5")),
)
