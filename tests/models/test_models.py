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


@pytest.mark.parametrize(
    "shape", [(8, 8, 1), (8, 40, 3), (10, 256, 1), (256, 9, 3), (256, 256, 1)], ids=str
)
def test_no_map_vanishes_and_no_layer_explodes(build, shape):
    model = build(shape, 2)
    maps = [layer.output.shape for layer in model.layers if len(layer.output.shape) == 4]
    assert all(min(sides[1:3]) >= 1 for sides in maps)
    assert max(weight.shape[0] for weight in model.weights) <= 12 * 12 * 64
    assert lower(model).not_lowered == ()


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
    assert model.count_params() == 545_482
    activations = [layer.activation.__name__ for layer in model.layers if hasattr(layer, "kernel")]
    assert activations == ["relu", "relu", "relu", "softmax"]


@pytest.mark.parametrize(
    ("side", "blocks"),
    [(8, 2), (28, 2), (32, 2), (51, 2), (52, 3), (64, 3), (103, 3), (104, 4), (207, 4), (256, 5)],
)
def test_the_baseline_has_more_blocks_for_larger_images(side, blocks):
    model = MODELS["baseline"]((side, side, 3))
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == blocks
