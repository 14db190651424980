"""Images that look like training images are counted and warned of, where that can be told."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from cifarlab.data.dataset import Dataset
from cifarlab.data.named import shapes
from cifarlab.data.split import Split
from cifarlab.evaluation.split_overlap import near_duplicates_of_train, warn_of_near_duplicates


@pytest.fixture
def data() -> Dataset:
    drawn = shapes.draw(60, 20)
    return Dataset(
        name="photos",
        source="/photos",
        class_names=drawn.class_names,
        train=drawn.train.subset(np.arange(10, 60)),
        validation=drawn.train.subset(np.arange(10)),
        test=drawn.test,
    )


def brighter(split: Split) -> Split:
    """Return the next frames, as it were: hardly other images."""
    images = np.clip(split.images.astype(int) + 6, 0, 255).astype(np.uint8)
    return replace(split, images=images)


def test_nothing_is_said_of_different_images(data: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_near_duplicates(data)


def test_frames_of_the_same_scene_are_counted_with_the_remedy(data: Dataset) -> None:
    leaking = replace(data, test=brighter(data.train.subset(np.arange(12))))
    assert near_duplicates_of_train(leaking) == {"validation": 0, "test": 12}
    with pytest.warns(UserWarning, match="12 of 12 test images look much like .* --group-by"):
        warn_of_near_duplicates(leaking)


def test_images_too_small_to_tell_are_not_searched(data: Dataset) -> None:
    parts = {
        part: replace(getattr(data, part), images=getattr(data, part).images[:, ::4, ::4])
        for part in ("train", "validation", "test")
    }
    assert near_duplicates_of_train(replace(data, **parts)) is None
