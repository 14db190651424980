"""``lesson batchnorm``: the words follow the numbers, and it runs."""

from __future__ import annotations

import json

import pytest

from cifarlab.lessons import batchnorm
from cifarlab.lessons.batchnorm import RATES, variant_name
from lessons.made_up import TINY, experiment, said, shapes

LOW, HIGH, MIXED = (0.3, 0.32, 0.31), (0.6, 0.62, 0.61), (0.2, 0.7, 0.31)


def result(with_norm, without):
    variants = {}
    for batch_norm, column in ((True, with_norm), (False, without)):
        for rate, values in zip(RATES, column, strict=True):
            variants[variant_name(rate, batch_norm=batch_norm)] = values
    return experiment(variants)


@pytest.mark.parametrize(
    ("with_norm", "without", "phrases"),
    [
        (
            (HIGH,) * 3,
            (LOW,) * 3,
            ["with 0.0001, 0.001 or 0.01.", "use batch normalisation;"],
        ),
        ((HIGH,) * 3, (HIGH, HIGH, LOW), ["where the rate asks for it", "mattered less"]),
        ((HIGH, HIGH, LOW), (HIGH,) * 3, ["did harm here", "mattered more, not less"]),
        ((HIGH, HIGH, LOW), (LOW, HIGH, HIGH), ["helped at one rate and harmed at another"]),
        ((MIXED,) * 3, (LOW,) * 3, ["neither gain nor harm", "is not sure"]),
    ],
)
def test_the_words_follow_the_numbers(with_norm, without, phrases):
    text = said(batchnorm.sentences(result(with_norm, without)))
    assert all(phrase in text for phrase in phrases), text


def test_it_runs_on_a_tiny_dataset():
    found = batchnorm.run(shapes(), TINY, "cpu", str)
    assert batchnorm.sentences(found)
    assert len(batchnorm.table(found)[1]) == 2 * len(RATES)
    json.dumps(found.to_json(), allow_nan=False)
    assert len(batchnorm.draw(found).axes) == len(RATES)
