"""``lesson formats``: the words follow what was found in the files, and it runs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from cifarlab.lessons import formats
from cifarlab.lessons.experiment import ExperimentData, LessonOptions
from cifarlab.lessons.formats import Formats
from cifarlab.lessons.saved import Attempt, Kept
from lessons.made_up import said, shapes

EXACT, OTHER = Attempt(error="", difference=0.0), Attempt(error="", difference=0.1)
FAILED = Attempt(error="ValueError: no such variable", difference=math.nan)
GOOD = Kept(
    seed=0,
    suffix=".keras",
    size=1000,
    weights=300,
    optimizer=600,
    names=True,
    recipe=True,
    weight_difference=0.0,
    prediction_difference=0.0,
    optimizer_had=26,
    optimizer_loaded=26,
    resumed=EXACT,
    recompiled=OTHER,
)


def result(keras_file, h5_file):
    return Formats(
        setup=ExperimentData(dataset="made-up", images=100, validation=50, epochs=1, seeds=1),
        files=(keras_file, replace(h5_file, suffix=".h5")),
    )


@pytest.mark.parametrize(
    ("keras_file", "h5_file", "phrases"),
    [
        (GOOD, GOOD, ["either will do", "less than 1% in size", "both give the predictions"]),
        (
            GOOD,
            replace(GOOD, resumed=FAILED, size=1500),
            ["1.50 times", "no such variable", "starts afresh", ".h5 holds a finished model"],
        ),
        (replace(GOOD, resumed=FAILED), GOOD, [".h5 for what may be trained on"]),
        (replace(GOOD, resumed=OTHER), replace(GOOD, resumed=FAILED), ["keep a checkpoint"]),
        (GOOD, replace(GOOD, prediction_difference=0.3), [".h5 does not"]),
        (replace(GOOD, prediction_difference=0.3), GOOD, [".keras does not"]),
        (GOOD, replace(GOOD, resumed=FAILED, recompiled=FAILED), ["compiling anew does not help"]),
        (GOOD, replace(GOOD, resumed=OTHER), ["not as it would have without"]),
    ],
)
def test_the_words_follow_the_files(keras_file, h5_file, phrases):
    text = said(formats.sentences(result(keras_file, h5_file)))
    assert all(phrase in text for phrase in phrases), text


def test_it_runs_and_finds_what_is_in_the_files():
    found = formats.run(shapes(), LessonOptions(images=40, epochs=1, seeds=2), "cpu", str)
    assert [(kept.seed, kept.suffix) for kept in found.files] == [
        (0, ".keras"),
        (0, ".h5"),
        (1, ".keras"),
        (1, ".h5"),
    ]
    for kept in found.files:
        assert kept.names
        assert kept.recipe
        assert kept.weight_difference == 0
        assert kept.prediction_difference < 1e-5
        assert 0 < kept.weights < kept.optimizer < kept.size
        assert not kept.recompiled.error
    assert all(kept.resumed.exact for kept in found.of(".keras"))
    json.dumps(found.to_json(), allow_nan=False)
    assert formats.sentences(found)
    assert len(formats.draw(found).axes) == 1
