"""Arrays of images and labels in a ``.npz`` file, or in ``.npy`` and ``.npz`` files of a folder.

Keras's ``mnist.npz`` (``x_train``, ``y_train``, ...), MedMNIST's files (``train_images``,
``train_labels``, ``val_images``, ...) and whatever names as clearly what it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.memory.array_names import Pair, Pairs, pair_up
from cifarlab.data.memory.image_arrays import (
    HALF,
    UnsuitableError,
    Values,
    extremes,
    find_axes,
    find_values,
)
from cifarlab.data.memory.label_arrays import check_class_names, number_classes, plain_labels
from cifarlab.data.readers.array_files import StoredArray, list_arrays
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.data.readers.split_names import TRAIN
from cifarlab.data.samples import Found, Rejected, Samples
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

SUFFIXES = (".npz", ".npy")
MAX_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class _Part:
    """The arrays of one split, understood."""

    images: StoredArray
    labels: np.ndarray[Any, Any]


def find(path: Path, options: LoadOptions) -> Found | Rejected:
    """Understand the arrays at ``path``, a file or a folder of files.

    Labels say which classes there are; the values of the images are brought to 0 to 255.

    Raises:
        InputError: a file is damaged.
        UnsafeError: an array holds pickled objects, or is far larger than its file.
    """
    files = _files(path)
    if not files:
        return Rejected(reason="")
    try:
        arrays = _named(files)
        pairs = pair_up(
            arrays,
            image_column=options.image_column,
            label_column=options.label_column,
            measuring=options.measures,
        )
        return _found(path, files, arrays, pairs, options)
    except UnsuitableError as error:
        several = "; or give one of the files" if len(files) > 1 else ""
        return Rejected(reason=f"{error}{several}")
    except (InputError, UnsafeError) as error:
        # Beside folders of images such a file may be none of the data.
        if path.is_dir() and any(inner.is_dir() for inner in path.iterdir()):
            return Rejected(reason=str(error))
        raise


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = (f for f in path.iterdir() if f.suffix.casefold() in SUFFIXES)
        return sorted(file for file in files if file.is_file())
    return [path] if path.is_file() and kind_of(path) in SUFFIXES else []


def _named(files: Sequence[Path]) -> dict[str, StoredArray]:
    """Return the arrays by name; of several files each array has its file's name before its own."""
    named: dict[str, StoredArray] = {}
    for file in files:
        found = list_arrays(file)
        for array in found:
            alone = len(found) == 1 and array.member is not None
            name = array.name
            if len(files) > 1 and array.member is not None:
                # A file of one array that was saved without a name is called as the file is.
                name = file.stem if alone and name == "arr_0" else f"{file.stem}/{name}"
            named[name] = replace(array, name=name)
    return named


def _found(
    path: Path,
    files: Sequence[Path],
    arrays: dict[str, StoredArray],
    pairs: Pairs,
    options: LoadOptions,
) -> Found:
    notes = _left_out(pairs.others)
    parts: dict[str, _Part] = {}
    for split, pair in pairs.splits.items():
        labels = _labels(arrays, pair)
        if labels is None:
            notes.append(f"{printable(pair.images)}: left out, its images have no labels")
        else:
            parts[split] = _Part(images=arrays[pair.images], labels=labels)
    axes = find_axes(arrays[pairs.splits[TRAIN].images].shape, _shown(parts[TRAIN].images))
    values = _values(parts[TRAIN].images, options.bits)
    notes += [note for note in (axes.note, values.note) if note]
    for part in parts.values():
        _check_like(part.images, parts[TRAIN].images, values)
    names, numbers = number_classes(
        {split: part.labels for split, part in parts.items()},
        _class_names(arrays, pairs, parts[TRAIN].labels, options.fewest_classes),
        options.fewest_classes,
    )
    splits = {
        split: _samples(part.images, numbers[split], split, values) for split, part in parts.items()
    }
    return Found(
        what="arrays of images and labels",
        name=path.resolve().stem if path.is_file() else path.resolve().name,
        source=str(path.absolute()),
        class_names=names,
        splits=splits,
        files=tuple(files),
        notes=tuple(notes),
        options=_options(pairs.splits),
    )


def _left_out(others: Sequence[str]) -> list[str]:
    if not others:
        return []
    listed = ", ".join(printable(name) for name in others[:MAX_LISTED])
    more = f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
    return [f"left out {listed}{more}: neither images nor labels of a split"]


def _labels(arrays: dict[str, StoredArray], pair: Pair) -> np.ndarray[Any, Any] | None:
    """Return the labels of a split, or ``None`` where there are none, or all of them are -1."""
    if pair.labels is None:
        return None
    stored = arrays[pair.labels]
    count = arrays[pair.images].shape[0] if arrays[pair.images].shape else 0
    labels = plain_labels(stored.load(), count, _shown(stored))
    return None if labels.dtype.kind == "i" and len(labels) and (labels == -1).all() else labels


def _values(images: StoredArray, bits: int | None) -> Values:
    # A uint8 array need not be read to its end: half of white is enough to know its range.
    enough = 255 * HALF if images.dtype == np.uint8 else np.inf
    low, high = extremes(images.blocks(), _shown(images), enough=enough)
    return find_values(images.dtype, low, high, _shown(images), bits=bits)


def _check_like(images: StoredArray, train: StoredArray, values: Values) -> None:
    shape, expected = images.shape[1:], train.shape[1:]
    if shape != expected or images.dtype.kind != train.dtype.kind:
        raise UnsuitableError(
            f"{_shown(images)}: images are {images.dtype} {list(shape)}, those of {_shown(train)} "
            f"{train.dtype} {list(expected)}; save both in one form"
        )
    if images is not train and (values.black, values.white) != (0, 255):
        low, high = extremes(images.blocks(), _shown(images))
        told = (values.black, values.white)
        find_values(images.dtype, low, high, _shown(images), value_range=told)


def _class_names(
    arrays: dict[str, StoredArray], pairs: Pairs, labels: np.ndarray[Any, Any], fewest: int
) -> list[str] | None:
    """Return the names that the file gives, where they fit the labels."""
    if pairs.class_names is None or labels.dtype.kind != "i":
        return None
    stored = arrays[pairs.class_names]
    if stored.dtype.kind not in "US" or len(stored.shape) != 1:
        return None
    names = [n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in stored.load()]
    check_class_names(names, fewest)
    return [str(name) for name in names]


def _samples(
    images: StoredArray, labels: np.ndarray[Any, Any], split: str, values: Values
) -> Samples:
    axes = find_axes(images.shape, _shown(images))

    def contents() -> Iterator[np.ndarray[Any, Any]]:
        for block in images.blocks():
            for image in values.to_uint8(axes.arrange(block)):
                yield image[..., 0] if image.shape[-1] == 1 else image

    return Samples(
        labels=labels,
        names=tuple(f"{split} {index}" for index in range(len(labels))),
        contents=contents,
    )


def _options(splits: dict[str, Pair] | Any) -> dict[str, Any]:
    """Return the names that were guessed, where one name each says all."""
    if set(splits) != {TRAIN}:
        return {}
    return {"image_column": splits[TRAIN].images, "label_column": splits[TRAIN].labels}


def _shown(array: StoredArray) -> str:
    return printable(array.name)
