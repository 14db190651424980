"""CIFAR-10 and CIFAR-100 are recognised by fingerprints and counts, and nothing else is."""

from __future__ import annotations

import dataclasses

import pytest

from cifarlab.data.named import cifar
from cifarlab.data.split import fingerprint
from cifarlab.errors import InputError


def test_the_class_names():
    assert cifar.CIFAR10_CLASSES == (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    )  # fmt: skip
    assert len(set(cifar.CIFAR100_CLASSES)) == 100
    assert tuple(sorted(cifar.CIFAR100_CLASSES)) == cifar.CIFAR100_CLASSES


def test_every_source_is_https_and_every_archive_has_a_hash():
    for variant in cifar.VARIANTS:
        for source in variant.sources:
            for remote in source.files:
                assert remote.url.startswith("https://")
                assert remote.digest or remote.name.endswith(".parquet")


def test_verify_shows_both_fingerprints(some_images, variant_of):
    train, test = some_images(30), some_images(12, seed=1)
    variant, other = variant_of(train, test), some_images(12, seed=2)
    cifar.verify(variant, train, test, "here")
    with pytest.raises(InputError) as caught:
        cifar.verify(variant, train, other, "here")
    assert fingerprint(test) in str(caught.value)
    assert fingerprint(other) in str(caught.value)


def test_verify_counts_where_no_fingerprint_is_known(some_images, variant_of):
    train, test = some_images(30), some_images(12, seed=1)
    variant = dataclasses.replace(
        variant_of(train, test), train_fingerprint="", test_fingerprint=""
    )
    cifar.verify(variant, some_images(30, seed=5), some_images(12, seed=6), "here")
    for wrong in (some_images(31), some_images(30, classes=2), some_images(30, size=16)):
        with pytest.raises(InputError, match="its train images are not tiny"):
            cifar.verify(variant, wrong, test, "here")


def test_random_images_are_not_identified(some_images):
    assert cifar.identify(some_images(30), some_images(12)) is None
