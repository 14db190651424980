"""Metrics of several labels an image equal scikit-learn's; what no image has is not measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.multi_label import measure_multi_label

LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
PROBABILITIES = np.array([[0.9, 0.2, 0.1], [0.8, 0.4, 0.2], [0.3, 0.7, 0.6], [0.1, 0.1, 0.1]])
NAMES = ("cat", "dog", "owl")


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 4)))
    labels = draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
    # Few different values, so that many are the same.
    values = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
    return labels, draw(arrays.arrays(np.float64, shape, elements=values))


@settings(deadline=None)
@given(answers())
def test_the_numbers_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    labels, probabilities = drawn
    names = [str(k) for k in range(labels.shape[1])]
    ours = measure_multi_label(labels, probabilities, names)
    predicted = (probabilities >= 0.5).astype(int)
    for k, name in enumerate(names):
        of_class = ours.per_class[name]
        assert of_class.support == labels[:, k].sum()
        if not of_class.support:
            assert of_class.precision is of_class.f1 is of_class.average_precision is None
            continue
        theirs = sk.precision_recall_fscore_support(
            labels[:, k], predicted[:, k], average="binary", zero_division=0
        )
        assert (of_class.precision, of_class.recall, of_class.f1) == pytest.approx(theirs[:3])
        average = sk.average_precision_score(labels[:, k], probabilities[:, k])
        assert of_class.average_precision == pytest.approx(average)
    present = labels.any(axis=0)
    if present.any():
        assert ours.micro_f1 == pytest.approx(sk.f1_score(labels.ravel(), predicted.ravel()))
        of_classes = [
            sk.f1_score(labels[:, k], predicted[:, k], zero_division=0)
            for k in np.flatnonzero(present)
        ]
        assert ours.macro_f1 == pytest.approx(np.mean(of_classes))
        average = sk.average_precision_score(labels[:, present], probabilities[:, present])
        assert ours.mean_average_precision == pytest.approx(average)
    assert ours.subset_accuracy == pytest.approx((labels == predicted).all(axis=1).mean())
    assert ours.hamming_loss == pytest.approx((labels != predicted).mean())


def test_a_class_that_no_image_has_is_left_out_of_the_means() -> None:
    metrics = measure_multi_label(LABELS, PROBABILITIES, NAMES)
    without = measure_multi_label(LABELS[:, :2], PROBABILITIES[:, :2], NAMES[:2])
    assert metrics.not_measured == ("owl",)
    assert metrics.per_class["owl"].f1 is None
    assert metrics.macro_f1 == without.macro_f1 == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.mean_average_precision == without.mean_average_precision == 1.0
    # What was predicted and is not there still counts as wrong.
    assert metrics.hamming_loss > 0
    assert metrics.subset_accuracy == 0.5


@given(answers(), st.randoms())
def test_the_order_of_the_images_changes_nothing(drawn, random) -> None:
    labels, probabilities = drawn
    names = [str(k) for k in range(labels.shape[1])]
    order = list(range(len(labels)))
    random.shuffle(order)
    one = measure_multi_label(labels, probabilities, names)
    assert one == measure_multi_label(labels[order], probabilities[order], names)


def test_the_threshold_itself_is_predicted() -> None:
    one = measure_multi_label(np.array([[1]]), np.array([[0.3]]), ["cat"], threshold=0.3)
    assert one.per_class["cat"].recall == 1.0


def test_nothing_there_and_nothing_predicted_is_not_measured() -> None:
    metrics = measure_multi_label(np.zeros((2, 1)), np.zeros((2, 1)), ["cat"])
    assert (metrics.macro_f1, metrics.micro_f1, metrics.mean_average_precision) == (None,) * 3
    assert (metrics.subset_accuracy, metrics.hamming_loss) == (1.0, 0.0)
    assert json.loads(json.dumps(metrics.to_json()))["per_class"]["cat"]["support"] == 0


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": LABELS[:, 0]}, "labels [4] and probabilities [4, 3]"),
        ({"labels": LABELS * 2}, "not 0 or 1"),
        ({"probabilities": PROBABILITIES * 3}, "not lie between 0 and 1"),
        ({"probabilities": np.full((4, 3), np.nan)}, "not lie between 0 and 1"),
        ({"class_names": ("cat", "cat", "owl")}, "2 different class names for 3"),
        ({"labels": np.zeros((0, 3)), "probabilities": np.zeros((0, 3))}, "at least one"),
    ],
)
def test_what_cannot_be_measured_is_one_line(changed: dict, said: str) -> None:
    arguments = {"labels": LABELS, "probabilities": PROBABILITIES, "class_names": NAMES}
    with pytest.raises(InputError) as error:
        measure_multi_label(**{**arguments, **changed})
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_threshold_outside_of_0_to_1_is_refused() -> None:
    with pytest.raises(UsageError, match=r"threshold 1\.5"):
        measure_multi_label(LABELS, PROBABILITIES, NAMES, threshold=1.5)
