"""SVHN's cropped digits: ``train_32x32.mat``, ``test_32x32.mat``.

Format: http://ufldl.stanford.edu/housenumbers/ (``X`` uint8 ``[32, 32, 3, N]``, ``y`` from 1 to
10, where 10 is the digit 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.memory.image_arrays import UnsuitableError
from cifarlab.data.memory.label_arrays import number_classes, plain_labels
from cifarlab.data.readers import mat5
from cifarlab.data.readers.split_names import TRAIN, splits_of
from cifarlab.data.samples import Found, Rejected, Samples
from cifarlab.errors import InputError
from cifarlab.files import printable

IMAGES, LABELS = "X", "y"
CROPPED = "_32x32.mat"
HDF5 = b"\x89HDF\r\n\x1a\n"
MAX_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class _Mat:
    """A file of cropped digits, of which the labels are read."""

    path: Path
    images: mat5.MatArray
    labels: np.ndarray[Any, Any]


def find(path: Path, options: LoadOptions) -> Found | Rejected:
    """Understand SVHN's cropped digits at ``path``: a folder that holds them, or one of them.

    The other splits are found beside it; ``extra_32x32.mat`` is left out, and said.

    Raises:
        InputError: a file is damaged.
        UnsafeError: a file unpacks to far more than it could hold.
    """
    files = _files(path)
    if not files:
        return Rejected(reason="")
    try:
        return _found(path, files, options.fewest_classes)
    except UnsuitableError as error:
        return Rejected(reason=str(error))


def _files(path: Path) -> list[Path]:
    if not path.is_dir() and not (path.is_file() and path.suffix.casefold() == ".mat"):
        return []
    folder = path if path.is_dir() else path.parent
    beside = sorted(file for file in folder.glob(f"*{CROPPED}") if file.is_file())
    return beside if path.is_dir() or path in beside else [path]


def _found(path: Path, files: Sequence[Path], fewest: int) -> Found:
    spoken = splits_of([file.stem for file in files])
    by_split = {spoken[file.stem]: file for file in files if file.stem in spoken}
    if len(files) == 1:
        by_split = {TRAIN: files[0]}
    if TRAIN not in by_split:
        raise UnsuitableError(f"no train{CROPPED} beside {printable(files[0].name)}; copy it there")
    extra = [file for file in files if file not in by_split.values()]
    mats = {split: _read(file) for split, file in by_split.items()}
    class_names, numbers = number_classes(
        {split: mat.labels for split, mat in mats.items()}, fewest=fewest
    )
    for mat in mats.values():
        shape, expected = mat.images.shape[:3], mats[TRAIN].images.shape[:3]
        if shape != expected:
            raise UnsuitableError(
                f"{printable(mat.path.name)}: images are {list(shape)}, those of the training file "
                f"{list(expected)}; they are not of one dataset"
            )
    return Found(
        what="SVHN's cropped digits",
        name="svhn",
        source=str(path.absolute()),
        class_names=class_names,
        splits={split: _samples(mat, numbers[split], split) for split, mat in mats.items()},
        files=tuple(by_split.values()),
        notes=tuple(
            f"{printable(file.name)}: left out, its name speaks of no split" for file in extra
        ),
    )


def _samples(mat: _Mat, labels: np.ndarray[Any, Any], split: str) -> Samples:
    def contents() -> Iterator[np.ndarray[Any, Any]]:
        for block in mat.images.blocks():
            # Each is [3, width, height] here, because MATLAB's first axis varies fastest.
            yield from block.transpose(0, 3, 2, 1)

    return Samples(
        labels=labels,
        names=tuple(f"{split} {index}" for index in range(len(labels))),
        contents=contents,
    )


def _read(path: Path) -> _Mat:
    shown = printable(path.name)
    _refuse_hdf5(path)
    arrays = {array.name: array for array in mat5.list_arrays(path)}
    images, stored = arrays.get(IMAGES), arrays.get(LABELS)
    if (
        images is None
        or stored is None
        or images.dtype != np.uint8
        or len(images.shape) != 4
        or images.shape[2] != 3
        or stored.dtype is None
    ):
        held = [f"{printable(a.name)} {a.kind} {list(a.shape)}" for a in arrays.values()]
        more = f" and {len(held) - MAX_LISTED} more" if len(held) > MAX_LISTED else ""
        raise UnsuitableError(
            f"{shown}: holds {', '.join(held[:MAX_LISTED]) or 'nothing'}{more}; of .mat files only "
            "SVHN's are read (X uint8 [H, W, 3, N] and y): save images and labels as .npz"
        )
    count = images.shape[3]
    if math.prod(stored.shape) != count:
        raise InputError(
            f"{shown}: {count:,} images, and labels {list(stored.shape)}; copy it again"
        )
    values = np.concatenate([np.empty(0, np.uint8), *(b.reshape(-1) for b in stored.blocks())])
    labels = plain_labels(values, count, f"{shown}: y")
    return _Mat(path=path, images=images, labels=np.where(labels == 10, 0, labels))


def _refuse_hdf5(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(520)
    except OSError as error:
        raise mat5.damaged(path, error.strerror or "cannot be read") from error
    if head.startswith(b"MATLAB 7.3") or HDF5 in (head[:8], head[512:520]):
        raise UnsuitableError(
            f"{printable(path.name)}: a MATLAB 7.3 file (HDF5), which is not read; save images "
            "and labels as .npz, or in MATLAB with save(..., '-v7')"
        )
