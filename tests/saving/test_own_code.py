"""Files that ask for the user's own classes: only those that are named by hand are added."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import UnsafeError, UsageError
from cifarlab.saving.model_file import load_model, save_model
from cifarlab.saving.own_code import scope_of
from cifarlab.saving.safe_config import checked_config

layers = keras.layers
SHAPE = (6, 6, 3)


class Times(layers.Layer):
    """Not registered, with a setting and a weight."""

    def __init__(self, factor: float = 1.0, **more: Any) -> None:
        super().__init__(**more)
        self.factor = factor

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        return x * self.factor * self.scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("zoo")
class Registered(Times):
    """Registered under another name."""


@keras.saving.register_keras_serializable("zoo")
class Dense(Times):
    """Called as a stock layer is."""


@keras.saving.register_keras_serializable("zoo")
def wavy(x: Any) -> Any:
    """An activation."""
    return keras.ops.sin(x)


class Net(keras.Model):
    """A subclassed model."""

    def __init__(self, units: int, **more: Any) -> None:
        super().__init__(**more)
        self.units = units
        self.times, self.flatten = Times(3.0), layers.Flatten()
        self.dense = layers.Dense(units, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.dense(self.flatten(self.times(x)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def network(*own: Any) -> KerasModel:
    return keras.Sequential(
        [keras.Input(SHAPE), *own, layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


def nested_net() -> KerasModel:
    images = keras.Input(SHAPE)
    return keras.Model(images, Net(3)(images))


CASES = (
    (lambda: network(Times(2.0)), {"Times": Times}, (".keras", ".h5")),
    (lambda: network(Registered(2.0)), {"Registered": Registered}, (".keras", ".h5")),
    (lambda: network(Dense(2.0)), {"Dense": Dense}, (".keras", ".h5")),
    (lambda: network(layers.Conv2D(2, 3, activation=wavy)), {"wavy": wavy}, (".keras",)),
    (nested_net, {"Net": Net}, (".keras",)),
)


def images() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).random((4, *SHAPE)).astype("float32")


def values(model: KerasModel) -> np.ndarray[Any, Any]:
    return np.asarray(model.predict(images(), verbose=0))


def saved(model: KerasModel, path: Path) -> Path:
    model.set_weights(
        [np.random.default_rng(1).uniform(-1, 1, w.shape) for w in model.get_weights()]
    )
    save_model(model, path, class_names=("a", "b", "c"), recipe={})
    return path


@pytest.mark.parametrize(("make", "own", "suffixes"), CASES)
def test_what_is_named_loads_and_nothing_else_does(
    make: Any, own: dict[str, Any], suffixes: tuple[str, ...], tmp_path: Path
) -> None:
    for suffix in suffixes:
        model = make()
        path = saved(model, tmp_path / f"m{suffix}")
        np.testing.assert_array_equal(values(load_model(path, own).model), values(model))
        with pytest.raises(UnsafeError, match="custom_objects="):
            load_model(path)
        with pytest.raises(UnsafeError):
            load_model(path, {"Another": Times})


def test_a_subclassed_model_that_keras_saved_itself_loads(tmp_path: Path) -> None:
    model = Net(3)
    before = np.asarray(model(images()).detach())
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras", {"Net": Net}).model
    np.testing.assert_allclose(np.asarray(loaded(images()).detach()), before, atol=1e-6)


def test_naming_a_class_lets_no_lambda_in(tmp_path: Path) -> None:
    model = network(Times(), layers.Lambda(lambda x: x * 2))
    model.save(tmp_path / "m.keras")
    with pytest.raises(UnsafeError, match="Lambda"):
        load_model(tmp_path / "m.keras", {"Times": Times})
    with pytest.raises(UsageError, match="Keras's own"):
        load_model(tmp_path / "m.keras", {"Times": Times, "Lambda": layers.Lambda})


@pytest.mark.parametrize("given", [[Times], {"Times": "Times"}, {1: Times}, "Times"])
def test_what_names_no_classes_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="give your classes by name"):
        scope_of(given)


def test_a_name_registered_elsewhere_does_not_stand_in_for_a_named_class() -> None:
    """A file may not reach other registered code by way of a class that was named."""
    part = {"module": "x", "class_name": "Times", "registered_name": "zoo>Dense", "config": {}}
    with pytest.raises(UnsafeError):
        checked_config(json.loads(json.dumps(part)), "m.keras", scope_of({"Times": Times}))
    keras_part = part | {"module": "keras.layers", "registered_name": None, "class_name": "Lambda"}
    with pytest.raises(UnsafeError):
        checked_config(keras_part, "m.keras", scope_of({"Lambda": Times}))
