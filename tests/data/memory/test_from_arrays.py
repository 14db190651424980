"""Arrays become a dataset at once, or are refused before anything is trained."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.dataset import Dataset
from cifarlab.data.memory.from_arrays import splits_from_arrays
from cifarlab.data.missing_splits import fill_missing
from cifarlab.data.split import Split, check_split
from cifarlab.errors import InputError, UsageError

CLASSES = 3


def images(count: int = 30, *shape: int, seed: int = 0) -> np.ndarray:
    shape = shape or (16, 16, 3)
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def labels(count: int = 30) -> np.ndarray:
    return np.arange(count) % CLASSES


TEST = (images(9, seed=1), labels(9))


def made(x=None, y=None, **more) -> Dataset:
    x = images() if x is None else x
    y = labels() if y is None else y
    return Dataset.from_arrays(x, y, **({"test": TEST} | more))


def whole(data: Dataset) -> np.ndarray:
    """Return the images that were given for training, in the order in which they were."""
    parts = (data.train, data.validation)
    order = np.argsort([int(name.split()[1]) for part in parts for name in part.names])
    return np.concatenate([part.images for part in parts])[order]


def test_a_record_says_that_it_was_in_memory():
    data = made(name="mine")
    assert (data.name, data.source, dict(data.loading)) == ("mine", "arrays in memory", {})


def test_without_validation_images_it_is_split_off():
    data = made()
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 9)
    assert sorted(data.validation.labels) == [0, 1, 2]
    assert not set(data.train.names) & set(data.validation.names)
    assert (whole(data) == images()).all()


def test_without_test_images_a_tenth_is_split_off_and_said():
    with pytest.warns(UserWarning, match=r"no test images; .*give test="):
        data = made(test=None)
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 3, 3)
    names = [name for part in (data.train, data.validation, data.test) for name in part.names]
    assert len(set(names)) == 30


def test_given_splits_are_taken_as_they_are():
    data = made(validation=(images(6, seed=2), labels(6)))
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 6, 9)
    assert (data.train.images == images()).all()
    assert (data.validation.images == images(6, seed=2)).all()
    assert (data.test.images == TEST[0]).all()


def test_the_seed_decides_the_splits():
    names = [made(split_seed=seed).validation.names for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize(
    "y",
    [
        labels().tolist(),
        labels()[:, None],
        np.eye(CLASSES)[labels()],
        labels().astype(float),
        [str(label) for label in labels()],
    ],
)
def test_integer_column_one_hot_float_and_string_labels_are_the_same(y):
    data, expected = made(y=y, test=(TEST[0], y[:9])), made()
    assert (data.train.labels == expected.train.labels).all()
    assert data.train.labels.dtype == np.int64
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("x", "test"),
    [
        (images() / 255, TEST[0] / 255),
        (images() / np.float32(127.5) - 1, TEST[0] / np.float32(127.5) - 1),
        (images().astype(np.float64), TEST[0].astype(np.float64)),
        (images().transpose(0, 3, 1, 2), TEST[0].transpose(0, 3, 1, 2)),
    ],
)
def test_floats_and_channels_first_give_the_same_images_and_say_so(x, test):
    with pytest.warns(UserWarning, match="are read"):
        data = made(x=x, test=(test, TEST[1]))
    assert (whole(data) == images()).all()
    assert (data.test.images == TEST[0]).all()


def test_a_list_of_arrays_is_a_batch_of_them():
    assert (whole(made(x=list(images()))) == images()).all()


def test_grey_images_keep_one_channel():
    x = images(30, 28, 28)
    data = made(x=x, test=(x[:9], labels(9)))
    assert data.train.images.shape == (27, 28, 28, 1)
    assert data.image_format.channels == 1


def test_zeros_and_ones_are_black_and_white():
    x = images(30, 28, 28) > 127
    data = made(x=x, test=(x[:9], labels(9)))
    assert set(np.unique(data.train.images)) == {0, 255}
    with pytest.warns(UserWarning, match="1 white"):
        made(x=x.astype(np.uint8), test=(x[:9].astype(np.uint8), labels(9)))


def test_images_need_not_be_square():
    x = images(30, 32, 64, 3)
    data = made(x=x, test=(x[:9], labels(9)))
    assert data.image_format.shape == (32, 64, 3)


def test_scikit_learns_digits_need_their_range():
    x = np.random.default_rng(0).integers(0, 17, (30, 64)).astype(np.float64)
    with pytest.raises(InputError, match="not clear"):
        made(x=x)
    with pytest.warns(UserWarning, match="8x8"):
        data = made(x=x, test=(x[:9], labels(9)), value_range=(0, 16))
    assert data.train.images.shape == (27, 8, 8, 1)
    assert data.train.images.max() == 255


@pytest.mark.parametrize(
    ("x", "y", "more", "reason"),
    [
        (images() / 255 * np.where(labels() == 1, np.nan, 1)[:, None, None, None], None, {}, "NaN"),
        (np.random.default_rng(0).normal(size=(30, 8, 8)), None, {}, "not clear"),
        (images(29), None, {}, "30 labels for 29 images"),
        (images(30, 7, 8), None, {}, "7x8; height and width"),
        (images(30, 257, 8), None, {}, "257x8; height and width"),
        (images(30, 16, 16, 4), None, {}, "4 channels"),
        (images(30, 16, 16, 16), None, {}, "volumes"),
        (images().astype(complex), None, {}, "images hold numbers"),
        ([images(1)[0], images(1, 8, 8, 3)[0]] * 15, None, {}, "different sizes"),
        ([], [], {}, "holds no images"),
        (None, np.zeros(30), {}, "1 class"),
        (None, labels() + 0.5, {}, "no whole number"),
        (None, np.ones((30, 4)), {}, "multi-label"),
        (None, None, {"class_names": ["a", "b"]}, "label 2 is none of the 2 classes"),
        (None, None, {"class_names": ["a", "a", "b"]}, "repeats"),
        (None, None, {"test": (images(9, 8, 8, 3), labels(9))}, "test: images are [8, 8, 3]"),
        (None, None, {"test": (images(9, 16, 16), labels(9))}, "test: images are [16, 16, 1]"),
        (None, None, {"test": (TEST[0] / 255, labels(9))}, "test: images are floats"),
        (None, None, {"test": (TEST[0].astype(np.int16) * 2, labels(9))}, "outside of the range"),
        (None, None, {"test": (TEST[0], labels(9) + 5)}, "test: label 5"),
        (None, None, {"validation": (TEST[0], labels(8))}, "validation y: 8 labels for 9"),
        (None, None, {"value_range": 5}, "give two numbers"),
        (None, None, {"groups": [1, 2]}, "2 keys for 30 images"),
        (None, None, {"value_range": (0, 100)}, "outside of the range 0 to 100"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before(x, y, more, reason):
    with pytest.raises(InputError, match=re.escape(reason)) as caught:
        made(x=x, y=y, **more)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"test": TEST[0]}, r"test: give \(x, y\)"),
        ({"validation_fraction": 1.5}, "between 0 and 1"),
        ({"split_seed": -1}, "0 or more"),
        ({"class_names": "abc"}, "a list of names"),
    ],
)
def test_calls_that_are_wrong_whatever_the_data(more, reason):
    with pytest.raises(UsageError, match=reason):
        made(**more)


def test_a_class_name_without_training_images_is_said():
    with pytest.warns(UserWarning, match="no training images of d"):
        assert made(class_names=["a", "b", "c", "d"]).class_names == ("a", "b", "c", "d")


def test_too_few_images_to_divide_are_refused_with_the_remedy():
    with pytest.raises(InputError, match=r"no class has an image to spare for validation.* give"):
        made(x=images(3), y=labels(3))


def test_a_class_of_one_image_is_trained_on_and_said_not_to_be_measured():
    with pytest.warns(UserWarning, match="too few images of 2 to divide"):
        data = splits_from_arrays(images(21), [0] * 10 + [1] * 10 + [2], test=TEST)
    assert 2 in data.train.labels


def test_arrays_are_divided_as_folders_are():
    with pytest.warns(UserWarning, match="no test images"):
        data = splits_from_arrays(images(300), labels(300), validation_fraction=0.3)
    # Both shares are of all images that were given.
    assert (len(data.train), len(data.validation), len(data.test)) == (180, 90, 30)
    numbers = [int(name.split()[1]) for name in data.test.names]
    train = Split(images=images(300), labels=labels(300))
    filled = fill_missing({"train": train}, None, validation_fraction=0.3, seed=0, shown="x")
    np.testing.assert_array_equal(filled["test"].images, images(300)[numbers])


@given(st.integers(0, 3), st.integers(2, 6))
def test_groups_stay_in_one_split(seed, size):
    x, y = images(60), labels(60)
    groups = np.arange(60) // size
    data = splits_from_arrays(x, y, test=TEST, groups=groups, split_seed=seed)
    keys = [
        {groups[int(n.split()[1])] for n in part.names} for part in (data.train, data.validation)
    ]
    assert not keys[0] & keys[1]
    assert len(data.train) + len(data.validation) == 60
    assert 0 < len(data.validation) <= 15


@given(st.sampled_from([(16, 16), (8, 24), (9, 9, 1), (12, 10, 3)]), st.integers(0, 5))
def test_whatever_is_accepted_is_as_a_split_must_be(shape, seed):
    x = images(30, *shape, seed=seed)
    data = made(x=x, test=(x[:9], labels(9)))
    for split in (data.train, data.validation, data.test):
        check_split(split, data.class_names, "here")
    assert (whole(data).reshape(x.shape) == x).all()


@pytest.mark.parametrize(("scale", "shift"), [(255.0, 0.0), (2.0, -1.0)])
def test_a_test_split_of_another_range_is_refused(scale, shift):
    unit = np.random.default_rng(0).random((30, 16, 16, 3))
    unit[0, 0, 0] = (0, 0.5, 1)
    with pytest.raises(InputError, match=r"test x: values from .* bring both to one range"):
        Dataset.from_arrays(unit * scale + shift, labels(), test=(unit[:9], labels(9)))
