"""Splits: the same for the same seed, groups kept together, and what is unsound about them said."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.cache import Decoded
from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.dividing import divide
from cifarlab.data.grouped_split import hold_out
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import InputError, UsageError


def split(labels: list[int], names: list[str] | None = None, first: int = 0) -> Split:
    """Return images that all differ, numbered from ``first``."""
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(first, first + len(labels)) % 256
    images[:, 0, 1, 0] = np.arange(first, first + len(labels)) // 256
    named = names if names is not None else [f"{first + i}.png" for i in range(len(labels))]
    return Split(images=images, labels=np.array(labels, np.int64), names=tuple(named))


def decoded(train: Split, **parts: Split) -> Decoded:
    nothing = Decoded(
        name="toy", source="/toy", class_names=("a", "b"), train=train, test=split([])
    ).validation
    values = {"test": nothing, "validation": nothing, **parts}
    return Decoded(name="toy", source="/toy", class_names=("a", "b"), train=train, **values)


def names(data: Dataset) -> dict[str, set[str]]:
    return {part: set(getattr(data, part).names) for part in ("train", "validation", "test")}


@given(st.integers(0, 100), st.floats(0.05, 0.8), st.integers(8, 60))
def test_every_image_is_in_one_split_and_the_seed_decides_which(
    seed: int, fraction: float, count: int
) -> None:
    images = decoded(split([i % 2 for i in range(count)]))
    options = LoadOptions(split_seed=seed, validation_fraction=fraction)
    one, same = divide(images, options), divide(images, options)
    assert names(one) == names(same)
    assert sum(len(part) for part in names(one).values()) == count
    assert set.union(*names(one).values()) == set(images.train.names)
    assert all(names(one).values())


def test_many_groups_are_divided_about_as_asked_in_each_class() -> None:
    draws = np.random.default_rng(0)
    groups = np.repeat(np.arange(200), draws.integers(1, 8, 200))
    labels = (groups % 4) % 3
    _, held = hold_out(labels, groups, 0.2, seed=1)
    for label in range(3):
        share = (labels[held] == label).sum() / (labels == label).sum()
        assert 0.15 < share < 0.25


def test_frames_of_one_video_stay_together() -> None:
    frames = [f"a/p{i // 10}_{i}.png" for i in range(100)]
    images = decoded(split([i // 10 % 2 for i in range(100)], frames))
    data = divide(images, LoadOptions(group_by=r"p(\d+)_"))
    videos = [{name.split("_")[0] for name in part} for part in names(data).values()]
    assert not videos[0] & videos[1]
    assert not videos[0] & videos[2]
    assert not videos[1] & videos[2]


def test_a_pattern_that_matches_nothing_is_refused_with_an_example() -> None:
    with pytest.raises(UsageError, match=r"0\.png"):
        divide(decoded(split([0, 1] * 10)), LoadOptions(group_by="patient"))


def test_groups_that_the_source_itself_divides_are_counted() -> None:
    train = split([0, 1] * 5, [f"p{i}_x.png" for i in range(10)])
    test = split([0, 1], ["p1_y.png", "p11_y.png"], first=50)
    with pytest.warns(UserWarning, match="1 groups are in train and in test"):
        divide(decoded(train, test=test), LoadOptions(group_by="(p.+)_"))


def test_a_test_image_that_is_trained_on_is_counted() -> None:
    train = split([0, 1] * 10)
    with pytest.warns(UserWarning, match="3 images of 4 in test are in train too"):
        divide(
            decoded(train, validation=split([0, 1], first=90), test=split([0, 1, 0, 1], first=17)),
            LoadOptions(),
        )


def test_a_class_of_one_image_is_trained_on_and_said_not_to_be_measured() -> None:
    with pytest.warns(UserWarning, match="measured") as warned:
        data = divide(decoded(split([0] * 20 + [1])), LoadOptions())
    assert 1 in data.train.labels
    assert "not measured" in " ".join(str(warning.message) for warning in warned)


def test_a_class_that_the_test_split_lacks_is_said_not_to_be_measured() -> None:
    with pytest.warns(UserWarning, match="test has no images of b"):
        divide(decoded(split([0, 1] * 10), test=split([0, 0], first=40)), LoadOptions())


def test_a_class_without_training_images_is_refused() -> None:
    with pytest.raises(InputError, match="class 'b' has no good images to train on"):
        divide(decoded(split([0] * 10), test=split([0, 1], first=40)), LoadOptions())


def test_images_of_which_none_can_be_read_are_refused_with_the_reason() -> None:
    bad = (
        "a/1.svg: an SVG drawing; convert it to PNG",
        "a/2.svg: an SVG drawing; convert it to PNG",
    )
    empty = split([0, 1]).subset(np.arange(0))
    with pytest.raises(
        InputError, match=r"no image can be read: 2 images \(a/1\.svg, a/2\.svg\): an SVG"
    ):
        divide(replace(decoded(empty), skipped=bad), LoadOptions())


def test_sound_data_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        divide(decoded(split([0, 1] * 20)), LoadOptions())


def test_what_was_guessed_is_recorded() -> None:
    data = divide(decoded(split([0, 1] * 20)), LoadOptions(split_seed=3))
    assert data.loading["image_size"] == [8, 8]
    assert data.loading["channels"] == "grey"
    assert data.loading["split_seed"] == 3
    assert LoadOptions(**data.loading).size == (8, 8)
