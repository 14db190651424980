"""Calibration error by hand, at its ends, and beside an independent sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import InputError
from cifarlab.evaluation.calibration import expected_calibration_error
from cifarlab.predictions import Predictions
from support import one_line


def predictions(confidence: list[float], right: list[bool]) -> Predictions:
    """Two classes; the first is predicted with this confidence (above a half)."""
    first = np.array(confidence, "float32")
    labels = np.where(right, 0, 1)
    return Predictions(np.stack([first, 1 - first], 1), ("a", "b"), labels)


def test_by_hand():
    # Confidence 0.6 and right half of the time, confidence 0.9 and always right.
    some = predictions([0.6, 0.6, 0.9, 0.9], [True, False, True, True])
    assert expected_calibration_error(some, bins=10) == pytest.approx((0.1 + 0.1) / 2, abs=1e-6)


def test_a_calibrated_classifier_has_none():
    some = predictions([0.75] * 4, [True, True, True, False])
    assert expected_calibration_error(some) == pytest.approx(0.0, abs=1e-7)


def test_sure_and_always_wrong_is_the_worst():
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
    without = Predictions(np.ones((1, 1), "float32"), ("a",))
    with pytest.raises(InputError) as error:
        expected_calibration_error(without)
    assert "labels" in one_line(error)
