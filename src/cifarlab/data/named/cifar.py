"""CIFAR-10 and CIFAR-100: their classes, sources and fingerprints.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009;
MD5 sums from https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from cifarlab.data.named.cifar_formats import SIDE, Layout, decode_pickle, decode_records
from cifarlab.data.named.download import RemoteFile
from cifarlab.data.split import Split, fingerprint
from cifarlab.errors import InputError

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


@dataclass(frozen=True, kw_only=True)
class Source:
    """An official download whose files together hold the dataset."""

    name: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True, kw_only=True)
class CifarVariant:
    """A dataset of the CIFAR family.

    Attributes:
        name: such as ``"cifar10"``.
        class_names: in label order.
        train_count: number of training images, the same of each class.
        test_count: number of test images, the same of each class.
        layouts: the formats that Toronto publishes it in.
        sources: where to download it, best first.
        train_fingerprint: ``dataset.fingerprint`` of the training images; empty when not known.
        test_fingerprint: the same for the test images.
    """

    name: str
    class_names: tuple[str, ...]
    train_count: int
    test_count: int
    layouts: tuple[Layout, ...]
    sources: tuple[Source, ...]
    train_fingerprint: str = ""
    test_fingerprint: str = ""


def verify(variant: CifarVariant, train: Split, test: Split, where: str) -> None:
    """Raise ``InputError`` unless the images are those of ``variant``.

    The fingerprint decides; where none is known, the count of each class does.
    """
    for part, split, count, expected in (
        ("train", train, variant.train_count, variant.train_fingerprint),
        ("test", test, variant.test_count, variant.test_fingerprint),
    ):
        classes = len(variant.class_names)
        counts = np.bincount(split.labels, minlength=classes)
        if split.images.shape[1:] != (SIDE, SIDE, 3) or (counts != count / classes).any():
            raise InputError(
                f"{where}: its {part} images are not {variant.name}: {len(split)} of shape "
                f"{list(split.images.shape[1:])} in {np.count_nonzero(counts)} classes, expected "
                f"{count} of 32x32, the same number in each of {classes} classes; use another copy"
            )
        actual = fingerprint(split) if expected else ""
        if actual != expected:
            raise InputError(
                f"{where}: its {part} images are not {variant.name}: "
                f"fingerprint {actual}, expected {expected}; use another copy"
            )


def identify(train: Split, test: Split) -> CifarVariant | None:
    """Return the variant whose fingerprints these images have, or ``None``."""
    for variant in VARIANTS:
        same_size = len(train) == variant.train_count and len(test) == variant.test_count
        if variant.train_fingerprint and same_size:
            try:
                verify(variant, train, test, "")
            except InputError:
                continue
            return variant
    return None


def _hugging_face(name: str, folder: str) -> Source:
    base = f"https://huggingface.co/datasets/uoft-cs/{name}/resolve/main/{folder}"
    files = (f"{part}-00000-of-00001.parquet" for part in ("train", "test"))
    return Source(
        name="Hugging Face",
        files=tuple(
            RemoteFile(url=f"{base}/{file}", name=file, magic=b"PAR1", max_bytes=200_000_000)
            for file in files
        ),
    )


def _toronto(archive: str, digest: str) -> Source:
    url = f"https://www.cs.toronto.edu/~kriz/{archive}"
    return Source(
        name=f"Toronto ({archive})",
        files=(
            RemoteFile(
                url=url, name=archive, magic=b"\x1f\x8b", max_bytes=200_000_000, digest=digest
            ),
        ),
    )


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))

CIFAR10 = CifarVariant(
    name="cifar10",
    class_names=CIFAR10_CLASSES,
    train_count=50_000,
    test_count=10_000,
    layouts=(
        Layout(
            folder="cifar-10-batches-bin",
            train=tuple(f"{name}.bin" for name in _BATCHES),
            test=("test_batch.bin",),
            decode=partial(decode_records, label_bytes=1),
        ),
        Layout(
            folder="cifar-10-batches-py",
            train=_BATCHES,
            test=("test_batch",),
            decode=partial(decode_pickle, label_key=b"labels"),
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

CIFAR100 = CifarVariant(
    name="cifar100",
    class_names=CIFAR100_CLASSES,
    train_count=50_000,
    test_count=10_000,
    layouts=(
        Layout(
            folder="cifar-100-binary",
            train=("train.bin",),
            test=("test.bin",),
            decode=partial(decode_records, label_bytes=2),
        ),
        Layout(
            folder="cifar-100-python",
            train=("train",),
            test=("test",),
            decode=partial(decode_pickle, label_key=b"fine_labels"),
        ),
    ),
    sources=(
        _hugging_face("cifar100", "cifar100"),
        _toronto("cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"),
        _toronto("cifar-100-python.tar.gz", "md5:eb9058c3a382ffc7106e4002c42a8d85"),
    ),
)

VARIANTS = (CIFAR10, CIFAR100)
