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

EXACT, OTHER = Attempt("", 0.0), Attempt("", 0.1)
FAILED = Attempt("ValueError: no such variable", math.nan)
GOOD = Kept(0, ".keras", 1000, 300, 600, True, True, 0.0, 0.0, 26, 26, EXACT, OTHER)


def result(keras_file, h5_file):
    return Formats(
        ExperimentData("made-up", 100, 50, 1, 1), (keras_file, replace(h5_file, suffix=".h5"))
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
    found = formats.run(shapes(), LessonOptions(40, 1, 2), "cpu", str)
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
