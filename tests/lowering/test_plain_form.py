"""Models that people bring, as plain models of the same layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UsageError
from cifarlab.lowering.model import lower
from cifarlab.lowering.plain_form import SCALINGS, plain_form, scales_pixels

layers = keras.layers
SHAPE = (8, 8, 3)


def ending(x: Any) -> Any:
    x = layers.Conv2D(4, 3, activation="relu")(x * 0.5)
    return layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def from_input(images: Any) -> KerasModel:
    return keras.Model(images, ending(images))


def of_dictionaries() -> KerasModel:
    images = keras.Input(SHAPE, name="image")
    return keras.Model({"image": images}, {"answer": ending(images)})


def of_lists() -> KerasModel:
    images = keras.Input(SHAPE)
    return keras.Model([images], [ending(images)])


def of_one_batch_size() -> KerasModel:
    return keras.Sequential(
        [
            keras.Input(SHAPE, batch_size=20),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def without_input() -> KerasModel:
    return keras.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])


class Subclassed(keras.Model):
    """A model with a call of its own."""

    def __init__(self, units: int = 3, activation: str = "softmax", **more: Any) -> None:
        super().__init__(**more)
        self.flatten, self.dense = layers.Flatten(), layers.Dense(units, activation=activation)

    def call(self, images: Any) -> Any:
        return self.dense(self.flatten(images / 255))


def images(count: int = 5) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype("float32")


def values(model: KerasModel, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(model.predict(given, verbose=0))


MAKERS: tuple[Callable[[], KerasModel], ...] = (
    lambda: from_input(keras.Input(batch_shape=(20, *SHAPE))),
    lambda: from_input(keras.Input((None, None, 3))),
    of_dictionaries,
    of_lists,
    of_one_batch_size,
    without_input,
    Subclassed,
)


@pytest.mark.parametrize("make", MAKERS)
def test_the_plain_form_takes_any_number_of_images_of_one_size(
    make: Callable[[], KerasModel],
) -> None:
    form = plain_form(make(), SHAPE)
    assert form.input_shape == (None, *SHAPE)
    assert form.output_shape == (None, 3)
    assert lower(form).strip_softmax()
    assert plain_form(form, SHAPE) is form or form.layers[-1].name.startswith("softmax")


@pytest.mark.parametrize("make", MAKERS)
def test_its_layers_are_those_of_the_model(make: Callable[[], KerasModel]) -> None:
    model = make()
    form = plain_form(model, SHAPE)
    assert {id(v) for v in form.trainable_variables} == {id(v) for v in model.trainable_variables}


def test_a_plain_model_stays_itself() -> None:
    model = from_input(keras.Input(SHAPE))
    assert plain_form(model, SHAPE) is model
    assert plain_form(model) is model


@pytest.mark.parametrize("make", [lambda: from_input(keras.Input(SHAPE)), Subclassed])
@pytest.mark.parametrize("pixels", SCALINGS)
def test_pixels_are_brought_to_the_range(make: Callable[[], KerasModel], pixels: str) -> None:
    model, (scale, offset) = make(), SCALINGS[pixels]
    expected = values(model, images() * np.float32(scale) + np.float32(offset))
    form = plain_form(model, SHAPE, pixels)
    np.testing.assert_allclose(values(form, images()), expected, atol=1e-6)
    assert scales_pixels(form) == (pixels != "0..255")


def test_probabilities_of_a_subclassed_model_are_as_they_were() -> None:
    model = Subclassed()
    form = plain_form(model, SHAPE)
    np.testing.assert_allclose(values(form, images()), values(model, images()), atol=1e-6)


def test_logits_of_a_subclassed_model_are_not_taken_for_probabilities() -> None:
    model = Subclassed(activation="linear")
    form = plain_form(model, SHAPE)
    np.testing.assert_allclose(values(form, images()), values(model, images()), atol=1e-6)


def test_a_model_that_was_called_once_says_which_images_it_takes() -> None:
    model = Subclassed()
    model(images())
    assert plain_form(model).input_shape == (None, *SHAPE)


def two_inputs() -> KerasModel:
    first, second = keras.Input(SHAPE), keras.Input(SHAPE)
    return keras.Model([first, second], ending(first + second))


def two_outputs() -> KerasModel:
    given = keras.Input(SHAPE)
    return keras.Model(given, [ending(given), ending(given)])


def twenty_in_its_operations() -> KerasModel:
    given = keras.Input(batch_shape=(20, *SHAPE))
    rows = keras.ops.reshape(given, (20, -1))
    return keras.Model(given, layers.Dense(3, activation="softmax")(rows))


class TwoAnswers(Subclassed):
    """Gives a dictionary of two."""

    def call(self, images: Any) -> Any:
        answer = super().call(images)
        return {"first": answer, "second": answer}


class Broken(Subclassed):
    """Cannot be called."""

    def call(self, images: Any) -> Any:
        raise RuntimeError(f"no such luck with {images.dtype}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (two_inputs, "has two inputs; a classifier takes one image"),
        (two_outputs, r"has two outputs; .* bring keras.Model\(model.inputs, model.outputs\[0\]\)"),
        (twenty_in_its_operations, "a batch size of 20 in its operations"),
        (TwoAnswers, "has two outputs"),
        (Broken, "no such luck"),
    ],
)
def test_what_has_no_plain_form_is_refused_in_one_line(
    make: Callable[[], KerasModel], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        plain_form(make(), SHAPE)
    assert "\n" not in str(error.value)


def test_a_range_that_does_not_exist_or_was_given_before_is_refused() -> None:
    with pytest.raises(UsageError, match=r"choose from 0..255, 0..1, -1..1"):
        plain_form(from_input(keras.Input(SHAPE)), SHAPE, "0..2")
    form = plain_form(from_input(keras.Input(SHAPE)), SHAPE, "0..1")
    with pytest.raises(UsageError, match="was given a range already"):
        plain_form(form, SHAPE, "0..1")
