"""A classifier says the same of an image however it is asked, and refuses what it cannot take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cifarlab.backend import keras
from cifarlab.classifier import (
    Classifier,
    evaluate,
    find_model,
    is_pretrained,
    resolve_model,
)
from cifarlab.data.dataset import Split
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.calibration import with_temperature
from cifarlab.evaluation.metrics import measure
from cifarlab.recipes.parts import TestTimeAugmentation
from cifarlab.saving.model_file import save_model
from support import one_line
from tiny import CLASSES, SIDE, tiny_split

layers = keras.layers


def random_model(classes: int = 3, name: str = "random") -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(classes, activation="softmax"),
        ],
        name=name,
    )


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.from_keras(random_model(), CLASSES)


def red_or_blue() -> keras.Model:
    """Weights set by hand: the mean of the first channel speaks for red, of the last for blue."""
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    kernel = np.array([[10, 0], [0, 0], [0, 10]], "float32")
    model.set_weights([kernel, np.zeros(2, "float32")])
    return model


# --- colours


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("file", ["image.png", "image.jpg", "image.bmp", "image.webp"])
def test_red_is_red_and_blue_is_blue(tmp_path, suffix, file):
    path = tmp_path / f"model{suffix}"
    save_model(red_or_blue(), path, class_names=("red", "blue"), recipe={})
    loaded = Classifier.load(path)
    for colour, value in (("red", (250, 10, 20)), ("blue", (20, 10, 250))):
        Image.new("RGB", (32, 32), value).save(tmp_path / file)
        ((best, probability),) = loaded.predict(tmp_path / file).top(1)[0]
        assert best == colour
        assert probability > 0.99


def test_the_golden_image_has_exact_probabilities():
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 153, 200, 51
    found = Classifier.from_keras(red_or_blue(), ("red", "blue")).predict(image)
    # The logits are 10 * 153 / 255 = 6 and 10 * 51 / 255 = 2.
    assert found.probabilities[0, 0] == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-6)


# --- the same answer however it is asked


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(1, 39), max_size=12), order=st.permutations(range(40)))
def test_a_prediction_does_not_depend_on_its_companions(classifier, cuts, order):
    images = tiny_split(40, 3).images
    alone = np.concatenate([classifier.predict_proba(image[None]) for image in images])
    pieces = np.split(np.array(order), sorted(cuts))
    together = np.concatenate([classifier.predict_proba(images[piece]) for piece in pieces])
    np.testing.assert_allclose(together, alone[order], atol=1e-6)


def test_a_recipe_that_looks_harder_at_a_few_does_not_make_companions_matter():
    few = Classifier.from_keras(random_model(), CLASSES, tta=TestTimeAugmentation(share=0.5))
    assert few.tta == TestTimeAugmentation(share=1.0)
    images = tiny_split(12, 3).images
    alone = np.concatenate([few.predict_proba(image[None]) for image in images])
    np.testing.assert_allclose(few.predict_proba(images), alone, atol=1e-6)


def test_a_shift_beyond_the_image_is_refused():
    with pytest.raises(InputError) as error:
        Classifier.from_keras(random_model(), CLASSES, "cpu", TestTimeAugmentation(shift=SIDE))
    assert "use a smaller shift" in one_line(error)


def test_a_temperature_divides_the_logits(classifier):
    images = tiny_split(10, 3).images
    before = classifier.predict(images)
    after = replace(classifier, temperature=0.5).predict(images)
    expected = with_temperature(before, 0.5).probabilities
    np.testing.assert_allclose(after.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(after.predicted, before.predicted)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_temperature_and_threshold_travel_in_the_file(tmp_path, suffix):
    path, names = tmp_path / f"model{suffix}", ("red", "blue")
    save_model(
        red_or_blue(), path, class_names=names, recipe={}, temperature=2.0, not_sure_below=0.7
    )
    loaded = Classifier.load(path)
    assert (loaded.temperature, loaded.not_sure_below) == (2.0, 0.7)
    assert (loaded.sure(0.7), loaded.sure(0.69)) == (True, False)
    assert replace(loaded, not_sure_below=None).sure(0.1) is None


def test_keras_says_the_same(classifier):
    images = tiny_split(40, 3).images
    expected = classifier.model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(classifier.predict_proba(images), expected, atol=1e-5)


def test_paths_arrays_and_splits_agree(classifier, tmp_path):
    split = tiny_split(6, 4)
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, image in zip(paths, split.images, strict=True):
        Image.fromarray(image).save(path)
    by_paths = classifier.predict(paths)
    by_array = classifier.predict(split.images)
    by_split = classifier.predict_split(split)
    np.testing.assert_array_equal(by_paths.probabilities, by_array.probabilities)
    np.testing.assert_array_equal(by_paths.probabilities, by_split.probabilities)
    assert by_paths.names == tuple(map(str, paths))
    assert by_array.names == by_split.names == ("0", "1", "2", "3", "4", "5")
    np.testing.assert_array_equal(by_split.labels, split.labels)
    assert by_paths.labels is None
    single = classifier.predict(str(paths[2]))
    np.testing.assert_allclose(single.probabilities[0], by_paths.probabilities[2], atol=1e-6)
    assert len(classifier.predict(split.images[0])) == 1


def test_a_split_keeps_its_names(classifier):
    split = tiny_split(3, 0)
    named = Split(images=split.images, labels=split.labels, names=("a.png", "b.png", "c.png"))
    assert classifier.predict_split(named).names == ("a.png", "b.png", "c.png")


def test_probabilities_are_float32_and_sum_to_one(classifier):
    found = classifier.predict_proba(tiny_split(20, 0).images)
    assert found.dtype == np.float32
    assert found.shape == (20, 3)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)


def test_read_only_and_strided_arrays_are_taken(classifier):
    images = tiny_split(8, 0).images
    expected = classifier.predict_proba(images)
    backwards = np.ascontiguousarray(images[::-1])[::-1]
    backwards.flags.writeable = False
    np.testing.assert_array_equal(classifier.predict_proba(backwards), expected)


def test_evaluate_measures_the_predictions(classifier):
    split = tiny_split(30, 5)
    expected = measure(classifier.predict_split(split))
    assert evaluate(classifier, split).to_json() == expected.to_json()


# --- which model is meant


def test_the_model_that_is_named_goes_before_the_newest_run_and_that_before_the_pretrained_one(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert find_model() == Path("cifar10")
    assert resolve_model(device="cpu").class_names == Classifier.pretrained("cpu").class_names
    run = tmp_path / "runs" / "mine-1"
    run.mkdir(parents=True)
    save_model(random_model(), run / "best.keras", class_names=CLASSES, recipe={})
    (run / "recipe.json").write_text("{}")
    assert find_model() == Path("runs/mine-1")
    assert resolve_model(device="cpu").class_names == CLASSES
    assert find_model("other.keras") == Path("other.keras")


def test_only_a_run_or_a_file_takes_the_pretrained_models_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cifar10").mkdir()
    assert is_pretrained("cifar10")
    assert not is_pretrained(tmp_path / "cifar10")
    (tmp_path / "cifar10" / "recipe.json").write_text("{}")
    assert not is_pretrained("cifar10")


# --- what it refuses


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, SIDE, SIDE, 3), np.float32),
        np.zeros((2, SIDE, SIDE, 3), np.int64),
        np.zeros((2, SIDE, SIDE, 1), np.uint8),
        np.zeros((2, SIDE, SIDE, 4), np.uint8),
        np.zeros((2, 3, SIDE, SIDE), np.uint8),
        np.zeros((2, 32, 32, 3), np.uint8),
        np.zeros((SIDE, SIDE), np.uint8),
        np.zeros((1, 2, SIDE, SIDE, 3), np.uint8),
        np.zeros((0, SIDE, SIDE, 3), np.uint8),
        np.zeros((), np.uint8),
    ],
    ids=lambda images: f"{images.dtype}-{'x'.join(map(str, images.shape))}",
)
def test_other_arrays_are_refused(classifier, images):
    with pytest.raises(InputError) as error:
        classifier.predict(images)
    assert f"{SIDE}, {SIDE}, 3" in one_line(error)
    with pytest.raises(InputError):
        classifier.predict_proba(images)


@pytest.mark.parametrize("images", [[], [np.zeros((SIDE, SIDE, 3), np.uint8)], [None], [3]])
def test_lists_of_anything_but_paths_are_refused(classifier, images):
    with pytest.raises(InputError) as error:
        classifier.predict(images)
    one_line(error)


def test_bad_files_and_modes_are_refused(classifier, tmp_path):
    (tmp_path / "page.png").write_text("<html>")
    for path in ("page.png", "missing.png", ""):
        with pytest.raises(InputError) as error:
            classifier.predict(tmp_path / path)
        one_line(error)
    with pytest.raises(UsageError):
        classifier.predict(tmp_path / "page.png", resize_mode="melt")


def inputs(*shape: int | None) -> keras.Model:
    given_input = keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(given_input) if len(shape) == 3 else given_input
    return keras.Model(given_input, layers.Dense(3, activation="softmax")(x))


def without_softmax() -> keras.Model:
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Flatten(), layers.Dense(3)])


@pytest.mark.parametrize(
    "model",
    [
        lambda: inputs(10),
        lambda: inputs(None, None, 3),
        lambda: inputs(8, 8, 4),
        without_softmax,
        lambda: random_model(classes=4),
        lambda: keras.Sequential([layers.Dense(3, activation="softmax")]),
    ],
    ids=["vectors", "any size", "four channels", "logits", "other classes", "not built"],
)
def test_models_that_are_no_classifiers_are_refused(model):
    with pytest.raises(InputError) as error:
        Classifier.from_keras(model(), CLASSES)
    one_line(error)


def test_several_outputs_are_refused(tmp_path):
    entrance = keras.Input((SIDE, SIDE, 3))
    flat = layers.Flatten()(entrance)
    heads = [layers.Dense(3, activation="softmax")(flat) for _ in range(2)]
    keras.Model(entrance, heads).save(tmp_path / "two.keras")
    with pytest.raises(InputError) as error:
        Classifier.load(tmp_path / "two.keras")
    one_line(error)


@pytest.mark.parametrize("path", ["missing.keras", "", "a\0b.keras"])
def test_missing_models_are_refused(tmp_path, path):
    with pytest.raises(InputError) as error:
        Classifier.load(tmp_path / path if path else Path(tmp_path / "nothing"))
    one_line(error)


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError) as error:
        Classifier.from_keras(random_model(), CLASSES, device="abacus")
    assert "abacus" in one_line(error)


def test_a_plain_keras_file_has_numbered_classes(tmp_path):
    random_model().save(tmp_path / "plain.keras")
    loaded = Classifier.load(tmp_path / "plain.keras")
    assert loaded.class_names == ("class 0", "class 1", "class 2")
    assert loaded.input_shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    "ending",
    [
        [keras.layers.Dense(3, activation="sigmoid")],
        [keras.layers.Dense(3), keras.layers.Activation("sigmoid")],
        [keras.Sequential([keras.Input((192,)), keras.layers.Dense(3, activation="sigmoid")])],
    ],
    ids=["activation", "layer", "nested"],
)
def test_a_file_of_independent_sigmoids_is_named_as_multi_label(tmp_path, ending):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), *ending])
    model.save(tmp_path / "scenes.keras")
    with pytest.raises(InputError, match="ends in 3 sigmoids") as error:
        Classifier.load(tmp_path / "scenes.keras")
    assert "measure_multi_label" in one_line(error)
