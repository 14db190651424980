"""CIFAR-10 and CIFAR-100: what they are, where they are, and Toronto's own file formats.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
formats and MD5 sums from https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.dataset import Split, fingerprint
from cifarlab.data.download import RemoteFile
from cifarlab.errors import InputError, UnsafeError

SIDE = 32
PIXELS = SIDE * SIDE * 3
# The real archives unpack to about 190 MB.
MAX_UNPACKED_BYTES = 256_000_000

_NAMES10 = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR10_CLASSES = tuple(_NAMES10.split())
CIFAR10_TRAIN_FINGERPRINT = "d59acf989e068e709ce686cda292672c7b212c08d29d3d3e6d8c3aa99eba6a85"
CIFAR10_TEST_FINGERPRINT = "899683d46c3a8c66fd56e1af12202e69fe5a4517be10b0f68e04c78fe585c57c"

# The fine labels, in label order.
_NAMES100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch
    crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo
    keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse
    mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy
    porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
    tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_NAMES100.split())


@dataclass(frozen=True)
class Layout:
    """One of Toronto's formats: which files lie in which folder, and how to decode one."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    decode: Callable[[bytes, str], Split]


@dataclass(frozen=True)
class Source:
    """An official place whose files together hold the dataset."""

    name: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True)
class Kind:
    """A dataset of the CIFAR family.

    Attributes:
        name: what it is called.
        class_names: in label order.
        train_count: pictures to train with, the same number of each class.
        test_count: pictures to test with, the same number of each class.
        layouts: the formats that Toronto publishes it in.
        sources: where to download it, best first.
        train_fingerprint: what proves the content, or empty when not known.
        test_fingerprint: the same for the test pictures.
    """

    name: str
    class_names: tuple[str, ...]
    train_count: int
    test_count: int
    layouts: tuple[Layout, ...]
    sources: tuple[Source, ...]
    train_fingerprint: str = ""
    test_fingerprint: str = ""


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
                raise InputError(f"{file}: longer than {MAX_UNPACKED_BYTES} bytes; not {kind.name}")
            members[name] = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"{file}: cannot be read ({error.strerror}); {kind.name} needs it: copy it again"
            ) from error
    return _decode(layout, members, str(folder))


def read_archive(path: Path, kinds: tuple[Kind, ...]) -> tuple[Kind, Split, Split]:
    """Read one of Toronto's ``.tar.gz`` archives in memory; nothing is extracted to disk.

    Members are looked up by exact name, so that what else lies in the archive, and under
    what path, does not matter.

    Raises:
        InputError: it is damaged, or holds none of ``kinds``.
        UnsafeError: it unpacks to far too much, or a wanted member is a link or comes twice.
    """
    members = _wanted_members(path, kinds)
    for kind in kinds:
        for layout in kind.layouts:
            found = {
                name: members[f"{layout.folder}/{name}"]
                for name in layout.train + layout.test
                if f"{layout.folder}/{name}" in members
            }
            if found:
                return kind, *_decode(layout, found, str(path))
    names = ", ".join(layout.folder for kind in kinds for layout in kind.layouts)
    raise InputError(f"{path}: the archive holds none of {names}; give one of Toronto's archives")


def _wanted_members(path: Path, kinds: tuple[Kind, ...]) -> dict[str, bytes]:
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
                    raise UnsafeError(f"{path}: refused: {name} is a link or comes twice")
                members[name] = content.read()
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise InputError(f"{path}: not a whole .tar.gz archive ({error}); copy it again") from error
    return members


class _Capped(gzip.GzipFile):
    """Ends in ``UnsafeError`` when more comes out than any real archive holds."""

    left = MAX_UNPACKED_BYTES

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise UnsafeError(
                f"{self.name}: refused: it unpacks to more than {MAX_UNPACKED_BYTES} bytes"
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


def verify(kind: Kind, train: Split, test: Split, where: str) -> None:
    """Raise ``InputError`` unless the pictures are those of ``kind``.

    The fingerprint decides; where none is known, the count of each class does.
    """
    for part, split, count, expected in (
        ("train", train, kind.train_count, kind.train_fingerprint),
        ("test", test, kind.test_count, kind.test_fingerprint),
    ):
        classes = len(kind.class_names)
        counts = np.bincount(split.labels, minlength=classes)
        if split.images.shape[1:] != (SIDE, SIDE, 3) or (counts != count / classes).any():
            raise InputError(
                f"{where}: its {part} pictures are not {kind.name}: {len(split)} of shape "
                f"{list(split.images.shape[1:])} in {np.count_nonzero(counts)} classes, expected "
                f"{count} of 32x32, the same number in each of {classes} classes; use another copy"
            )
        actual = fingerprint(split) if expected else ""
        if actual != expected:
            raise InputError(
                f"{where}: its {part} pictures are not {kind.name}: "
                f"fingerprint {actual}, expected {expected}; use another copy"
            )


def identify(train: Split, test: Split) -> Kind | None:
    """Return the kind whose fingerprints these pictures have, if any."""
    for kind in KINDS:
        same_size = len(train) == kind.train_count and len(test) == kind.test_count
        if kind.train_fingerprint and same_size:
            try:
                verify(kind, train, test, "")
            except InputError:
                continue
            return kind
    return None


def _hugging_face(name: str, folder: str) -> Source:
    base = f"https://huggingface.co/datasets/uoft-cs/{name}/resolve/main/{folder}"
    files = (f"{part}-00000-of-00001.parquet" for part in ("train", "test"))
    return Source(
        "Hugging Face",
        tuple(RemoteFile(f"{base}/{file}", file, b"PAR1", 200_000_000) for file in files),
    )


def _toronto(archive: str, digest: str) -> Source:
    url = f"https://www.cs.toronto.edu/~kriz/{archive}"
    return Source(
        f"Toronto ({archive})", (RemoteFile(url, archive, b"\x1f\x8b", 200_000_000, digest),)
    )


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))

CIFAR10 = Kind(
    name="cifar10",
    class_names=CIFAR10_CLASSES,
    train_count=50_000,
    test_count=10_000,
    layouts=(
        Layout(
            "cifar-10-batches-bin",
            tuple(f"{name}.bin" for name in _BATCHES),
            ("test_batch.bin",),
            partial(decode_records, label_bytes=1),
        ),
        Layout(
            "cifar-10-batches-py",
            _BATCHES,
            ("test_batch",),
            partial(decode_pickle, label_key=b"labels"),
        ),
    ),
    sources=(
        _hugging_face("cifar10", "plain_text"),
        _toronto("cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),
        _toronto(
            "cifar-10-python.tar.gz",
            "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        ),
    ),
    train_fingerprint=CIFAR10_TRAIN_FINGERPRINT,
    test_fingerprint=CIFAR10_TEST_FINGERPRINT,
)

CIFAR100 = Kind(
    name="cifar100",
    class_names=CIFAR100_CLASSES,
    train_count=50_000,
    test_count=10_000,
    layouts=(
        Layout(
            "cifar-100-binary",
            ("train.bin",),
            ("test.bin",),
            partial(decode_records, label_bytes=2),
        ),
        Layout(
            "cifar-100-python",
            ("train",),
            ("test",),
            partial(decode_pickle, label_key=b"fine_labels"),
        ),
    ),
    sources=(
        _hugging_face("cifar100", "cifar100"),
        _toronto("cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"),
        _toronto("cifar-100-python.tar.gz", "md5:eb9058c3a382ffc7106e4002c42a8d85"),
    ),
)

KINDS = (CIFAR10, CIFAR100)
