"""Calibration by hand, at its ends and against independent sums; temperatures keep classes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.calibration import (
    ReliabilityBin,
    expected_calibration_error,
    fit_temperature,
    measure_calibration,
    with_temperature,
)
from cifarlab.evaluation.metrics import measure
from cifarlab.predictions import Predictions
from support import one_line

pytestmark = pytest.mark.filterwarnings("error")


def predictions(confidence: list[float], right: list[bool]) -> Predictions:
    """Two classes; the first is predicted with this confidence (above a half)."""
    first = np.array(confidence, "float32")
    labels = np.where(right, 0, 1)
    return Predictions(
        probabilities=np.stack([first, 1 - first], 1), class_names=("a", "b"), labels=labels
    )


def test_by_hand():
    # Confidence 0.6 and right half of the time, confidence 0.9 and always right.
    some = predictions([0.6, 0.6, 0.9, 0.9], [True, False, True, True])
    assert expected_calibration_error(some, bins=10) == pytest.approx((0.1 + 0.1) / 2, abs=1e-6)


def test_a_calibrated_classifier_has_none():
    some = predictions([0.75] * 4, [True, True, True, False])
    assert expected_calibration_error(some) == pytest.approx(0.0, abs=1e-7)


def test_confident_and_always_wrong_is_the_worst():
    assert expected_calibration_error(predictions([1.0] * 5, [False] * 5)) == 1.0


@given(
    st.lists(st.tuples(st.floats(0.51, 1.0), st.booleans()), min_size=1, max_size=50),
    st.integers(1, 20),
)
def test_it_is_the_weighted_sum_over_intervals(pairs, bins):
    some = predictions([c for c, _ in pairs], [r for _, r in pairs])
    total = 0.0
    for i in range(bins):
        inside = [
            (float(c), bool(r))
            for c, r in zip(
                some.confidence.astype(float), some.predicted == some.labels, strict=True
            )
            if i / bins < c <= (i + 1) / bins
        ]
        total += abs(sum(r - c for c, r in inside))
    assert expected_calibration_error(some, bins) == pytest.approx(total / len(pairs), abs=1e-6)


def test_labels_are_needed():
    without = Predictions(probabilities=np.ones((1, 1), "float32"), class_names=("a",))
    with pytest.raises(InputError) as error:
        expected_calibration_error(without)
    assert "labels" in one_line(error)


def drawn(n: int, classes: int, seed: int = 0, temperature: float = 1.0) -> Predictions:
    """Predictions whose labels are drawn from their own probabilities, then made surer."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(n, classes))
    rows = np.exp(logits)
    rows /= rows.sum(axis=1, keepdims=True)
    labels = (rows.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1).clip(0, classes - 1)
    rows = rows ** (1 / temperature)
    rows /= rows.sum(axis=1, keepdims=True)
    names = tuple(f"<b>{i}</b>" for i in range(classes))
    return Predictions(
        probabilities=rows.astype("float32"), class_names=names, labels=labels.astype("int64")
    )


@st.composite
def any_predictions(draw) -> Predictions:
    n, classes = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    weights = draw(arrays(np.float32, (n, classes), elements=st.sampled_from([0, 0.5, 1, 2])))
    weights[:, 0] += np.float32(draw(st.sampled_from([1e-30, 1e-3, 1])))
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    rows = weights / weights.sum(axis=1, keepdims=True)
    return Predictions(
        probabilities=rows, class_names=tuple(map(str, range(classes))), labels=labels
    )


def test_every_number_by_hand():
    some = predictions([0.6, 0.6, 0.9, 0.9], [True, False, True, True])
    result = measure_calibration(some, bins=2)
    # Both intervals of two above one half hold all four: mean 0.75, three right.
    assert result.ece == pytest.approx(0.0, abs=1e-7)
    # Two groups of two: 0.6 against 1/2, 0.9 against 1.
    assert result.adaptive_ece == pytest.approx(0.1, abs=1e-6)
    assert result.brier == pytest.approx((0.32 + 0.72 + 0.02 + 0.02) / 4, abs=1e-6)
    assert result.loss == pytest.approx(
        -(math.log(0.6) + math.log(0.4) + 2 * math.log(0.9)) / 4, abs=1e-6
    )
    assert result.n == 4
    assert result.bins[0] == ReliabilityBin(
        low=0.0, high=0.5, count=0, confidence=0.0, accuracy=0.0
    )
    assert result.bins[1] == ReliabilityBin(
        low=0.5, high=1.0, count=4, confidence=pytest.approx(0.75), accuracy=0.75
    )


@pytest.mark.parametrize(("n", "classes"), [(1000, 10), (10, 100), (200, 2)])
def test_brier_and_loss_agree_with_scikit_learn(n, classes):
    some = drawn(n, classes)
    rows = some.probabilities.astype("float64")
    rows /= rows.sum(axis=1, keepdims=True)
    truth = np.eye(classes)[some.labels]
    result = measure_calibration(some)
    # For two columns and more this is the mean squared error times the number of columns.
    assert result.brier == pytest.approx(sk.mean_squared_error(truth, rows) * classes, rel=1e-5)
    expected = sk.log_loss(some.labels, rows, labels=np.arange(classes))
    assert result.loss == pytest.approx(expected, rel=1e-5)
    if n == 200:
        half = sk.brier_score_loss(some.labels, rows[:, 1])
        assert result.brier == pytest.approx(2 * half, rel=1e-5)


@given(any_predictions(), st.integers(1, 20), st.randoms(use_true_random=False))
def test_every_number_is_in_its_range_and_the_order_of_images_does_not_matter(some, bins, random):
    result = measure_calibration(some, bins)
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
    assert 0.0 <= result.ece <= 1.0 + 1e-6
    assert 0.0 <= result.adaptive_ece <= 1.0 + 1e-6
    assert 0.0 <= result.brier <= 2.0 + 1e-6
    assert result.loss == measure(some).loss
    assert sum(one.count for one in result.bins) == result.n == len(some)
    assert [one.low for one in result.bins[1:]] == [one.high for one in result.bins[:-1]]
    parts = (one.count * abs(one.accuracy - one.confidence) for one in result.bins)
    assert result.ece == pytest.approx(sum(parts) / result.n, abs=1e-6)
    for one in result.bins:
        if one.count:
            assert one.low - 1e-6 <= one.confidence <= one.high + 1e-6
    order = list(range(len(some)))
    random.shuffle(order)
    shuffled = Predictions(
        probabilities=some.probabilities[order],
        class_names=some.class_names,
        labels=some.labels[order],
    )
    again = measure_calibration(shuffled, bins)
    assert again.adaptive_ece == result.adaptive_ece
    assert again.ece == pytest.approx(result.ece)


def test_adaptive_error_with_as_many_groups_as_images_is_the_mean_gap():
    some = predictions([0.6, 0.7, 0.8, 0.9], [True, False, True, False])
    expected = (0.4 + 0.7 + 0.2 + 0.9) / 4
    for bins in (4, 100):
        assert measure_calibration(some, bins).adaptive_ece == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_distorted_the_probabilities_is_recovered(temperature):
    some = drawn(5000, 10, temperature=1 / temperature)
    assert fit_temperature(some) == pytest.approx(temperature, rel=0.1)
    better = with_temperature(some, fit_temperature(some))
    assert measure_calibration(better).ece < 0.02


@given(any_predictions())
def test_the_fitted_temperature_is_in_range_and_never_worse_than_none(some):
    temperature = fit_temperature(some)
    assert 0.05 <= temperature <= 20.0
    before = measure(with_temperature(some, 1.0)).loss
    assert measure(with_temperature(some, temperature)).loss <= before + 1e-5


def test_no_other_temperature_does_better():
    some = drawn(500, 10, temperature=0.4)
    best = measure(with_temperature(some, fit_temperature(some))).loss
    for other in np.geomspace(0.06, 19, 40):
        assert best <= measure(with_temperature(some, other)).loss + 1e-6


@pytest.mark.parametrize(
    ("rows", "labels", "expected"),
    [
        ([[1.0, 0.0]] * 3, [0, 0, 0], 0.05),
        ([[0.9, 0.1]], [0], 0.05),
        ([[0.9, 0.1]], [1], 20.0),
        ([[0.5, 0.5]], [1], 1.0),
        ([[1.0]], [0], 1.0),
        # Sure without end, and right three times of four: 1e-7^(1/T) must become 1/3.
        ([[1.0, 0.0]] * 4, [0, 0, 0, 1], math.log(1e-7) / math.log(1 / 3)),
    ],
    ids=["all right", "one right", "one wrong", "no difference", "one class", "always sure"],
)
def test_temperatures_at_the_ends(rows, labels, expected):
    names = ("a", "b")[: len(rows[0])]
    some = Predictions(
        probabilities=np.array(rows, "float32"), class_names=names, labels=np.array(labels)
    )
    assert fit_temperature(some) == pytest.approx(expected, rel=1e-3)


@given(any_predictions(), st.floats(0.01, 100.0))
def test_a_temperature_keeps_the_predicted_class(some, temperature):
    scaled = with_temperature(some, temperature)
    assert scaled.probabilities.dtype == np.float32
    assert np.isfinite(scaled.probabilities).all()
    assert scaled.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert scaled.predicted.tolist() == some.predicted.tolist()
    assert scaled.labels is some.labels


def test_a_class_ahead_by_very_little_stays_ahead():
    first = np.nextafter(np.float32(0.5), np.float32(0))
    some = Predictions(
        probabilities=np.array([[first, 1 - first]], "float32"), class_names=("a", "b")
    )
    assert with_temperature(some, 20.0).predicted.tolist() == [1]


def test_temperature_by_hand_and_one_changes_nothing():
    some = Predictions(
        probabilities=np.array([[0.8, 0.2]], "float32"), class_names=("a", "b"), names=("x",)
    )
    assert with_temperature(some, 2.0).probabilities[0] == pytest.approx([2 / 3, 1 / 3])
    assert with_temperature(some, 1.0).probabilities[0] == pytest.approx([0.8, 0.2])
    assert with_temperature(some, 2.0).names == ("x",)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_an_impossible_temperature(temperature):
    some = Predictions(probabilities=np.ones((1, 1), "float32"), class_names=("a",))
    with pytest.raises(UsageError) as error:
        with_temperature(some, temperature)
    assert str(temperature) in one_line(error)


def test_there_must_be_a_bin_and_an_image():
    some = predictions([0.9], [True])
    for call in (measure_calibration, expected_calibration_error):
        with pytest.raises(UsageError, match="0 bins"):
            call(some, 0)
    nothing = predictions([], [])
    for call in (measure_calibration, expected_calibration_error, fit_temperature):
        with pytest.raises(InputError):
            call(nothing)
