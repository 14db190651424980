"""``lesson scaling``: the words follow the numbers, and it runs."""

from __future__ import annotations

import json
import math

import pytest

from cifarlab.lessons import scaling
from cifarlab.lessons.scaling import RAW, RAW_NORM, SCALED, SCALED_NORM
from lessons.made_up import TINY, experiment, said, shapes

LOW, HIGH, MIXED = (0.3, 0.32, 0.31), (0.6, 0.62, 0.61), (0.3, 0.7, 0.31)


def result(scaled, raw, scaled_norm, raw_norm, ratio=300.0):
    variants = {SCALED: scaled, RAW: raw, SCALED_NORM: scaled_norm, RAW_NORM: raw_norm}
    lengths = {name: {"first_gradient": ratio if "raw" in name else 1.0} for name in variants}
    return experiment(variants, lengths)


@pytest.mark.parametrize(
    ("accuracies", "phrase"),
    [
        ((HIGH, LOW, HIGH, LOW), "with batch normalisation or without"),
        ((HIGH, LOW, HIGH, HIGH), "where no layer normalises"),
        ((HIGH, HIGH, HIGH, LOW), "with batch normalisation only"),
        ((MIXED, LOW, LOW, MIXED), "nothing here tells for or against"),
        ((LOW, HIGH, HIGH, HIGH), "scaling did harm here"),
        ((HIGH, HIGH, LOW, HIGH), "scaling did harm here"),
    ],
)
def test_the_advice_follows_what_was_sure(accuracies, phrase):
    assert phrase in scaling.sentences(result(*accuracies))[-1]


def test_each_network_has_its_own_verdict():
    text = said(scaling.sentences(result(HIGH, LOW, LOW, MIXED)))
    assert "Without batch normalisation, validation accuracy was higher" in text
    assert "With it, validation accuracy was the same" in text
    assert "as far as 3 seeds can show" in text
    assert "once in 10" in text


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(300.0, "was 300 times"), (1.1, "was 1.1 times"), (0.2, "was 0.2 times")],
)
def test_gradients_are_compared_as_they_are(ratio, words):
    assert words in said(scaling.sentences(result(HIGH, LOW, HIGH, LOW, ratio)))


def test_one_seed_gives_no_advice():
    text = said(scaling.sentences(result((0.6,), (0.3,), (0.6,), (0.3,))))
    assert "One seed says nothing about chance" in text
    assert "Conclusion" not in text


def test_epochs_to_the_target_and_not_reaching_it():
    found = result(HIGH, LOW, HIGH, LOW)
    assert scaling.epochs_to(found.of(SCALED), 0.615) == (math.inf, 2.0, math.inf)
    cells = {row[0]: row[1] for row in scaling.table(found)[1]}
    assert cells[RAW] == "not in 2"
    assert cells[SCALED].startswith("2")


def test_it_runs_and_never_touches_the_test_split():
    lines: list[str] = []
    found = scaling.run(shapes(), TINY, "cpu", lines.append)
    assert len(lines) == 8
    assert max(map(len, lines)) <= 80
    assert len(scaling.sentences(found)) >= 3
    assert all(value > 0 for value in found.of(RAW).measured("first_gradient"))
    json.dumps(found.to_json(), allow_nan=False)
    assert len(scaling.draw(found).axes) == 2
