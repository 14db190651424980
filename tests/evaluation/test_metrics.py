"""Metrics agree with scikit-learn and with results by hand, and never hold a NaN."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation import (
    ClassMetrics,
    Confusion,
    Metrics,
    balanced_accuracy,
    macro_f1,
    measure,
    most_confused,
    uneven,
    wilson_interval,
)
from cifarlab.predictions import Predictions

pytestmark = pytest.mark.filterwarnings("error")


def predictions_of(rows, labels, names=None) -> Predictions:
    rows = np.asarray(rows, dtype=np.float32)
    names = names or tuple(f"class {i}" for i in range(rows.shape[1]))
    return Predictions(
        probabilities=rows, class_names=names, labels=np.asarray(labels, dtype=np.int64)
    )


def random_predictions(n: int, classes: int, seed: int = 0) -> Predictions:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    logits = generator.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.5
    rows = np.exp(logits)
    return predictions_of(rows / rows.sum(axis=1, keepdims=True), labels)


# Cats: two right, one taken for a dog, one for a bird. Dogs: one right, one taken for a cat.
# No bird in the set.
HAND = predictions_of(
    [
        [0.8, 0.1, 0.1],
        [0.5, 0.3, 0.2],
        [0.4, 0.6, 0.0],
        [0.1, 0.2, 0.7],
        [0.3, 0.5, 0.2],
        [0.9, 0.1, 0.0],
    ],
    [0, 0, 0, 0, 1, 1],
    ("cat", "dog", "bird"),
)


def test_numbers_worked_out_by_hand():
    result = measure(HAND)
    assert result.n == 6
    assert result.accuracy == 0.5
    assert result.top2 == pytest.approx(5 / 6)
    loss = -sum(math.log(p) for p in (0.8, 0.5, 0.4, 0.1, 0.5, 0.1)) / 6
    assert result.loss == pytest.approx(loss, rel=1e-6)
    assert result.confusion.tolist() == [[2, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert result.per_class == {
        "cat": ClassMetrics(precision=2 / 3, recall=0.5, f1=4 / 7, support=4),
        "dog": ClassMetrics(precision=0.5, recall=0.5, f1=0.5, support=2),
        "bird": ClassMetrics(precision=None, recall=None, f1=None, support=0),
    }
    assert result.not_measured == ("bird",)
    assert result.balanced_accuracy == (0.5 + 0.5) / 2
    assert result.macro_f1 == pytest.approx((4 / 7 + 0.5) / 2)


def test_most_confused_by_hand():
    assert most_confused(measure(HAND), k=2) == (
        Confusion(true="cat", predicted="dog", count=1, share=0.25),
        Confusion(true="cat", predicted="bird", count=1, share=0.25),
    )


def test_most_confused_puts_the_most_frequent_first_and_leaves_out_empty_cells():
    labels = [0, 0, 0, 1, 2, 2, 2]
    predicted = [1, 0, 0, 1, 0, 0, 2]
    result = measure(predictions_of(np.eye(3)[predicted], labels))
    assert most_confused(result, k=9) == (
        Confusion(true="class 2", predicted="class 0", count=2, share=2 / 3),
        Confusion(true="class 0", predicted="class 1", count=1, share=1 / 3),
    )
    assert most_confused(result, k=0) == ()


@pytest.mark.parametrize(("n", "classes"), [(1000, 10), (3000, 100), (200, 2), (5, 10)])
def test_agrees_with_scikit_learn(n, classes):
    predictions = random_predictions(n, classes)
    result = measure(predictions)
    everything = np.arange(classes)
    labels, predicted = predictions.labels, predictions.predicted
    confusion = sk.confusion_matrix(labels, predicted, labels=everything)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=everything, zero_division=0
    )
    assert result.confusion.tolist() == confusion.tolist()
    assert result.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    numbers = list(result.per_class.values())
    assert [c.support for c in numbers] == support.tolist()
    measured = np.flatnonzero(support)
    for name, theirs in (("precision", precision), ("recall", recall), ("f1", f1)):
        ours = [getattr(c, name) for c in numbers]
        assert [ours[i] for i in measured] == pytest.approx(theirs[measured])
        assert [v is None for v in ours] == [not n for n in support]
    with warnings.catch_warnings():
        # It warns of predicted classes that no image has, and leaves them out too.
        warnings.simplefilter("ignore", UserWarning)
        balanced = sk.balanced_accuracy_score(labels, predicted)
    assert result.balanced_accuracy == pytest.approx(balanced)
    macro_f1 = sk.f1_score(labels, predicted, labels=measured, average="macro", zero_division=0)
    assert result.macro_f1 == pytest.approx(macro_f1)
    probabilities = predictions.probabilities.astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert result.loss == pytest.approx(
        sk.log_loss(labels, probabilities, labels=everything), rel=1e-6
    )
    if classes > 2:
        top2 = sk.top_k_accuracy_score(labels, predictions.probabilities, k=2, labels=everything)
        assert result.top2 == pytest.approx(top2)


def test_an_impossible_truth_costs_the_clipped_probability():
    result = measure(predictions_of([[1.0, 0.0]], [1]))
    assert result.loss == pytest.approx(-math.log(1e-7))


def test_a_single_right_image():
    result = measure(predictions_of([[1.0, 0.0]], [0]))
    assert (result.accuracy, result.top2, result.loss, result.n) == (1.0, 1.0, 0.0, 1)
    assert str(result.loss) == "0.0"
    low, high = result.accuracy_interval
    assert low == pytest.approx(0.20654, abs=1e-5)
    assert high == 1.0


def test_one_class_and_two_classes_always_have_the_truth_among_the_first_two():
    assert measure(predictions_of([[1.0], [1.0]], [0, 0])).top2 == 1.0
    assert measure(random_predictions(50, 2)).top2 == 1.0


def test_json_holds_plain_numbers_and_exactly_these_names():
    content = measure(HAND).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert list(content) == [
        *("accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "top2", "loss", "n"),
        *("per_class", "confusion"),
    ]
    assert list(content["per_class"]) == ["cat", "dog", "bird"]
    assert list(content["per_class"]["cat"]) == ["precision", "recall", "f1", "support"]
    assert type(content["per_class"]["cat"]["support"]) is int
    assert type(content["confusion"][0][0]) is int
    assert type(content["accuracy_interval"]) is list


def test_metrics_come_back_from_json_of_this_version_and_of_the_first():
    content = measure(HAND).to_json()
    assert Metrics.from_json(content).to_json() == content
    del content["balanced_accuracy"], content["macro_f1"]
    content["per_class"]["bird"] = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert Metrics.from_json(content).to_json() == measure(HAND).to_json()


def test_a_rare_class_that_is_never_predicted_shows_in_the_mean_over_classes():
    result = measure(predictions_of(np.eye(2)[[0] * 100], [0] * 95 + [1] * 5))
    assert result.accuracy == 0.95
    assert result.balanced_accuracy == 0.5
    assert result.macro_f1 == pytest.approx(190 / 195 / 2)
    assert result.uneven


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([950, 50], True), ([5, 1, 0], True), ([4, 1], False), ([7, 7], False), ([0, 0], False)],
)
def test_classes_are_uneven_from_five_times_as_many_images_on(counts, expected):
    assert uneven(counts) is expected


@pytest.mark.parametrize("of", [balanced_accuracy, macro_f1])
def test_no_images_at_all_have_no_mean(of):
    with pytest.raises(InputError, match="0 images"):
        of(np.zeros((3, 3), np.int64))


@pytest.mark.parametrize(
    ("predictions", "words"),
    [
        (
            Predictions(probabilities=np.ones((1, 1), np.float32), class_names=("a",)),
            "without labels",
        ),
        (predictions_of(np.ones((0, 2)), []), "0 images"),
        (predictions_of([[0.5, 0.5]], [2]), "from 2 to 2"),
        (predictions_of([[0.5, 0.5]], [-1]), "from -1 to -1"),
        (predictions_of([[0.5, np.nan]], [0]), "not finite"),
        (predictions_of([[0.5, 0.5]], [0], ("cat", "cat")), "'cat' occurs twice"),
        (
            Predictions(
                probabilities=np.ones((1, 1), np.float32), class_names=("a",), labels=np.zeros(1)
            ),
            "float64",
        ),
    ],
)
def test_what_cannot_be_measured_is_bad_input(predictions, words):
    with pytest.raises(InputError, match=words) as caught:
        measure(predictions)
    assert "\n" not in str(caught.value)


# Worked out by hand; without a success, for one, the upper end is z² / (n + z²).
@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [(0, 10, 0.0, 0.27753), (5, 10, 0.23659, 0.76341), (10, 10, 0.72247, 1.0)],
)
def test_wilson_golden_values(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=1e-5)


def test_more_confidence_needs_a_wider_interval():
    narrow, wide = wilson_interval(50, 100, 0.9), wilson_interval(50, 100, 0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize(
    "arguments", [(1, 0), (-1, 3), (4, 3), (1, 3, 0.0), (1, 3, 1.0), (1, 3, math.nan)]
)
def test_an_impossible_interval_is_a_usage_error(arguments):
    with pytest.raises(UsageError):
        wilson_interval(*arguments)


@given(st.integers(1, 10**7), st.data())
def test_the_interval_holds_the_share_and_stays_between_0_and_1(n, data):
    correct = data.draw(st.integers(0, n))
    low, high = wilson_interval(correct, n)
    assert 0.0 <= low <= correct / n <= high <= 1.0
    assert low < high


@st.composite
def any_predictions(draw) -> Predictions:
    n, classes = draw(st.integers(1, 30)), draw(st.integers(1, 6))
    # Few distinct values, so that ties between classes happen.
    weights = draw(arrays(np.float32, (n, classes), elements=st.sampled_from([0, 0.5, 1, 2])))
    weights[:, 0] += 1e-3
    labels = draw(arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    return predictions_of(weights / weights.sum(axis=1, keepdims=True), labels)


@settings(max_examples=200)
@given(any_predictions(), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_nothing(predictions, random):
    order = list(range(len(predictions)))
    random.shuffle(order)
    shuffled = predictions_of(predictions.probabilities[order], predictions.labels[order])
    assert measure(shuffled).to_json() == measure(predictions).to_json()


@settings(max_examples=200)
@given(any_predictions())
def test_the_confusion_matrix_accounts_for_every_image(predictions):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = measure(predictions)
    n = len(predictions)
    assert result.confusion.sum() == result.n == n
    assert result.confusion.trace() / n == result.accuracy
    assert result.confusion.sum(axis=1).tolist() == [c.support for c in result.per_class.values()]
    assert result.accuracy <= result.top2 <= 1.0
    assert 0.0 <= result.loss <= -math.log(1e-7) + 1e-9
    for numbers in result.per_class.values():
        for share in (numbers.precision, numbers.recall, numbers.f1):
            assert (share is None) if not numbers.support else 0.0 <= share <= 1.0
    assert 0.0 <= result.balanced_accuracy <= 1.0
    assert 0.0 <= result.macro_f1 <= 1.0
    if result.accuracy == 1.0:
        assert result.balanced_accuracy == result.macro_f1 == 1.0
    mistakes = most_confused(result, k=100)
    assert sum(mistake.count for mistake in mistakes) == n - result.confusion.trace()
