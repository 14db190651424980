"""Confident learning by hand and against plain loops; flipped labels are ranked first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cifarlab.errors import InputError
from cifarlab.evaluation.calibration import with_temperature
from cifarlab.evaluation.label_issues import LabelIssue, find_label_issues
from cifarlab.predictions import Predictions

pytestmark = pytest.mark.filterwarnings("error")


def simulated(
    n: int, classes: int, signal: float, share: float, seed: int
) -> tuple[Predictions, np.ndarray]:
    """Calibrated predictions, and which of the labels were flipped."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, classes, n)
    evidence = generator.normal(size=(n, classes))
    evidence[np.arange(n), true] += signal
    # The posterior of that class which shifted its own of the normal numbers.
    rows = np.exp(signal * (evidence - evidence.max(axis=1, keepdims=True)))
    rows /= rows.sum(axis=1, keepdims=True)
    flipped = generator.choice(n, round(share * n), replace=False)
    given_labels = true.copy()
    given_labels[flipped] += generator.integers(1, classes, len(flipped))
    names = tuple(f"<b>{i}</b>" for i in range(classes))
    return Predictions(
        probabilities=rows.astype("float32"), class_names=names, labels=given_labels % classes
    ), flipped


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


def test_by_hand():
    # Thresholds: cat (0.75 + 0.75 + 0.125 + 0.375) / 4 = 0.5, dog (0.75 + 0.5) / 2 = 0.625.
    first = np.array([0.75, 0.75, 0.125, 0.375, 0.25, 0.5], "float32")
    some = Predictions(
        probabilities=np.stack([first, 1 - first], 1),
        class_names=("cat", "<dog>"),
        labels=np.array([0, 0, 0, 0, 1, 1]),
        names=("a", "b", "<c>", "d", "e", "f"),
    )
    result = find_label_issues(some)
    # Cats: two agree and two (0.875 and 0.625) count as dogs. Dogs: one agrees, and the one of
    # 0.5 reaches the threshold of cats.
    assert result.issues == (
        LabelIssue(
            index=2,
            name="<c>",
            given="cat",
            suggested="<dog>",
            given_probability=0.125,
            suggested_probability=0.875,
            score=pytest.approx(0.125),
        ),
        LabelIssue(
            index=3,
            name="d",
            given="cat",
            suggested="<dog>",
            given_probability=0.375,
            suggested_probability=0.625,
            score=pytest.approx(0.375),
        ),
        LabelIssue(
            index=5,
            name="f",
            given="<dog>",
            suggested="cat",
            given_probability=0.5,
            suggested_probability=0.5,
            score=pytest.approx(0.5),
        ),
    )
    assert result.estimated_share == pytest.approx(0.5)
    assert result.ranking.tolist() == [2, 3, 5, 0, 1, 4]
    assert result.ranking.dtype == np.int64
    assert result.to_json() == {"count": 3, "share": 0.5}


def confident_joint(some: Predictions) -> np.ndarray:
    """The calibrated joint of the paper, step by step."""
    classes = len(some.class_names)
    rows, labels = some.probabilities.astype("float64"), some.labels
    joint = np.zeros((classes, classes))
    for row, label in zip(rows, labels, strict=True):
        sure = [
            j
            for j in range(classes)
            if (labels == j).any() and row[j] >= rows[labels == j, j].mean() - 1e-9
        ]
        if sure:
            joint[label, max(sure, key=lambda j: row[j])] += 1
    for label in range(classes):
        if not joint[label].any():
            joint[label, label] = 1
        joint[label] *= (labels == label).sum() / joint[label].sum()
    return joint / joint.sum()


@given(any_predictions())
def test_it_is_the_papers_joint(some):
    joint = confident_joint(some)
    result = find_label_issues(some)
    assert result.estimated_share == pytest.approx(1 - joint.trace(), abs=1e-9)
    assert (len(result.issues) > 0) == (joint.trace() < 1 - 1e-9)


@given(any_predictions())
def test_all_images_are_ranked_and_issues_keep_that_order(some):
    result = find_label_issues(some)
    assert sorted(result.ranking.tolist()) == list(range(len(some)))
    rank = {index: i for i, index in enumerate(result.ranking.tolist())}
    ranks = [rank[issue.index] for issue in result.issues]
    assert ranks == sorted(ranks)
    scores = [issue.score for issue in result.issues]
    assert scores == sorted(scores)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert 0.0 <= result.estimated_share <= 1.0
    for issue in result.issues:
        assert issue.given != issue.suggested
        # Nobody is suggested that no image is labelled with.
        assert int(issue.suggested) in some.labels
    content = result.to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["count"] == len(result.issues)


# 75% accuracy with 10 and with 100 classes.
@pytest.mark.parametrize(("classes", "signal"), [(10, 2.25), (100, 3.25)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_half_of_the_flipped_labels_are_in_the_first_three_percent(classes, signal, temperature):
    for seed in range(5):
        some, flipped = simulated(5000, classes, signal, 0.02, seed)
        accuracy = (some.predicted == some.labels).mean()
        assert 0.68 < accuracy < 0.8
        result = find_label_issues(with_temperature(some, temperature))
        assert np.isin(flipped, result.ranking[:150]).mean() >= 0.5


def test_a_very_good_model_finds_nearly_all_and_counts_them():
    some, flipped = simulated(5000, 10, 6.0, 0.02, 0)
    result = find_label_issues(some)
    assert np.isin(flipped, result.ranking[:150]).mean() > 0.98
    assert result.estimated_share == pytest.approx(0.02, abs=0.005)
    assert np.isin([issue.index for issue in result.issues], flipped).mean() > 0.9


def test_clean_labels_of_a_very_good_model_give_few_issues():
    some, _ = simulated(2000, 10, 6.0, 0.0, 0)
    assert find_label_issues(some).estimated_share < 0.005


def test_a_class_without_images_is_never_suggested():
    rows = np.array([[0.1, 0.0, 0.9], [0.8, 0.1, 0.1], [0.2, 0.7, 0.1]], "float32")
    result = find_label_issues(
        Predictions(probabilities=rows, class_names=("a", "b", "c"), labels=np.array([0, 0, 1]))
    )
    assert all(issue.suggested != "c" for issue in result.issues)
    assert result.ranking[0] == 0


def test_a_class_that_is_never_predicted():
    rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], "float32")
    result = find_label_issues(
        Predictions(probabilities=rows, class_names=("a", "b"), labels=np.array([0, 0, 1]))
    )
    assert sorted(result.ranking.tolist()) == [0, 1, 2]


def test_equal_probabilities_give_no_issues():
    result = find_label_issues(
        Predictions(
            probabilities=np.full((7, 3), 1 / 3, "float32"),
            class_names=("a", "b", "c"),
            labels=np.zeros(7, "int64"),
        )
    )
    assert result.issues == ()
    assert result.estimated_share == 0.0


def test_one_class_only():
    some = Predictions(
        probabilities=np.ones((10, 1), "float32"),
        class_names=("only",),
        labels=np.zeros(10, "int64"),
    )
    result = find_label_issues(some)
    assert (result.issues, result.estimated_share) == ((), 0.0)
    assert result.ranking.tolist() == list(range(10))


def test_ten_images_of_a_hundred_classes():
    some, _ = simulated(10, 100, 3.0, 0.1, 0)
    assert sorted(find_label_issues(some).ranking.tolist()) == list(range(10))


def test_labels_are_needed():
    with pytest.raises(InputError, match="labels"):
        find_label_issues(Predictions(probabilities=np.ones((1, 1), "float32"), class_names=("a",)))
