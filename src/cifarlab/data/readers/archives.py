"""Understand a ``.zip`` or ``.tar`` of a folder of images; nothing is unpacked to disk."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import tar_files, zip_files
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.data.readers.labelled_files import FindIn, find_in
from cifarlab.data.readers.places import Place
from cifarlab.data.samples import Found, Rejected

# Toronto's archives are read elsewhere.
TORONTO = re.compile(r"cifar-100?-(python|binary|matlab)\.(tar\.gz|tgz)", re.IGNORECASE)
TORONTO_FOLDERS = frozenset(
    {"cifar-10-batches-py", "cifar-10-batches-bin", "cifar-100-python", "cifar-100-binary"}
)
# What an archive may hold instead of images.
DATA_SUFFIXES = (
    ".npz", ".npy", ".mat", ".parquet", ".zip", ".tar", ".gz", ".tgz", ".rar", ".7z",
    ".h5", ".hdf5", ".arrow", ".tfrecord", ".mdb",
)  # fmt: skip


def find(path: Path, options: LoadOptions, find_in: FindIn = find_in) -> Found | Rejected:
    """Return the images in an archive and the class of each, or why not.

    The names of its members are understood as the files of a folder are. Members whose path leads
    out of the archive, links and devices are left out.

    Raises:
        InputError: it is damaged or encrypted, or as ``folder.find``.
        UnsafeError: it would unpack to far too much.
    """
    if not path.is_file() or TORONTO.fullmatch(path.name):
        return Rejected(reason="")
    kind = kind_of(path)
    if kind == ".zip":
        place = zip_files.zip_place(path)
    elif kind == ".tar" or (kind == path.suffix.lower() and tar_files.is_called_tar(path)):
        place = tar_files.tar_place(path)
    else:
        return Rejected(reason="")
    top = place.listing.root
    if any(folder.name in TORONTO_FOLDERS for folder in top.folders):
        return Rejected(reason="holds Toronto's files of CIFAR; unpack it and give the folder")
    answer = find_in(place, options)
    if isinstance(answer, Rejected):
        return replace(answer, reason="; ".join(filter(None, (_other_data(place), answer.reason))))
    return answer


def _other_data(place: Place) -> str:
    """Return what to do with data of another kind in an archive; empty if there is none."""
    for file in place.listing.root.other_files():
        if file.name.lower().endswith(DATA_SUFFIXES):
            return f"holds {place.below(file)!r}; unpack it and give that file, or its folder"
    if any(f.suffix.lower() == ".csv" for f in place.listing.root.other_files()):
        return "holds tables; if their columns are pixels, unpack them and give the folder"
    return ""
