"""Words follow numbers, in every direction."""

from __future__ import annotations

import math

import pytest

from cifarlab.lessons.words import (
    Verdict,
    certainty,
    compare_in_words,
    grouped,
    listed,
    mean,
    number,
    percent,
    spread,
    verdict,
)

LOW, MIDDLE, HIGH = [0.1, 0.2, 0.15], [0.15, 0.25, 0.2], [0.5, 0.6, 0.7]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (HIGH, LOW, Verdict(direction=1, sure=True)),
        (LOW, HIGH, Verdict(direction=-1, sure=True)),
        (MIDDLE, LOW, Verdict(direction=1, sure=False)),
        (LOW, LOW, Verdict(direction=0, sure=False)),
        ([0.1, 0.3], [0.2, 0.2], Verdict(direction=0, sure=False)),
        ([0.3], [0.2], Verdict(direction=1, sure=False)),
        ([math.inf, 2.0], [1.0, 1.0], Verdict(direction=1, sure=True)),
        ([math.inf], [math.inf], Verdict(direction=0, sure=False)),
    ],
)
def test_a_verdict_is_sure_only_where_ranges_part(first, second, expected):
    assert verdict(first, second) == expected


@pytest.mark.parametrize(
    ("a", "b", "phrases"),
    [
        (HIGH, LOW, ["was higher with a than with b", "60.0% against 15.0%", "do not overlap"]),
        (LOW, HIGH, ["was lower with a than with b", "do not overlap"]),
        (MIDDLE, LOW, ["was higher", "each of the 3 seeds", "a hint, no more"]),
        ([0.1, 0.3], [0.2, 0.2], ["was the same", "as far as 2 seeds can show"]),
        ([0.3], [0.2], ["was higher", "in the one run of each"]),
        ([0.2], [0.2], ["was the same"]),
    ],
)
def test_a_comparison_says_what_the_numbers_say(a, b, phrases):
    sentence = compare_in_words("Accuracy", "with a", "with b", a, b, percent)
    assert all(phrase in sentence for phrase in phrases), sentence


def test_chance_is_named_only_where_something_is_sure():
    sure, unsure = Verdict(direction=1, sure=True), Verdict(direction=1, sure=False)
    assert "once in 10 comparisons" in certainty(3, [unsure, sure])[0]
    assert "once in 3 comparisons" in certainty(2, [sure])[0]
    assert certainty(3, [unsure]) == []
    assert "--seeds 3" in certainty(1, [unsure])[0]


def test_names_are_grouped_by_what_was_found():
    found = {
        "a": Verdict(direction=1, sure=True),
        "b": Verdict(direction=0, sure=False),
        "c": Verdict(direction=1, sure=True),
    }
    sentence = grouped("Accuracy", found, 3)
    assert sentence == (
        "Accuracy: clearly higher with a or c; no difference that 3 seeds can show with b."
    )
    assert "lower for every seed but" in grouped(
        "Accuracy", {"a": Verdict(direction=-1, sure=False)}, 3
    )
    assert "in the one run" in grouped("Accuracy", {"a": Verdict(direction=-1, sure=False)}, 1)


def test_numbers_for_tables():
    assert spread([0.5], percent) == "50.0%"
    assert spread([0.5, 0.7], percent) == "60.0%\n50.0 to 70.0%"
    assert mean([1.0, math.inf]) == math.inf
    assert number(math.inf) == "no number"
    assert (number(1.23456), number(1234.56)) == ("1.235", "1,235")
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
