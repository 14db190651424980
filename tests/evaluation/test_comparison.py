"""Comparing recipes: agreement with scipy and by hand, and few false alarms."""

from __future__ import annotations

import json
import math
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.comparison import compare_accuracies, same_images
from cifarlab.predictions import Predictions
from support import one_line

pytestmark = pytest.mark.filterwarnings("error")

SD = 0.003
accuracy = st.integers(0, 100).map(lambda right: right / 100)


def test_two_recipes_by_hand():
    result = compare_accuracies({"a": [0.93, 0.932, 0.931], "b": [0.92, 0.919, 0.9185]})
    # Differences 1.0, 1.3 and 1.25 points: mean 1.1833, standard deviation 0.1607.
    # t(0.975, 2) = 4.3027, so half an interval is 4.3027 * 0.1607 / sqrt(3) = 0.3992.
    (pair,) = result.pairs
    assert pair.difference == pytest.approx(0.0118333, abs=1e-6)
    assert pair.interval == pytest.approx((0.0078406, 0.0158260), abs=1e-6)
    # t = 12.752; with 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    t = 0.01183333 / (0.00160728 / math.sqrt(3))
    assert pair.p_value == pytest.approx(1 - t / math.sqrt(t * t + 2), rel=1e-4)
    assert pair.corrected_p == pair.p_value
    assert pair.distinguishable
    assert pair.seeds_needed is None
    assert pair.verdict == (
        "a is better than b by 1.18 points (95% interval 0.78 to 1.58, p=0.006, n=3)"
    )
    first = result.samples[0]
    assert (first.name, first.accuracies) == ("a", (0.93, 0.932, 0.931))
    assert first.mean == pytest.approx(0.931)
    assert first.std == pytest.approx(0.001)
    assert first.interval == pytest.approx((0.931 - 0.0024841, 0.931 + 0.0024841), abs=1e-6)


def test_the_better_one_is_named_whichever_comes_first():
    (pair,) = compare_accuracies({"b": [0.92, 0.919, 0.9185], "a": [0.93, 0.932, 0.931]}).pairs
    assert pair.difference < 0
    assert pair.verdict.startswith("a is better than b by 1.18 points (95% interval 0.78 to 1.58,")


@settings(max_examples=50)
@given(
    st.integers(2, 8).flatmap(
        lambda n: st.lists(st.lists(accuracy, min_size=n, max_size=n), min_size=2, max_size=2)
    )
)
def test_agrees_with_the_paired_t_test_of_scipy_and_never_holds_a_nan(table):
    first, second = map(np.array, table)
    result = compare_accuracies({"first": first, "second": second})
    (pair,) = result.pairs
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()
    assert 0.0 <= pair.p_value <= 1.0
    if np.ptp(first - second) > 1e-9:
        expected = stats.ttest_rel(first, second)
        assert pair.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
        low, high = expected.confidence_interval(0.95)
        assert pair.interval == pytest.approx((low, high), abs=1e-9)
        # The interval leaves out 0 when the difference is shown.
        assert pair.distinguishable == (not low <= 0 <= high)
    else:
        assert pair.interval is None
    if pair.seeds_needed:
        assert not pair.distinguishable
        assert len(first) < pair.seeds_needed <= 1000
    # Turned round, everything is the same but the sign.
    (back,) = compare_accuracies({"second": second, "first": first}).pairs
    assert back.difference == pytest.approx(-pair.difference)
    assert back.p_value == pytest.approx(pair.p_value)
    assert back.verdict == pair.verdict


def test_holms_correction_by_hand():
    generator = np.random.default_rng(1)
    base = generator.normal(0.9, SD, 6)
    table = {
        name: base + shift + generator.normal(0, 0.002, 6)
        for name, shift in (("a", 0.0), ("b", 0.003), ("c", 0.02))
    }
    pairs = compare_accuracies(table).pairs
    assert [(pair.first, pair.second) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    low, middle, high = sorted(pairs, key=lambda pair: pair.p_value)
    assert low.corrected_p == pytest.approx(3 * low.p_value)
    assert middle.corrected_p == pytest.approx(max(3 * low.p_value, 2 * middle.p_value))
    assert high.corrected_p == pytest.approx(max(middle.corrected_p, high.p_value))


@pytest.mark.parametrize("seeds", [3, 5])
def test_two_copies_of_one_recipe_do_not_differ_in_nineteen_of_twenty_repeats(seeds):
    generator = np.random.default_rng(0)
    repeats = generator.normal(0.93, SD, (2000, 2, seeds))
    alarms = np.array(
        [compare_accuracies({"a": a, "b": b}).pairs[0].distinguishable for a, b in repeats]
    )
    # Three standard errors of a share of 5% in 2,000 repeats.
    assert alarms.mean() == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / 2000))
    # Nineteen of twenty is the mean. A single block of twenty has chance in it: by the binomial
    # distribution 74 of 100 blocks have one alarm or none, and 98 have three or fewer.
    blocks = alarms.reshape(100, 20).sum(axis=1)
    one_or_none = stats.binom.cdf(1, 20, 0.05)
    assert (blocks <= 1).mean() == pytest.approx(one_or_none, abs=3 * math.sqrt(0.74 * 0.26 / 100))
    assert (blocks <= 3).mean() >= 0.93


def test_among_five_copies_no_pair_differs_in_nineteen_of_twenty_repeats():
    repeats = np.random.default_rng(0).normal(0.93, SD, (100, 5, 4))
    results = [
        compare_accuracies(dict(zip("abcde", table, strict=True))).pairs for table in repeats
    ]
    alarms = [any(pair.distinguishable for pair in pairs) for pairs in results]
    assert np.mean(alarms) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


def test_small_test_sets_raise_no_false_alarm_by_equal_differences():
    # Of 100 images: differences of two copies are often the same whole point.
    generator = np.random.default_rng(0)
    rounded = generator.normal(0.93, SD, (500, 2, 3)).round(2)
    alarms = [compare_accuracies({"a": a, "b": b}).pairs[0].distinguishable for a, b in rounded]
    assert np.mean(alarms) <= 0.05


def test_the_number_of_seeds_is_right_in_simulation():
    generator = np.random.default_rng(0)
    first = np.array([0.93, 0.934, 0.928, 0.931])
    second = np.array([0.929, 0.929, 0.93, 0.929])
    (pair,) = compare_accuracies({"a": first, "b": second}).pairs
    assert not pair.distinguishable
    assert pair.verdict == (
        f"not distinguishable at n=4; you would need about {pair.seeds_needed} seeds"
    )
    difference = first - second

    def power(n: int) -> float:
        samples = generator.normal(difference.mean(), difference.std(ddof=1), (20000, n))
        return float((stats.ttest_1samp(samples, 0, axis=1).pvalue <= 0.05).mean())

    assert power(pair.seeds_needed) >= 0.79
    assert power(pair.seeds_needed - 1) <= 0.81


def test_more_pairs_need_more_seeds():
    first, second = [0.93, 0.934, 0.928, 0.931], [0.929, 0.929, 0.93, 0.929]
    alone = compare_accuracies({"a": first, "b": second}).pairs[0]
    third = compare_accuracies({"a": first, "b": second, "c": [0.8, 0.8, 0.81, 0.8]}).pairs[0]
    assert third.p_value == alone.p_value
    assert third.seeds_needed > alone.seeds_needed


@pytest.mark.parametrize(
    ("first", "second", "p_value", "seeds", "verdict"),
    [
        ([0.9], [0.8], None, None, "one seed tells nothing about chance: give at least 2"),
        ([0.9] * 3, [0.9] * 3, 1.0, None, "identical at n=3"),
        ([0.9, 0.91], [0.9, 0.91], 1.0, None, "identical at n=2"),
        (
            [0.9, 0.91],
            [0.91, 0.92],
            0.5,
            6,
            "not distinguishable at n=2; you would need about 6 seeds",
        ),
        (
            [0.9, 0.8, 0.7, 0.9, 0.8, 0.7],
            [0.91, 0.81, 0.71, 0.91, 0.81, 0.71],
            1 / 32,
            None,
            "<b>b</b> is better than a by 1.00 points (the same with every seed, p=0.031, n=6)",
        ),
        (
            [0.93, 0.94],
            [0.94, 0.93],
            1.0,
            None,
            "not distinguishable at n=2; you would need more than 1,000 seeds",
        ),
    ],
    ids=["one seed", "constant", "identical", "equal gap", "equal gap, 6 seeds", "no difference"],
)
def test_degenerate_differences(first, second, p_value, seeds, verdict):
    result = compare_accuracies({"a": first, "<b>b</b>": second})
    (pair,) = result.pairs
    assert (pair.p_value, pair.seeds_needed, pair.verdict) == (p_value, seeds, verdict)
    assert pair.corrected_p == p_value
    assert pair.distinguishable == (" is better " in verdict)
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()


def test_one_seed_has_neither_spread_nor_interval():
    (sample,) = compare_accuracies({"a": [0.9]}).samples
    assert (sample.mean, sample.std, sample.interval) == (0.9, None, None)


def test_one_recipe_has_no_pairs():
    assert compare_accuracies({"a": [0.9, 0.91]}).pairs == ()


def test_a_stricter_alpha_widens_the_interval_and_says_so():
    table = {"a": [0.93, 0.932, 0.931], "b": [0.92, 0.919, 0.9185]}
    loose, strict = (
        compare_accuracies(table).pairs[0],
        compare_accuracies(table, alpha=0.01).pairs[0],
    )
    assert strict.interval[0] < loose.interval[0]
    assert "99% interval" in strict.verdict
    assert compare_accuracies(table, alpha=0.01).to_json()["alpha"] == 0.01
    assert compare_accuracies(table).samples == compare_accuracies(table, alpha=0.01).samples


@pytest.mark.parametrize(
    ("table", "alpha", "error", "words"),
    [
        ({}, 0.05, UsageError, "0 recipes"),
        ({"a": [0.9]}, 0.0, UsageError, "alpha 0.0"),
        ({"a": [0.9]}, math.nan, UsageError, "alpha nan"),
        ({"a": [0.9, 0.8], "b": [0.9]}, 0.05, InputError, "b: 1 accuracies"),
        ({"a": []}, 0.05, InputError, "a: 0 accuracies"),
        ({"a": [90.0]}, 0.05, InputError, "divide percentages by 100"),
        ({"a": [math.nan]}, 0.05, InputError, "nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(table, alpha, error, words):
    with pytest.raises(error, match=words) as caught:
        compare_accuracies(table, alpha)
    one_line(caught)


def predicting(labels: list[int], predicted: list[int]) -> Predictions:
    names = tuple(f"<{i}>" for i in range(3))
    return Predictions(
        probabilities=np.eye(3, dtype="float32")[predicted],
        class_names=names,
        labels=np.array(labels),
    )


def test_mcnemar_by_hand():
    labels = [0] * 12
    first = predicting(labels, [0] * 8 + [1] * 4)
    second = predicting(labels, [1] * 7 + [0] * 2 + [1] * 3)
    result = same_images(first, second)
    assert (result.first_only_right, result.second_only_right) == (7, 1)
    assert result.difference == pytest.approx(0.5)
    # 0, 1, 7 or 8 heads of 8 coins.
    assert result.p_value == pytest.approx(2 * (comb(8, 0) + comb(8, 1)) / 2**8)
    back = same_images(second, first)
    assert (back.first_only_right, back.second_only_right) == (1, 7)
    assert back.difference == -result.difference
    assert back.p_value == result.p_value


def test_a_classifier_does_not_differ_from_itself():
    one = predicting([0, 1, 2], [0, 1, 1])
    result = same_images(one, one)
    assert (result.difference, result.p_value) == (0.0, 1.0)


def test_the_images_must_be_the_same():
    one = predicting([0, 1], [0, 1])
    for other in (
        predicting([0, 2], [0, 1]),
        predicting([0], [0]),
        Predictions(
            probabilities=one.probabilities, class_names=("a", "b", "c"), labels=one.labels
        ),
    ):
        with pytest.raises(InputError, match="same images") as error:
            same_images(one, other)
        one_line(error)
    with pytest.raises(InputError, match="labels"):
        same_images(one, Predictions(probabilities=one.probabilities, class_names=one.class_names))
