"""Names of arrays say which are images, which labels, and of which split."""

from __future__ import annotations

import pytest

from cifarlab.data.memory.array_names import Pair, pair_up
from cifarlab.data.memory.image_arrays import UnsuitableError


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("xTrain", "yTrain", "xTest", "yTest"),
        ("xtrain", "ytrain", "xtest", "ytest"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainImages", "trainLabels", "testImages", "testLabels"),
        ("train_x", "train_y", "test_x", "test_y"),
        ("images_training", "labels_training", "images_testing", "labels_testing"),
        ("train_data", "train_targets", "eval_data", "eval_targets"),
        ("kmnist-train-imgs", "kmnist-train-labels", "kmnist-test-imgs", "kmnist-test-labels"),
        ("train/images", "train/labels", "test/images", "test/labels"),
    ],
)
def test_splits_in_any_usual_spelling(names):
    pairs = pair_up(names)
    assert pairs.splits == {
        "train": Pair(images=names[0], labels=names[1]),
        "test": Pair(images=names[2], labels=names[3]),
    }
    assert not pairs.others


@pytest.mark.parametrize(
    "names", [("images", "labels"), ("x", "y"), ("X", "y"), ("data", "target"), ("img", "class")]
)
def test_one_split(names):
    assert pair_up(names).splits == {"train": Pair(images=names[0], labels=names[1])}


def test_validation_is_a_split_of_its_own():
    names = ("train_images", "train_labels", "val_images", "val_labels")
    assert pair_up(names).splits["validation"].labels == "val_labels"


def test_scikit_learns_own_words():
    pairs = pair_up(["data", "target", "target_names", "DESCR"])
    assert pairs.class_names == "target_names"
    assert pairs.others == ("DESCR",)


def test_several_that_may_be_meant_are_named():
    with pytest.raises(UnsuitableError, match=r"images and data may be the images; .*--image-col"):
        pair_up(["images", "data", "labels"])
    both = ["x_train", "y_train_fine", "y_train_coarse"]
    with pytest.raises(UnsuitableError, match=r"y_train_fine and y_train_coarse .*--label-column"):
        pair_up(both)
    assert pair_up(both, label_column="y_coarse").splits["train"].labels == "y_train_coarse"
    assert pair_up(both, label_column="y_train_fine").splits["train"].labels == "y_train_fine"


def test_columns_that_are_told_may_have_any_name():
    told = pair_up(["a", "b", "images"], image_column="a", label_column="b")
    assert told.splits == {"train": Pair(images="a", labels="b")}
    assert told.others == ("images",)


@pytest.mark.parametrize(
    "names", [(), ("a", "b"), ("x_test", "y_test"), ("images",), ("labels",), ("x_train", "y_test")]
)
def test_nothing_to_train_on_is_refused_and_says_what_there_is(names):
    with pytest.raises(UnsuitableError, match=r"^holds .*x_train and y_train") as caught:
        pair_up(names)
    assert all(name in str(caught.value) for name in names)


def test_arrays_of_no_split_are_left_out_beside_those_of_train():
    pairs = pair_up(["images", "labels", "x_train", "y_train"])
    assert set(pairs.splits) == {"train"}
    assert pairs.others == ("images", "labels")
