"""What uneven classes weigh, and how often each is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from cifarlab.errors import UsageError
from cifarlab.training.balance import balanced_order, image_weights, weights_of_classes
from support import one_line

NAMES = ("cat", "dog", "bird")
uneven_labels = st.lists(st.integers(0, 4), min_size=1, max_size=80)


@given(uneven_labels)
def test_balanced_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    weights = weights_of_classes("balanced", np.array(labels), tuple("abcde"))
    assert weights is not None
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=np.array(labels))
    assert weights[present] == pytest.approx(expected)
    # Whatever they are, the images weigh 1 on average, and nothing is divided by zero.
    assert weights[labels].mean() == pytest.approx(1.0, rel=1e-5)
    assert np.isfinite(weights).all()


def test_no_weights_are_none() -> None:
    assert weights_of_classes(None, np.array([0, 1]), NAMES) is None


@pytest.mark.parametrize("given", [{"dog": 5, "bird": 0.5}, (("dog", 5), (2, 0.5)), {1: 5, 2: 0.5}])
def test_classes_are_named_or_numbered_and_the_others_weigh_one(given: Any) -> None:
    found = weights_of_classes(given, np.array([0, 1, 2]), NAMES)
    assert found is not None
    assert found.tolist() == [1.0, 5.0, 0.5]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"fox": 2}, "no class is called fox; choose from cat, dog, bird"),
        ({3: 2}, "no class is called 3"),
        ({"dog": 2, 1: 3}, "dog is given twice"),
    ],
)
def test_a_class_that_does_not_exist_is_named(given: Any, words: str) -> None:
    with pytest.raises(UsageError) as error:
        weights_of_classes(given, np.array([0, 1, 2]), NAMES)
    assert words in one_line(error)


def test_mixed_targets_weigh_their_share_of_each_class() -> None:
    weights = torch.tensor([1.0, 10.0])
    assert image_weights(weights, torch.tensor([1, 0])).tolist() == [10.0, 1.0]
    assert image_weights(weights, torch.tensor([[0.25, 0.75]])).tolist() == [7.75]


@given(uneven_labels, st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_shows_every_class_equally_often(labels: list[int], seed: int, epoch: int) -> None:
    drawn = balanced_order(torch.tensor(labels), seed, epoch)
    order = drawn.numpy()
    assert len(order) == len(labels)
    seen = np.bincount(np.array(labels)[order])
    shown = seen[np.unique(labels)]
    assert shown.max() - shown.min() <= 1
    assert set(np.flatnonzero(seen)) <= set(labels)
    # Within a class, no image is shown twice more often than another.
    times = np.bincount(order, minlength=len(labels))
    for label in np.unique(labels):
        own = times[np.array(labels) == label]
        assert own.max() - own.min() <= 1
    assert torch.equal(drawn, balanced_order(torch.tensor(labels), seed, epoch))


def test_another_epoch_shows_other_images_in_another_order() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    first, second = (balanced_order(labels, 0, epoch).tolist() for epoch in (0, 1))
    assert first != second
    assert sorted(first) != sorted(second)
