"""Risk and coverage by hand and against plain counting; a threshold limits the risk."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.selective import NotSure, apply_threshold, choose_threshold, risk_coverage
from cifarlab.predictions import Predictions
from support import one_line

pytestmark = pytest.mark.filterwarnings("error")


def predictions(confidence: list[float], right: list[bool]) -> Predictions:
    """Two classes; the first is predicted with this confidence (above a half)."""
    first = np.array(confidence, "float32")
    labels = np.where(right, 0, 1).astype("int64")
    return Predictions(
        probabilities=np.stack([first, 1 - first], 1), class_names=("a", "b"), labels=labels
    )


# Few values, so that ties happen; all are exact in float32.
answers = st.lists(
    st.tuples(st.sampled_from([0.5625, 0.625, 0.75, 0.875, 1.0]), st.booleans()),
    min_size=1,
    max_size=40,
)


def test_the_curve_by_hand():
    some = predictions([0.75, 1.0, 0.875, 0.875], [False, True, True, False])
    curve = risk_coverage(some)
    assert curve.thresholds.tolist() == [1.0, 0.875, 0.75]
    assert curve.coverage.tolist() == [0.25, 0.75, 1.0]
    assert curve.risk.tolist() == [0.0, pytest.approx(1 / 3), 0.5]
    assert curve.aurc == pytest.approx((0 + 2 * (1 / 3) + 0.5) / 4)


@given(answers)
def test_the_curve_is_what_plain_counting_gives(pairs):
    curve = risk_coverage(predictions(*map(list, zip(*pairs, strict=True))))
    assert curve.thresholds.dtype == curve.coverage.dtype == curve.risk.dtype == np.float64
    assert (np.diff(curve.thresholds) < 0).all()
    assert (np.diff(curve.coverage) > 0).all()
    assert curve.coverage[-1] == 1.0
    for threshold, coverage, risk in zip(curve.thresholds, curve.coverage, curve.risk, strict=True):
        answered = [right for confidence, right in pairs if confidence >= threshold]
        assert coverage == pytest.approx(len(answered) / len(pairs))
        assert risk == pytest.approx(answered.count(False) / len(answered))
    risk_of = dict(zip(curve.thresholds, curve.risk, strict=True))
    assert curve.aurc == pytest.approx(np.mean([risk_of[confidence] for confidence, _ in pairs]))


@given(answers, st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(pairs, random):
    curve = risk_coverage(predictions(*map(list, zip(*pairs, strict=True))))
    random.shuffle(pairs)
    again = risk_coverage(predictions(*map(list, zip(*pairs, strict=True))))
    assert again.aurc == curve.aurc
    assert again.risk.tolist() == curve.risk.tolist()


def test_the_most_confident_first_is_better_than_the_least_confident_first():
    good = risk_coverage(predictions([0.9, 0.8, 0.7, 0.6], [True, True, False, False]))
    bad = risk_coverage(predictions([0.9, 0.8, 0.7, 0.6], [False, False, True, True]))
    assert good.aurc < bad.aurc


@given(answers, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_a_threshold_limits_the_risk_and_no_smaller_one_does(pairs, factor):
    some = predictions(*map(list, zip(*pairs, strict=True)))
    threshold = choose_threshold(some, factor)
    allowed = factor * sum(not right for _, right in pairs) / len(pairs)

    def risk(threshold: float) -> float:
        answered = [right for confidence, right in pairs if confidence >= threshold]
        return answered.count(False) / len(answered) if answered else 0.0

    assert risk(threshold) <= allowed + 1e-9
    for other in {confidence for confidence, _ in pairs}:
        if other < threshold:
            assert risk(other) > allowed - 1e-9
    result = apply_threshold(some, threshold)
    assert result.answered == sum(confidence >= threshold for confidence, _ in pairs)


def test_threshold_by_hand():
    # Half of all are wrong, so a quarter may be: of the first four one is, of five two are.
    confidence = [0.96875, 0.9375, 0.875, 0.8125, 0.75, 0.6875, 0.625, 0.5625]
    right = [True, True, False, True, False, True, False, False]
    assert choose_threshold(predictions(confidence, right)) == 0.8125


def test_where_nothing_is_wrong_everything_is_answered():
    some = predictions([0.6, 0.9], [True, True])
    assert choose_threshold(some) == 0.0
    assert apply_threshold(some, 0.0) == NotSure(
        threshold=0.0, coverage=1.0, accuracy=1.0, answered=2, n=2
    )


def test_where_no_threshold_helps_nothing_is_answered():
    some = predictions([1.0, 1.0, 0.6], [False, False, True])
    threshold = choose_threshold(some)
    assert threshold == 2.0
    assert apply_threshold(some, threshold) == NotSure(
        threshold=2.0, coverage=0.0, accuracy=None, answered=0, n=3
    )


@pytest.mark.parametrize("classes", [1, 100])
def test_one_class_and_a_hundred(classes):
    generator = np.random.default_rng(0)
    rows = generator.random((10, classes)).astype("float32")
    rows /= rows.sum(axis=1, keepdims=True)
    names = tuple(f"<i>{i}</i>" for i in range(classes))
    some = Predictions(
        probabilities=rows, class_names=names, labels=generator.integers(0, classes, 10)
    )
    assert 0.0 <= risk_coverage(some).aurc <= 1.0
    assert 0.0 <= choose_threshold(some) <= 2.0


def test_json_holds_plain_numbers():
    content = apply_threshold(predictions([0.6, 0.9], [True, False]), np.float64(0.95)).to_json()
    assert json.loads(json.dumps(content)) == content
    assert content == {"threshold": 0.95, "coverage": 0.0, "accuracy": None, "answered": 0, "n": 2}


def test_invalid_arguments_are_refused():
    some = predictions([0.9], [True])
    for factor in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError) as error:
            choose_threshold(some, factor)
        assert str(factor) in one_line(error)
    with pytest.raises(UsageError, match="nan"):
        apply_threshold(some, math.nan)
    without = Predictions(probabilities=np.ones((1, 1), "float32"), class_names=("a",))
    for call in (risk_coverage, choose_threshold, lambda p: apply_threshold(p, 0.5)):
        with pytest.raises(InputError, match="labels"):
            call(without)
