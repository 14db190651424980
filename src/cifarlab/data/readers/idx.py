"""IDX files, MNIST's format, packed or not: MNIST, Fashion-MNIST, KMNIST and EMNIST.

Format: http://yann.lecun.com/exdb/mnist/ (big-endian: two zero bytes, a type, the number of
axes, the length of each, the values).
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.memory.image_arrays import UnsuitableError, find_axes
from cifarlab.data.memory.label_arrays import number_classes
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION, all_in_one
from cifarlab.data.samples import Found, Rejected, Samples
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

# Such as train-images-idx3-ubyte.gz, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte.
NAME = re.compile(
    r"(?P<dataset>.*?)[-_.]?(?P<split>train|t10k|test|val|validation)[-_.]"
    r"(?P<kind>images|labels)[-_.]idx\d-[a-z]+(?P<packed>\.gz)?",
    re.IGNORECASE,
)
SPLITS = {"train": TRAIN, "t10k": TEST, "test": TEST, "val": VALIDATION, "validation": VALIDATION}
UINT8 = 0x08
BLOCK_BYTES = 1 << 22
MAX_LABELS = 100_000_000
BOMB_BYTES, BOMB_RATIO = 1 << 30, 200


@dataclass(frozen=True, kw_only=True)
class _Named:
    """A file whose name is that of an IDX file."""

    path: Path
    dataset: str
    split: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class _Idx:
    """An IDX file, of which the header is read."""

    path: Path
    shape: tuple[int, ...]

    def blocks(self) -> Iterator[np.ndarray[Any, Any]]:
        """Yield the values in parts along the first axis.

        Raises:
            InputError: the file is damaged, or longer or shorter than its header says.
        """
        each = math.prod(self.shape[1:])
        rows = max(1, BLOCK_BYTES // max(each, 1))
        with _opened(self.path) as stream:
            stream.read(4 + 4 * len(self.shape))
            for first in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - first)
                data = stream.read(count * each)
                if len(data) < count * each:
                    raise _wrong_length(self.path)
                yield np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])
            if stream.read(1):
                raise _wrong_length(self.path)


def find(path: Path, options: LoadOptions) -> Found | Rejected:
    """Understand the IDX files at ``path``: a folder that holds them, or one of them.

    The other files of the same dataset are found beside it.

    Raises:
        InputError: a file is damaged.
        UnsafeError: a file unpacks to far more than it could hold.
    """
    folder = _folder(path)
    files = _in_folder(folder)
    if path.is_file():
        mine = [file for file in files if file.path.name == path.name]
        files = [file for file in files if mine and file.dataset == mine[0].dataset]
    if not files:
        return Rejected(reason="")
    datasets = sorted({file.dataset for file in files})
    if len(datasets) > 1:
        listed = ", ".join(printable(name or "mnist") for name in datasets)
        example = printable(files[0].path.name)
        return Rejected(
            reason=f"holds the IDX files of several datasets ({listed}); "
            f"give one file of the one that is meant, such as {example}"
        )
    try:
        return _found(path, folder, datasets[0], files, options)
    except UnsuitableError as error:
        return Rejected(reason=str(error))


def _folder(path: Path) -> Path:
    """Return the folder with the files; others keep theirs in MNIST/raw or raw."""
    if path.is_file():
        return path.parent
    if not path.is_dir() or _in_folder(path):
        return path
    inner = [f for f in (*path.glob("raw"), *path.glob("*/raw")) if f.is_dir() and _in_folder(f)]
    return inner[0] if len(inner) == 1 else path


def _in_folder(folder: Path) -> list[_Named]:
    if not folder.is_dir():
        return []
    files: dict[tuple[str, str, str], _Named] = {}
    # Unpacked files come before packed ones of the same name.
    for path in sorted(folder.iterdir()):
        match = NAME.fullmatch(path.name)
        if match and path.is_file():
            dataset, kind = match["dataset"].casefold(), match["kind"].casefold()
            split = SPLITS[match["split"].casefold()]
            named = _Named(path=path, dataset=dataset, split=split, kind=kind)
            files.setdefault((dataset, split, kind), named)
    return list(files.values())


def _found(
    path: Path, folder: Path, dataset: str, files: list[_Named], options: LoadOptions
) -> Found:
    by_split: dict[str, dict[str, _Idx]] = {}
    for file in files:
        by_split.setdefault(file.split, {})[file.kind] = _read_header(file.path)
    notes = _unlabelled(by_split)
    complete = all_in_one(
        {split: pair for split, pair in by_split.items() if len(pair) == 2},
        measuring=options.measures,
    )
    if TRAIN not in complete:
        kind = "labels" if "labels" not in by_split.get(TRAIN, {}) else "images"
        raise UnsuitableError(
            f"{printable(folder)}: no train-{kind}-idx file beside {printable(files[0].path.name)};"
            " copy it there"
        )
    transposed = dataset.startswith("emnist")
    if transposed:
        notes.append("EMNIST stores images transposed; they are turned upright")
    labels = {split: _labels(pair) for split, pair in complete.items()}
    class_names, numbers = number_classes(labels, fewest=options.fewest_classes)
    train = complete[TRAIN]["images"].shape[1:]
    splits = {}
    for split, pair in complete.items():
        images = pair["images"]
        if images.shape[1:] != train:
            raise UnsuitableError(
                f"{printable(images.path.name)}: images are {list(images.shape[1:])}, those of the "
                f"training file {list(train)}; they are not of one dataset"
            )
        splits[split] = _samples(images, numbers[split], split, transposed=transposed)
    return Found(
        what="IDX files",
        name=dataset or (folder.resolve().name if path.is_dir() else "mnist-like"),
        source=str(path.absolute()),
        class_names=class_names,
        splits=splits,
        files=tuple(sorted(f.path for f in files)),
        notes=tuple(notes),
    )


def _unlabelled(by_split: Mapping[str, Mapping[str, _Idx]]) -> list[str]:
    return [
        f"{printable(pair['images'].path.name)}: left out, no file of labels is beside it"
        for split, pair in by_split.items()
        if split != TRAIN and "labels" not in pair
    ]


def _labels(pair: Mapping[str, _Idx]) -> np.ndarray[Any, Any]:
    images, labels = pair["images"], pair["labels"]
    shown = printable(labels.path.name)
    if len(labels.shape) != 1:
        raise UnsuitableError(f"{shown}: labels are {list(labels.shape)}; give one for each image")
    if labels.shape[0] != images.shape[0] or labels.shape[0] > MAX_LABELS:
        raise InputError(
            f"{shown}: {labels.shape[0]:,} labels, and {images.shape[0]:,} images in "
            f"{printable(images.path.name)}; copy both again"
        )
    return np.concatenate([np.empty(0, np.uint8), *labels.blocks()]).astype(np.int64)


def _samples(
    images: _Idx, labels: np.ndarray[Any, Any], split: str, *, transposed: bool
) -> Samples:
    axes = find_axes(images.shape, printable(images.path.name))

    def contents() -> Iterator[np.ndarray[Any, Any]]:
        for block in images.blocks():
            for image in axes.arrange(block):
                upright = image.swapaxes(0, 1) if transposed else image
                yield upright[..., 0] if upright.shape[-1] == 1 else upright

    return Samples(
        labels=labels,
        names=tuple(f"{split} {index}" for index in range(len(labels))),
        contents=contents,
    )


def _read_header(path: Path) -> _Idx:
    shown = printable(path.name)
    with _opened(path) as stream:
        head = stream.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or not 1 <= head[3] <= 4:
            raise InputError(f"{shown}: does not start like an IDX file; copy it again")
        if head[2] != UINT8:
            raise UnsuitableError(f"{shown}: its values are not bytes (type {head[2]:#04x})")
        lengths = stream.read(4 * head[3])
    if len(lengths) < 4 * head[3]:
        raise _wrong_length(path)
    shape = struct.unpack(f">{head[3]}I", lengths)
    _check_size(path, shape, 4 + len(lengths))
    return _Idx(path=path, shape=shape)


def _check_size(path: Path, shape: tuple[int, ...], header: int) -> None:
    stored, said = path.stat().st_size, header + math.prod(shape)
    if path.suffix.casefold() != ".gz":
        if stored != said:
            raise _wrong_length(path)
    elif said > BOMB_BYTES and said > BOMB_RATIO * stored:
        raise UnsafeError(
            f"{printable(path.name)}: refused: {stored:,} bytes unpack to {said:,}; "
            "use a copy from a source that you trust"
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        if path.suffix.casefold() == ".gz":
            with gzip.open(path, "rb") as packed:
                yield packed  # type: ignore[misc]
        else:
            with path.open("rb") as plain:
                yield plain
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{printable(path)}: cannot be read, or is damaged ({reason}); copy it again"
        ) from error


def _wrong_length(path: Path) -> InputError:
    return InputError(
        f"{printable(path.name)}: its length is not what its header says; copy it again"
    )
