"""``lesson augmentation``: the words follow the numbers, and it runs."""

from __future__ import annotations

import json

import pytest

from cifarlab.lessons import augmentation
from cifarlab.lessons.augmentation import AUGMENTATIONS
from lessons.made_up import TINY, experiment, said, shapes

LOW, HIGH, MIXED = (0.3, 0.32, 0.31), (0.6, 0.62, 0.61), (0.2, 0.7, 0.31)


def result(accuracies, train):
    variants = dict(zip(AUGMENTATIONS, accuracies, strict=True))
    values = zip(AUGMENTATIONS, train, strict=True)
    return experiment(variants, {name: {"train_accuracy": value} for name, value in values})


@pytest.mark.parametrize(
    ("accuracies", "train", "phrases"),
    [
        ((LOW, HIGH, HIGH, HIGH), (0.9, 0.9, 0.9, 0.9), ["augment; mirror is the least"]),
        ((LOW, MIXED, HIGH, MIXED), (0.9, 0.9, 0.9, 0.9), ["mirror + shift is the least"]),
        ((LOW, MIXED, MIXED, LOW), (0.9, 0.9, 0.9, 0.5), ["narrower", "did not rise for sure"]),
        ((HIGH, HIGH, HIGH, LOW), (0.9, 0.9, 0.9, 0.4), ["the gap closed and accuracy fell"]),
        ((HIGH, HIGH, HIGH, LOW), (0.9, 0.9, 0.9, 0.9), ["wider", "augmentation did harm"]),
        ((LOW, MIXED, MIXED, LOW), (0.9, 0.9, 0.9, 0.9), ["nothing showed"]),
    ],
)
def test_the_words_follow_the_numbers(accuracies, train, phrases):
    text = said(augmentation.sentences(result(accuracies, train)))
    assert all(phrase in text for phrase in phrases), text


def test_it_runs_on_a_tiny_dataset():
    found = augmentation.run(shapes(), TINY, "cpu", str)
    assert augmentation.sentences(found)
    assert len(augmentation.table(found)[1]) == len(AUGMENTATIONS)
    for outcome in found.outcomes:
        assert all(0 <= value <= 1 for value in outcome.measured("train_accuracy"))
    json.dumps(found.to_json(), allow_nan=False)
    assert len(augmentation.draw(found).axes) == 2
