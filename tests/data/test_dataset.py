"""Splits, their checks, and the fingerprint of their content."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.dataset import Split
from cifarlab.data.split import check_split, fingerprint, stratified_split
from cifarlab.errors import InputError


def split_of(labels: list[int], seed: int = 0, side: int = 2) -> Split:
    images = np.random.default_rng(seed).integers(0, 256, (len(labels), side, side, 3), np.uint8)
    return Split(images=images, labels=np.array(labels, dtype=np.int64))


def test_fingerprint_is_the_published_definition():
    split = split_of([3, 1], side=32)
    digests = sorted(
        hashlib.sha256(bytes([label]) + image.tobytes()).digest()
        for label, image in zip([3, 1], split.images, strict=True)
    )
    assert fingerprint(split) == hashlib.sha256(digests[0] + digests[1]).hexdigest()


@given(st.permutations(range(6)))
def test_fingerprint_does_not_depend_on_order(order):
    split = split_of([0, 1, 2, 0, 1, 2])
    assert fingerprint(split.subset(np.array(order))) == fingerprint(split)


@given(st.integers(0, 5), st.integers(0, 11), st.integers(1, 255))
def test_fingerprint_changes_with_any_pixel(image, position, change):
    split = split_of([0, 1, 2, 0, 1, 2])
    images = split.images.copy()
    images.reshape(6, -1)[image, position] ^= np.uint8(change)
    assert fingerprint(Split(images=images, labels=split.labels)) != fingerprint(split)


def test_fingerprint_changes_when_two_labels_are_swapped():
    split = split_of([0, 1, 2])
    assert fingerprint(Split(images=split.images, labels=split.labels[[1, 0, 2]])) != fingerprint(
        split
    )


def test_fingerprint_of_an_image_does_not_depend_on_memory_layout():
    split = split_of([0, 1], side=4)
    planes = np.ascontiguousarray(split.images.transpose(0, 3, 1, 2))
    assert fingerprint(
        Split(images=planes.transpose(0, 2, 3, 1), labels=split.labels)
    ) == fingerprint(split)


def test_version_1_of_the_fingerprint_refuses_labels_above_a_byte():
    with pytest.raises(InputError, match="label 256"):
        fingerprint(split_of([256]), version=1)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=200),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_stratified_split_loses_nothing_and_keeps_the_shares(labels, fraction, seed):
    labels = np.array(labels)
    first, second = stratified_split(labels, fraction, seed)
    assert sorted([*first, *second]) == list(range(len(labels)))
    for label in set(labels.tolist()):
        size, held = np.sum(labels == label), np.sum(labels[second] == label)
        assert abs(held - fraction * size) <= 1
        if size > 1:
            assert 0 < held < size


def test_stratified_split_depends_on_the_seed_alone():
    labels = np.arange(1000) % 10
    once, again = (stratified_split(labels, 0.1, 7)[1] for _ in range(2))
    other = stratified_split(labels, 0.1, 8)[1]
    np.testing.assert_array_equal(once, again)
    assert set(once) != set(other)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_stratified_split_refuses_a_fraction_outside(fraction):
    with pytest.raises(InputError, match="between 0 and 1"):
        stratified_split(np.arange(10) % 2, fraction, 0)


@pytest.mark.parametrize(
    ("split", "complaint"),
    [
        (
            Split(images=np.zeros((2, 4, 4, 3), np.float32), labels=np.array([0, 1])),
            "must be uint8",
        ),
        (Split(images=np.zeros((2, 3, 4, 4), np.uint8), labels=np.array([0, 1])), "must be uint8"),
        (Split(images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([0])), "one for each"),
        (
            Split(images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([0.0, 1.0])),
            "must be integers",
        ),
        (Split(images=np.zeros((0, 4, 4, 3), np.uint8), labels=np.zeros(0, np.int64)), "no images"),
        (Split(images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([0, 2])), "0 to 2"),
        (Split(images=np.zeros((2, 4, 4, 3), np.uint8), labels=np.array([-1, 0])), "-1 to 0"),
    ],
)
def test_check_split_names_what_is_wrong(split, complaint):
    with pytest.raises(InputError, match=complaint):
        check_split(split, ("a", "b"), "here")


def test_subset_takes_names_along():
    split = Split(
        images=np.zeros((3, 1, 1, 3), np.uint8), labels=np.arange(3), names=("a", "b", "c")
    )
    assert split.subset(np.array([2, 0])).names == ("c", "a")


def test_fingerprint_of_other_sizes_says_its_version_and_covers_size_and_large_labels():
    one, same, other = (split_of(labels, side=8) for labels in ([0, 1], [0, 1], [0, 257]))
    assert fingerprint(one).startswith("v2:")
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
    flat = Split(images=one.images.reshape(2, 4, 16, 3), labels=one.labels)
    assert fingerprint(flat) != fingerprint(one)
    assert not fingerprint(one, version=1).startswith("v2:")
