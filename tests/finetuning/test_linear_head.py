"""The linear head is the minimum of its cost, and is validated on images it was not fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.finetuning.linear_head import (
    PENALTY,
    choose_penalty,
    cross_validated,
    fit_head,
    folds,
)

Array = np.ndarray[Any, Any]


def blobs(per_class: int, classes: int = 3, noise: float = 0.3) -> tuple[Array, Array]:
    draws = np.random.default_rng(0)
    centres = draws.normal(size=(classes, 8))
    labels = np.repeat(np.arange(classes), per_class)
    features = centres[labels] + noise * draws.normal(size=(len(labels), 8))
    return features.astype("float32"), labels


def test_it_separates_what_can_be_separated() -> None:
    features, labels = blobs(20)
    head = fit_head(features, labels, 3, 1e-3)
    assert (head.logits(features).argmax(1) == labels).all()
    assert head.kernel.dtype == head.bias.dtype == np.float32


def test_no_small_change_of_the_weights_costs_less() -> None:
    features, labels = blobs(20, noise=2.0)
    penalty = 0.1
    head = fit_head(features, labels, 3, penalty)

    def cost(kernel: Array, bias: Array) -> float:
        logits = (features @ kernel + bias).astype("float64")
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        standardised = kernel * features.std(0)[:, None]
        return float(-log_p[np.arange(60), labels].mean() + penalty / 2 * (standardised**2).sum())

    least = cost(head.kernel, head.bias)
    draws = np.random.default_rng(1)
    for _ in range(50):
        change = 0.02 * draws.normal(size=head.kernel.shape)
        assert cost(head.kernel + change, head.bias) > least
        assert cost(head.kernel, head.bias + 0.02 * draws.normal(size=3)) > least - 1e-6


def test_a_class_without_images_is_never_likely() -> None:
    features, labels = blobs(20, classes=2)
    head = fit_head(features, labels, 3, 1e-2)
    assert (head.logits(features).argmax(1) != 2).all()


def test_a_feature_that_never_varies_does_no_harm() -> None:
    features, labels = blobs(5)
    features[:, 0] = 7.0
    head = fit_head(features, labels, 3, 1e-2)
    assert np.isfinite(head.kernel).all()
    assert (head.logits(features).argmax(1) == labels).all()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(2, 6))
def test_folds_hold_out_every_image_once_but_the_only_one_of_its_class(
    values: list[int], count: int
) -> None:
    labels = np.array(values)
    held_out = [i for fold in folds(labels, count, seed=0) for i in fold.tolist()]
    alone = [i for i, label in enumerate(values) if values.count(label) == 1]
    assert sorted([*held_out, *alone]) == list(range(len(values)))


def test_every_class_is_spread_evenly_over_the_folds() -> None:
    labels = np.repeat([0, 1], [50, 10])
    for fold in folds(labels, 5, seed=0):
        assert np.bincount(labels[fold]).tolist() == [10, 2]


def test_the_only_image_of_a_class_is_not_measured() -> None:
    features, labels = blobs(4)
    features, labels = np.concatenate([features, features[:1]]), np.append(labels, 3)
    loss, logits = cross_validated(features, labels, 4, 1e-2)
    assert np.isfinite(loss)
    assert np.isnan(logits).any(1).tolist() == [False] * 12 + [True]


def test_one_image_a_class_gets_a_middling_penalty() -> None:
    features, labels = blobs(1)
    assert choose_penalty(features, labels, 3) == PENALTY


def test_noise_gets_a_larger_penalty_than_what_is_clear() -> None:
    clear, labels = blobs(10, noise=0.1)
    noise = np.random.default_rng(3).normal(size=clear.shape).astype("float32")
    assert choose_penalty(noise, labels, 3) > choose_penalty(clear, labels, 3)


@pytest.mark.parametrize("penalty", [1e-4, 1.0])
def test_the_result_does_not_depend_on_the_scale_of_a_feature(penalty: float) -> None:
    features, labels = blobs(10, noise=1.0)
    scaled = features * np.array([1000.0] * 4 + [1.0] * 4, np.float32)
    one, other = (fit_head(x, labels, 3, penalty).logits(x) for x in (features, scaled))
    np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02)
