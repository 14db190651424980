"""The default recipe learns small data sets: it takes enough steps, and mirrors no digit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

import cifarlab
from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.named import shapes
from cifarlab.data.split import stratified_split

pytestmark = pytest.mark.slow


def digits() -> Dataset:
    """scikit-learn's 1,797 digits of 8x8, grey: 1,295 for training, 143 and 359."""
    read = load_digits()
    images = np.round(read.images * 255 / 16).astype(np.uint8)[..., None]
    whole = Split(images=images, labels=read.target.astype(np.int64))
    kept, test = stratified_split(whole.labels, 0.2, seed=0)
    train, validation = stratified_split(whole.labels[kept], 0.1, seed=0)
    return Dataset(
        name="digits",
        source="scikit-learn",
        class_names=tuple("0123456789"),
        train=whole.subset(kept[train]),
        validation=whole.subset(kept[validation]),
        test=whole.subset(test),
    )


def easy_shapes(images: int) -> Dataset:
    """Bright circles, stars and bars on a dark ground; of each 100 images in the test."""

    def part(number: int, count: int) -> Split:
        labels = np.arange(3 * count, dtype=np.int64) % 3
        drawn = [_easy_shape(label, [number, i]) for i, label in enumerate(labels.tolist())]
        return Split(images=np.stack(drawn), labels=labels)

    return Dataset(
        name="easy shapes",
        source="drawn by the tests",
        class_names=("circle", "star", "bar"),
        train=part(0, images * 8 // 10),
        validation=part(1, images // 10),
        test=part(2, 100),
    )


def _easy_shape(label: int, seed: list[int]) -> np.ndarray[Any, Any]:
    generator = np.random.default_rng(seed)
    mask = shapes._mask(("circle", "star", "bar")[label], generator)[..., None]
    image = 40 + mask * np.array([150, 120, 90]) + generator.normal(0, 15, (*mask.shape[:2], 3))
    return np.asarray(image.clip(0, 255).round(), dtype=np.uint8)


def test_digits_of_8x8_are_told_apart(tmp_path: Path) -> None:
    run = cifarlab.train("baseline", digits(), directory=tmp_path / "run")
    assert run.metrics.test.accuracy >= 0.98


def test_thirty_images_a_class_are_enough_for_easy_classes(tmp_path: Path) -> None:
    run = cifarlab.train("baseline", easy_shapes(30), directory=tmp_path / "run")
    assert run.metrics.test.accuracy >= 0.95


def test_a_fast_recipe_takes_enough_steps_on_few_images(tmp_path: Path) -> None:
    data = easy_shapes(30)
    run = cifarlab.train("fast94", data, directory=tmp_path / "run")
    steps = len(run.history) * -(-(len(data.train) + len(data.validation)) // run.recipe.batch_size)
    assert steps >= 300
    assert run.metrics.test.accuracy >= 0.8
