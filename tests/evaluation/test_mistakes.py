"""Mistakes by hand, their order, and agreement with scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.metrics import measure
from cifarlab.evaluation.mistakes import Mistake, cell, top_k_accuracy, top_losses
from cifarlab.predictions import Predictions
from support import one_line

pytestmark = pytest.mark.filterwarnings("error")

HAND = Predictions(
    probabilities=np.array(
        [[0.75, 0.25, 0.0], [0.5, 0.25, 0.25], [0.125, 0.875, 0.0], [0.25, 0.75, 0.0]], "float32"
    ),
    class_names=("cat", "<b>dog</b>", "bird"),
    labels=np.array([0, 1, 0, 2]),
    names=("0.png", "1.png", "<i>.png", "3.png"),
)


@st.composite
def any_predictions(draw) -> Predictions:
    n, classes = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    weights = draw(arrays(np.float32, (n, classes), elements=st.sampled_from([0, 0.5, 1, 2])))
    weights[:, 0] += 1e-3
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    rows = weights / weights.sum(axis=1, keepdims=True)
    return Predictions(
        probabilities=rows, class_names=tuple(map(str, range(classes))), labels=labels
    )


def test_worst_mistakes_by_hand():
    assert top_losses(HAND) == (
        Mistake(
            index=3,
            name="3.png",
            true="bird",
            predicted="<b>dog</b>",
            confidence=0.75,
            true_probability=0.0,
            loss=pytest.approx(-math.log(1e-7)),
        ),
        Mistake(
            index=2,
            name="<i>.png",
            true="cat",
            predicted="<b>dog</b>",
            confidence=0.875,
            true_probability=0.125,
            loss=pytest.approx(math.log(8)),
        ),
        Mistake(
            index=1,
            name="1.png",
            true="<b>dog</b>",
            predicted="cat",
            confidence=0.5,
            true_probability=0.25,
            loss=pytest.approx(math.log(4)),
        ),
    )
    assert [mistake.index for mistake in top_losses(HAND, 1)] == [3]
    assert top_losses(HAND, 0) == ()


def test_images_without_names_are_called_by_their_number():
    some = Predictions(
        probabilities=HAND.probabilities, class_names=HAND.class_names, labels=HAND.labels
    )
    assert [mistake.name for mistake in top_losses(some)] == ["3", "2", "1"]


@given(any_predictions())
def test_mistakes_are_all_the_wrong_ones_highest_loss_first(some):
    mistakes = top_losses(some, k=1000)
    assert len(mistakes) == (some.predicted != some.labels).sum()
    keys = [(-mistake.loss, mistake.index) for mistake in mistakes]
    assert keys == sorted(keys)
    for mistake in mistakes:
        assert mistake.true != mistake.predicted
        assert mistake.true_probability <= mistake.confidence
    assert top_losses(some, k=2) == mistakes[:2]


@given(any_predictions())
def test_top_k_grows_from_the_accuracy_to_one(some):
    result = measure(some)
    classes = len(some.class_names)
    shares = [top_k_accuracy(some, k) for k in range(1, classes + 3)]
    assert shares[0] == result.accuracy
    assert shares[1] == result.top2
    assert shares == sorted(shares)
    assert shares[classes - 1 :] == [1.0] * 3


def test_top_k_agrees_with_scikit_learn():
    generator = np.random.default_rng(0)
    rows = generator.random((500, 100)).astype("float32")
    rows /= rows.sum(axis=1, keepdims=True)
    labels = generator.integers(0, 100, 500)
    some = Predictions(probabilities=rows, class_names=tuple(map(str, range(100))), labels=labels)
    for k in (1, 5, 50):
        expected = sk.top_k_accuracy_score(labels, rows, k=k, labels=np.arange(100))
        assert top_k_accuracy(some, k) == pytest.approx(expected)


def test_a_cell_by_hand():
    assert cell(HAND, 0, 1).tolist() == [2]
    assert cell(HAND, 0, 0).tolist() == [0]
    assert cell(HAND, 2, 2).tolist() == []
    assert cell(HAND, 0, 1).dtype == np.int64


@given(any_predictions())
def test_cells_hold_every_image_once_most_confident_first(some):
    classes = range(len(some.class_names))
    confusion = measure(some).confusion
    seen = []
    for true in classes:
        for predicted in classes:
            inside = cell(some, true, predicted)
            assert len(inside) == confusion[true, predicted]
            keys = [(-some.confidence[i], i) for i in inside.tolist()]
            assert keys == sorted(keys)
            seen += inside.tolist()
    assert sorted(seen) == list(range(len(some)))


def test_invalid_arguments_are_refused():
    for call, value in (
        (lambda: top_losses(HAND, -1), "-1"),
        (lambda: top_k_accuracy(HAND, 0), "0"),
        (lambda: cell(HAND, 3, 0), "3"),
        (lambda: cell(HAND, 0, -1), "-1"),
    ):
        with pytest.raises(UsageError) as error:
            call()
        assert value in one_line(error)
    without = Predictions(probabilities=np.ones((1, 1), "float32"), class_names=("a",))
    for call in (top_losses, lambda p: top_k_accuracy(p, 1), lambda p: cell(p, 0, 0)):
        with pytest.raises(InputError, match="labels"):
            call(without)
