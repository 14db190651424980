"""Which training images the first convolution is made from."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.models.whitening import whitening_sample


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70))
def test_each_image_at_most_once_and_as_many_as_wanted(labels: list[int], count: int) -> None:
    chosen = whitening_sample(np.array(labels), count)
    assert len(chosen) == min(count, len(labels))
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] <= chosen[-1] < len(labels)


def test_sorted_images_are_taken_from_all_classes_alike() -> None:
    labels = np.repeat(np.arange(10), 100)
    counts = np.bincount(labels[whitening_sample(labels, 200)])
    assert counts.tolist() == [20] * 10


def test_sorted_images_with_the_validation_images_behind_them() -> None:
    labels = np.concatenate([np.repeat(np.arange(10), 90), np.repeat(np.arange(10), 10)])
    assert len(np.unique(labels[whitening_sample(labels, 200)])) == 10


def test_images_in_no_order_are_the_first() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 500))
    assert whitening_sample(labels, 500).tolist() == list(range(500))
