"""Every model in ``MODELS``: pixels in, probabilities out, stock layers, native form."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from cifarlab.backend import keras
from cifarlab.lowering.model import lower
from cifarlab.models import MODELS


@pytest.fixture(params=sorted(MODELS))
def build(request):
    return MODELS[request.param]


@pytest.mark.parametrize(("shape", "classes"), [((32, 32, 3), 10), ((16, 24, 3), 2)])
def test_pixels_in_probabilities_out(build, shape, classes):
    model = build(shape, classes)
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype("float32")
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (4, classes)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert (probabilities >= 0).all()


def test_every_layer_is_stock_and_native(build):
    model = build()
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert lower(model).not_lowered == ()


def test_it_can_be_called_without_arguments_and_is_documented(build):
    assert build().output_shape == (None, 10)
    assert inspect.getdoc(build)


def test_the_baseline_is_the_network_that_learners_know():
    model = MODELS["baseline"]()
    assert isinstance(model, keras.Sequential)
    assert [type(layer).__name__ for layer in model.layers] == [
        "Rescaling",
        "Conv2D",
        "BatchNormalization",
        "MaxPooling2D",
        "Conv2D",
        "BatchNormalization",
        "MaxPooling2D",
        "Flatten",
        "Dense",
        "Dense",
    ]
    activations = [layer.activation.__name__ for layer in model.layers if hasattr(layer, "kernel")]
    assert activations == ["relu", "relu", "relu", "softmax"]
