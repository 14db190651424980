"""Files of Keras 2 and tf.keras: the same model, weights in order, or the reason in full.

The descriptions are rewritten as those versions write them; what they are was learnt from files
that tf.keras 2.21 wrote, whose models give the same values here within rounding.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UnsafeError
from cifarlab.saving.model_file import load_model

layers = keras.layers
SHAPE = (8, 8, 3)
pytestmark = pytest.mark.filterwarnings("ignore:You are saving")

# What Keras 2 says of layers beside what Keras 3 says.
SURPLUS: dict[str, dict[str, Any]] = {
    "SeparableConv2D": {
        "groups": 1,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "kernel_regularizer": None,
        "kernel_constraint": None,
    },
    "DepthwiseConv2D": {"groups": 1, "kernel_regularizer": None},
    "Conv2DTranspose": {"groups": 1},
    "BatchNormalization": {"renorm": False, "fused": True, "virtual_batch_size": None},
    "SpatialDropout2D": {"trainable": True, "noise_shape": None},
    "LSTM": {"implementation": 2, "time_major": False},
    "RandomFlip": {"rng_type": "stateful", "auto_vectorize": True},
    "InputLayer": {"sparse": False, "ragged": False},
}


def convolutions() -> KerasModel:
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.RandomFlip(),
            layers.Rescaling(1 / 255),
            layers.SeparableConv2D(4, 3),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
            layers.SpatialDropout2D(0.1),
            layers.Conv2DTranspose(2, 3),
            layers.Reshape((-1, 2)),
            layers.LSTM(4),
            layers.Dense(3, activation="softmax"),
        ]
    )


def graph() -> KerasModel:
    images = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, padding="same")(images)
    x = layers.Add()([x, layers.Conv2D(4, 1)(x)])
    return keras.Model(
        images, layers.Dense(3, activation="softmax")(layers.GlobalMaxPooling2D()(x))
    )


def of_parts() -> KerasModel:
    """As Teachable Machine makes them: models in models, the first frozen."""
    images = keras.Input(SHAPE)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(images))
    body = keras.Model(images, layers.ReLU()(x))
    body.trainable = False
    head = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    pooled = keras.Sequential([keras.Input(SHAPE), body, layers.GlobalAveragePooling2D()])
    return keras.Sequential([keras.Input(SHAPE), pooled, head])


def as_keras_2(part: Any) -> Any:
    """Rewrite a description in the older form as Keras 2 has it."""
    if isinstance(part, list):
        return [as_keras_2(item) for item in part]
    if not isinstance(part, dict):
        return part
    part = {key: as_keras_2(value) for key, value in part.items()}
    name, config = part.get("class_name"), part.get("config")
    if not isinstance(config, dict):
        return part
    config |= SURPLUS.get(name, {})
    if isinstance(config.get("dtype"), dict):
        config["dtype"] = config["dtype"]["config"]["name"]
    if name == "InputLayer":
        config["batch_input_shape"] = config.pop("batch_shape")
    if name == "BatchNormalization":
        config["axis"] = [3]
    if name == "Functional":
        part |= {"module": "tf_keras.src.engine.functional", "registered_name": name}
        for ends in ("input_layers", "output_layers"):
            config[ends] = [config[ends]] if isinstance(config[ends][0], str) else config[ends]
    return part


def older(path: Path, model: KerasModel, change: Callable[[Any], Any] = as_keras_2) -> KerasModel:
    """Save ``model`` with weights that no initializer gives, as Keras 2 would have."""
    draw = np.random.default_rng(1)
    model.set_weights([draw.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    model.save(path)
    with h5py.File(path, "a") as file:
        description = change(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(description)
        file.attrs["keras_version"] = "2.15.0"
    return model


def images() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (4, *SHAPE)).astype("float32")


@pytest.mark.parametrize("make", [convolutions, graph, of_parts])
def test_the_same_model_with_its_weights_in_order(
    make: Callable[[], KerasModel], tmp_path: Path
) -> None:
    model = older(tmp_path / "m.h5", make())
    loaded = load_model(tmp_path / "m.h5").model
    for expected, found in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(
        loaded.predict(images(), verbose=0), model.predict(images(), verbose=0), atol=1e-6
    )
    assert len(loaded.trainable_variables) == len(model.trainable_variables)


def without_input(description: Any) -> Any:
    """A Sequential whose first layer has the input's shape, in the oldest form."""
    description = as_keras_2(description)
    first, *others = description["config"]["layers"]
    others[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
    description["config"] = others
    return description


def test_a_sequential_without_an_input_layer(tmp_path: Path) -> None:
    model = older(tmp_path / "m.h5", convolutions(), without_input)
    loaded = load_model(tmp_path / "m.h5").model
    assert loaded.input_shape == (None, *SHAPE)
    np.testing.assert_allclose(
        loaded.predict(images(), verbose=0), model.predict(images(), verbose=0), atol=1e-6
    )


def test_a_setting_that_says_something_is_not_dropped(tmp_path: Path) -> None:
    def time_first(description: Any) -> Any:
        text = json.dumps(as_keras_2(description)).replace('"time_major": false', '"time_major": 1')
        return json.loads(text)

    older(tmp_path / "m.h5", convolutions(), time_first)
    with pytest.raises(InputError, match="'time_major': 1") as error:
        load_model(tmp_path / "m.h5")
    assert "save it there as .keras" in str(error.value)


def test_code_of_tensorflow_is_refused_with_what_to_do(tmp_path: Path) -> None:
    def with_operation(description: Any) -> Any:
        part = description["config"]["layers"][2]
        part["class_name"] = "TFOpLambda"
        return description

    older(tmp_path / "m.h5", convolutions(), with_operation)
    with pytest.raises(UnsafeError, match=r"TFOpLambda is code of TensorFlow.*Rescaling"):
        load_model(tmp_path / "m.h5")
