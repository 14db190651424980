"""Models that people bring: trained, saved, loaded again, or refused before the first epoch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cifarlab
from cifarlab.backend import KerasModel, keras
from cifarlab.errors import UnsafeError, UsageError
from cifarlab.runtime.progress import Silent
from cifarlab.training.pixel_range import choose_pixels
from cifarlab.training.train import TrainOptions, train
from tiny import CLASSES, SIDE, saved_weights, tiny_dataset

layers = keras.layers
SHAPE = (SIDE, SIDE, 3)
CPU = TrainOptions(device="cpu", precision="float32", seed=3)


class Spoken(Silent):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        """Keep one."""
        self.lines.append(text)


class Net(keras.Model):
    """A subclassed model."""

    def __init__(self, units: int = 3, **more: Any) -> None:
        super().__init__(**more)
        self.units = units
        self.scale, self.flatten = layers.Rescaling(1 / 255), layers.Flatten()
        self.dense = layers.Dense(units, activation="softmax")

    def call(self, images: Any) -> Any:
        return self.dense(self.flatten(self.scale(images)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Forgetful(layers.Layer):
    """Its configuration leaves its setting out."""

    def __init__(self, factor: float = 1.0, **more: Any) -> None:
        super().__init__(**more)
        self.factor = factor

    def call(self, x: Any) -> Any:
        return x * self.factor

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config())


class Noisy(layers.Layer):
    """Draws from Keras's generator for everybody."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + keras.random.normal(keras.ops.shape(x)) if training else x


def network(*first: Any, scaled: bool = True) -> KerasModel:
    scaling = [layers.Rescaling(1 / 255)] if scaled else []
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            *scaling,
            *first,
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    # What layers without a seed have is another one each time.
    for layer in model.layers:
        for generator in getattr(layer, "_seed_generators", ()):
            fresh = np.random.default_rng().integers(0, 2**30, 2)
            generator.state.assign(keras.ops.convert_to_tensor(fresh, generator.state.dtype))
    return model


@pytest.mark.filterwarnings("ignore:.*best.h5. left out")
@pytest.mark.parametrize("called", [False, True])
def test_a_subclassed_model_trains_and_loads_where_its_class_is_named(
    called: bool, tmp_path: Path
) -> None:
    model, spoken = Net(), Spoken()
    if called:
        model(np.zeros((1, *SHAPE)))
    run = train(
        model, tiny_dataset(), epochs=2, directory=tmp_path / "r", options=CPU, progress=spoken
    )
    assert any("run by Keras (slower)" in line for line in spoken.lines)
    assert any("custom_objects={'Net': Net}" in line for line in spoken.lines)
    images = tiny_dataset().test.images
    loaded = cifarlab.Classifier.load(tmp_path / "r", "cpu", custom_objects={"Net": Net})
    np.testing.assert_array_equal(
        loaded.predict_proba(images), run.classifier.predict_proba(images)
    )
    with pytest.raises(UnsafeError, match=r"custom_objects=\{'Net': Net\}"):
        cifarlab.Classifier.load(tmp_path / "r", "cpu")
    # What was given is what was trained.
    trained = np.asarray(model(images.astype("float32")).detach())
    saved = loaded.model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(trained, saved, atol=1e-5)
    again = train(
        str(tmp_path / "r" / "best.keras"),
        tiny_dataset(),
        epochs=1,
        directory=tmp_path / "again",
        options=CPU,
        custom_objects={"Net": Net},
    )
    assert len(again.history) == 1


def test_a_model_that_comes_back_different_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a get_config leaves out a setting"):
        train(network(Forgetful(3.0)), tiny_dataset(), directory=tmp_path / "r", options=CPU)
    assert not (tmp_path / "r" / "history.csv").exists()


# Keras cannot write every random layer as .h5, and says so.
@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.RandomFlip(),
        lambda: layers.RandomBrightness(0.2, value_range=(0, 1)),
        lambda: layers.GaussianNoise(0.2),
        lambda: layers.AlphaDropout(0.2),
        lambda: layers.Dropout(0.4),
        # Keras takes minutes to find out that it cannot load this one from .h5.
        pytest.param(lambda: layers.Pipeline([layers.RandomRotation(0.1)]), marks=pytest.mark.slow),
        Noisy,
    ],
    ids=["flip", "brightness", "noise", "alpha", "dropout", "pipeline", "own"],
)
def test_the_same_seed_gives_the_same_weights(make: Callable[[], Any], tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        train(network(make()), tiny_dataset(), epochs=1, directory=tmp_path / name, options=CPU)
        found = saved_weights(tmp_path / name / "best.keras")
        weights.append({k: v for k, v in found.items() if "dense" in k})
        record = json.loads((tmp_path / name / "environment.json").read_text())
        assert record["reproducible"] == "deterministic"
    assert weights[0]
    assert weights[0] == weights[1]


def made_for(scale: float, offset: float) -> KerasModel:
    """A model that was trained outside, on pixels in another range."""
    model, data = network(scaled=False), tiny_dataset()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    images = data.train.images.astype("float32") * scale + offset
    model.fit(images, data.train.labels, epochs=25, verbose=0)
    return model


@pytest.mark.parametrize(
    ("pixels", "scale", "offset"), [("0..1", 1 / 255, 0.0), ("-1..1", 1 / 127.5, -1.0)]
)
def test_a_model_made_for_another_range_is_given_that_range(
    pixels: str, scale: float, offset: float, tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    made_for(scale, offset).save(path)
    spoken = Spoken()
    run = train(
        str(path),
        tiny_dataset(),
        epochs=1,
        learning_rate=1e-5,
        directory=tmp_path / "r",
        options=CPU,
        progress=spoken,
    )
    assert [line for line in spoken.lines if line.startswith(f"pixels are brought to {pixels}")]
    assert run.metrics.test.accuracy > 0.9
    assert run.history[0]["loss"] < 0.6
    assert json.loads((tmp_path / "r" / "environment.json").read_text())["pixels"] == pixels
    # The file has it inside.
    assert (
        cifarlab.Classifier.load(tmp_path / "r", "cpu").evaluate(tiny_dataset().test).accuracy > 0.9
    )
    given = cifarlab.Classifier.load(path, "cpu", pixels=pixels)
    assert given.evaluate(tiny_dataset().test).accuracy > 0.9


def test_a_range_that_is_given_is_taken() -> None:
    model = made_for(1 / 255, 0.0)
    data = tiny_dataset()
    assert choose_pixels(model, data.train)[0] == "0..1"
    names = CLASSES
    as_they_are = cifarlab.Classifier.from_keras(model, names, "cpu").evaluate(data.test)
    scaled = cifarlab.Classifier.from_keras(model, names, "cpu", pixels="0..1").evaluate(data.test)
    assert as_they_are.accuracy < 0.7 < scaled.accuracy


@pytest.mark.parametrize("scaled", [False, True])
def test_an_untrained_model_stays_as_it_is(scaled: bool) -> None:
    for seed in range(5):
        model = network(scaled=scaled)
        draw = np.random.default_rng(seed)
        model.set_weights([draw.normal(0, 0.1, w.shape) for w in model.get_weights()])
        assert choose_pixels(model, tiny_dataset().train) == ("0..255", "")


def test_pixels_are_about_models_from_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a recipe scales pixels itself"):
        train("baseline", tiny_dataset(), pixels="0..1", directory=tmp_path / "r")
    with pytest.raises(UsageError, match=r"choose from 0..255, 0..1, -1..1"):
        train(network(), tiny_dataset(), pixels="0..2", directory=tmp_path / "r")
    with pytest.raises(UsageError, match="was written by cifarlab"):
        cifarlab.Classifier.load("cifar10", pixels="0..1")


def test_a_model_for_other_classes_says_how_to_keep_its_body() -> None:
    import re

    from cifarlab.training.setup import check_fit

    body = [keras.Input(SHAPE), layers.Flatten(), layers.Dense(8)]
    model = keras.Sequential([*body, layers.Dense(12), layers.Softmax()])
    with pytest.raises(cifarlab.CifarlabError) as error:
        check_fit(model, tiny_dataset())
    found = re.search(r"keras\.Model\(.*?\.output\)\)", str(error.value))
    assert found is not None
    mended = eval(found.group(), {"keras": keras, "model": model})
    check_fit(mended, tiny_dataset())
