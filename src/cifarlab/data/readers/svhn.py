"""SVHN's cropped digits: ``train_32x32.mat``, ``test_32x32.mat``.

Format: http://ufldl.stanford.edu/housenumbers/ (``X`` uint8 ``[32, 32, 3, N]``, ``y`` from 1 to
10, where 10 is the digit 0).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.image_arrays import UnsuitableError
from cifarlab.data.label_arrays import number_classes, plain_labels
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.split_names import TRAIN, splits_of
from cifarlab.data.samples import Found, Rejected, Samples
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

IMAGES, LABELS = "X", "y"
CROPPED = "_32x32.mat"
BOMB_BYTES, BOMB_RATIO = 1 << 30, 200
MAX_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class _Mat:
    """A file of cropped digits, of which the labels are read."""

    path: Path
    shape: tuple[int, ...]
    labels: np.ndarray[Any, Any]


def find(path: Path, options: LoadOptions) -> Found | Rejected:  # noqa: ARG001
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
        return _found(path, files)
    except UnsuitableError as error:
        return Rejected(reason=str(error))


def _files(path: Path) -> list[Path]:
    if not path.is_dir() and not (path.is_file() and path.suffix.casefold() == ".mat"):
        return []
    folder = path if path.is_dir() else path.parent
    beside = sorted(file for file in folder.glob(f"*{CROPPED}") if file.is_file())
    return beside if path.is_dir() or path in beside else [path]


def _found(path: Path, files: Sequence[Path]) -> Found:
    spoken = splits_of([file.stem for file in files])
    by_split = {spoken[file.stem]: file for file in files if file.stem in spoken}
    if len(files) == 1:
        by_split = {TRAIN: files[0]}
    if TRAIN not in by_split:
        raise UnsuitableError(f"no train{CROPPED} beside {printable(files[0].name)}; copy it there")
    extra = [file for file in files if file not in by_split.values()]
    mats = {split: _read(file) for split, file in by_split.items()}
    class_names, numbers = number_classes({split: mat.labels for split, mat in mats.items()})
    for mat in mats.values():
        if mat.shape[:3] != mats[TRAIN].shape[:3]:
            raise UnsuitableError(
                f"{printable(mat.path.name)}: images are {list(mat.shape[:3])}, those of the "
                f"training file {list(mats[TRAIN].shape[:3])}; they are not of one dataset"
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
        images = _load(mat.path, IMAGES)
        for index in range(images.shape[3]):
            yield images[..., index]

    return Samples(
        labels=labels,
        names=tuple(f"{split} {index}" for index in range(len(labels))),
        contents=contents,
    )


def _read(path: Path) -> _Mat:
    _check_version(path)
    arrays = _listed(path)
    shape, kind = arrays.get(IMAGES, ((), ""))
    if kind != "uint8" or len(shape) != 4 or shape[2] != 3 or LABELS not in arrays:
        held = [f"{printable(name)} {kind} {list(shape)}" for name, (shape, kind) in arrays.items()]
        more = f" and {len(held) - MAX_LISTED} more" if len(held) > MAX_LISTED else ""
        raise UnsuitableError(
            f"{printable(path.name)}: holds {', '.join(held[:MAX_LISTED]) or 'nothing'}{more}; of "
            ".mat files only SVHN's are read (X uint8 [H, W, 3, N] and y): save images and labels "
            "as .npz"
        )
    said = math.prod(shape)
    if said > BOMB_BYTES and said > BOMB_RATIO * path.stat().st_size:
        raise UnsafeError(
            f"{printable(path.name)}: refused: {path.stat().st_size:,} bytes unpack to {said:,}; "
            "use a copy from a source that you trust"
        )
    if math.prod(arrays[LABELS][0]) != shape[3]:
        raise InputError(
            f"{printable(path.name)}: {shape[3]:,} images, and labels {list(arrays[LABELS][0])}; "
            "copy it again"
        )
    labels = plain_labels(_load(path, LABELS).reshape(-1), shape[3], f"{printable(path.name)}: y")
    if labels.dtype.kind == "i":
        labels = np.where(labels == 10, 0, labels)
    return _Mat(path=path, shape=shape, labels=labels)


def _check_version(path: Path) -> None:
    try:
        with path.open("rb") as file:
            head = file.read(520)
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read ({error.strerror})") from error
    if head.startswith(b"MATLAB 7.3") or b"\x89HDF\r\n\x1a\n" in (head[:8], head[512:520]):
        raise UnsuitableError(
            f"{printable(path.name)}: a MATLAB 7.3 file (HDF5), which is not read; save images "
            "and labels as .npz, or in MATLAB with save(..., '-v7')"
        )
    if not head.startswith(b"MATLAB 5.0 MAT-file"):
        raise InputError(f"{printable(path.name)}: not a MATLAB 5 file, or damaged; copy it again")


def _listed(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of each array; no values are read."""
    from scipy.io import whosmat

    with _damage_named(path):
        return {name: (tuple(shape), kind) for name, shape, kind in whosmat(path)}


def _load(path: Path, name: str) -> np.ndarray[Any, Any]:
    from scipy.io import loadmat

    with _damage_named(path):
        return np.asarray(loadmat(path, variable_names=[name])[name])


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn whatever SciPy raises on a damaged file into one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        # A damaged file makes SciPy raise nearly every built-in exception.
        except Exception as error:
            raise InputError(
                f"{printable(path)}: an incomplete or damaged .mat file "
                f"({type(error).__name__}); copy it again"
            ) from error
