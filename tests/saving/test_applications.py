"""Networks of ``keras.applications`` are read by the safe loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.image_models import FAMILIES
from cifarlab.backend import keras
from cifarlab.errors import UnsafeError
from cifarlab.saving.model_file import load_model
from cifarlab.saving.safe_config import checked_config

# Keras itself does not build NASNetMobile on PyTorch.
SMALLEST = {name: side for name, side in FAMILIES.items() if name != "NASNetMobile"}
# Building the others takes minutes.
QUICK = ("ConvNeXtTiny", "MobileNetV3Small", "VGG16")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALLEST],
)
def test_the_description_of_every_family_is_accepted(name: str) -> None:
    side = SMALLEST[name]
    with keras.device("meta"):
        build = getattr(keras.applications, name)
        model = build(weights=None, input_shape=(side, side, 3), classes=10)
    checked_config(keras.saving.serialize_keras_object(model), f"{name}.keras")


def test_the_layers_that_networks_have_of_their_own_keep_their_values(tmp_path: Path) -> None:
    applications = keras.src.applications
    images = keras.Input((8, 8, 3))
    x = applications.convnext.LayerScale(0.5, 3)(images)
    x = applications.inception_resnet_v2.CustomScaleLayer(0.3)([x, images])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(images, keras.layers.Dense(3, activation="softmax")(x))
    model.set_weights([np.full(w.shape, 0.7) for w in model.get_weights()])
    model.save(tmp_path / "m.keras")
    noise = np.random.default_rng(0).random((2, 8, 8, 3)).astype("float32")
    loaded = load_model(tmp_path / "m.keras").model
    np.testing.assert_array_equal(loaded.predict(noise, verbose=0), model.predict(noise, verbose=0))


def test_nothing_else_of_those_modules_is_allowed() -> None:
    part = {"class_name": "ConvNeXt", "module": "keras.src.applications.convnext", "config": {}}
    with pytest.raises(UnsafeError, match="is not a stock part"):
        checked_config(part, "m.keras")
