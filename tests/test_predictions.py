"""``Predictions``: derived values, the best classes, and which shapes are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cifarlab.errors import InputError
from cifarlab.predictions import Predictions
from support import one_line

NAMES = ("cat", "dog", "eel")
ROWS = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]], np.float32)


def test_predicted_and_confidence():
    predictions = Predictions(probabilities=ROWS, class_names=NAMES)
    assert len(predictions) == 2
    assert predictions.predicted.tolist() == [1, 0]
    assert predictions.predicted.dtype == np.int64
    np.testing.assert_array_equal(predictions.confidence, ROWS.max(1))


def test_top_is_best_first_and_ties_keep_class_order():
    first, second = Predictions(probabilities=ROWS, class_names=NAMES).top(2)
    assert first == [("dog", 0.5), ("eel", pytest.approx(0.3))]
    assert [name for name, _ in second] == ["cat", "eel"]


@pytest.mark.parametrize(("k", "shown"), [(1, 1), (3, 3), (10, 3)])
def test_top_gives_at_most_all_classes(k, shown):
    assert [len(row) for row in Predictions(probabilities=ROWS, class_names=NAMES).top(k)] == [
        shown,
        shown,
    ]


@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(0, 5), st.just(3)), elements=st.floats(0, 1, width=32)
    )
)
def test_the_first_of_top_is_what_is_predicted(probabilities):
    predictions = Predictions(probabilities=probabilities, class_names=NAMES)
    firsts = [row[0] for row in predictions.top(1)]
    assert [NAMES.index(name) for name, _ in firsts] == predictions.predicted.tolist()
    assert [value for _, value in firsts] == predictions.confidence.tolist()


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), (0,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError) as error:
        Predictions(probabilities=np.zeros(shape, np.float32), class_names=NAMES)
    assert "[images, 3]" in one_line(error)


@pytest.mark.parametrize("shape", [(3,), (2, 1), ()])
def test_labels_are_one_for_each_image(shape):
    with pytest.raises(InputError) as error:
        Predictions(probabilities=ROWS, class_names=NAMES, labels=np.zeros(shape, np.int64))
    assert "2 images" in one_line(error)


def test_names_are_one_for_each_image_or_none():
    with pytest.raises(InputError) as error:
        Predictions(probabilities=ROWS, class_names=NAMES, names=("a.png",))
    assert "2 images" in one_line(error)
    assert Predictions(probabilities=ROWS, class_names=NAMES, names=("a.png", "b.png")).names == (
        "a.png",
        "b.png",
    )
    assert Predictions(probabilities=ROWS, class_names=NAMES).names == ()
