"""Formats that are known and not read: what a path is, and what to do with it, in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.samples import Rejected

FOLDERS = "write its images into one folder for each class"
CLASSES = f"which says where things are, not what an image is of; {FOLDERS}"

# What a file is, by the end of its name, and what to do with it.
FILES = (
    ((".tfrecord", ".tfrecords", ".tfrec"), f"a TFRecord file, which needs its own schema; read it with TensorFlow and {FOLDERS}"),  # noqa: E501
    ((".h5", ".hdf5", ".hdf"), "an HDF5 file, in which anything may be stored; read it with h5py and save its arrays with numpy.savez"),  # noqa: E501
    ((".rar",), "a RAR archive; unpack it and give the folder, or make a .zip of it"),
    ((".7z",), "a 7-Zip archive; unpack it and give the folder, or make a .zip of it"),
    ((".tar.zst", ".tzst", ".zst"), "an archive in Zstandard compression; unpack it and give the folder"),  # noqa: E501
    ((".pkl", ".pickle"), "a pickle, which can run code and is never opened; save its arrays with numpy.savez"),  # noqa: E501
    ((".pt", ".pth"), "a file of PyTorch, which can run code; save its arrays with numpy.savez"),
    ((".xlsx", ".xls", ".ods"), "a spreadsheet; save it as CSV, and give that with --labels"),
    ((".arrow", ".feather"), "an Arrow file; write it as Parquet (pyarrow.parquet.write_table)"),
    ((".mdb", ".lmdb"), f"an LMDB database, which needs its own schema; {FOLDERS}"),
    ((".xml",), f"an XML file, perhaps boxes in Pascal VOC's format, {CLASSES}"),
)  # fmt: skip


def find(path: Path, options: LoadOptions) -> Rejected:  # noqa: ARG001
    """Return what ``path`` is if it is of a known kind that is not read; else an empty reason."""
    if path.is_dir():
        return Rejected(reason=_folder(path))
    return Rejected(reason=by_suffix(path.name))


def by_suffix(name: str) -> str:
    """Return what a file of that name is and what to do with it; empty if it is not known."""
    lower = name.lower()
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
    return ""


def _any(path: Path, *patterns: str) -> bool:
    return any(next(path.glob(pattern), None) is not None for pattern in patterns)


def _is_saved_to_disk(path: Path) -> bool:
    marks = ("dataset_dict.json", "state.json", "*/state.json")
    return _any(path, *marks) and _any(path, "*.arrow", "*/*.arrow")


def _is_lmdb(path: Path) -> bool:
    return _any(path, "data.mdb", "*/data.mdb")


def _is_tfrecord(path: Path) -> bool:
    return _any(path, "*.tfrecord*", "*/*.tfrecord*")


def _is_hdf5(path: Path) -> bool:
    return _any(path, "*.h5", "*.hdf5")


KINDS: tuple[tuple[Callable[[Path], bool], str], ...] = (
    (
        _is_saved_to_disk,
        "a dataset in the format of save_to_disk; write it as Parquet: "
        'datasets.load_from_disk(folder)["train"].to_parquet("train.parquet")',
    ),
    (_is_lmdb, by_suffix(".mdb")),
    (_is_tfrecord, by_suffix(".tfrecord")),
    (_is_hdf5, by_suffix(".h5")),
)
