"""``airnet``: its layers, its initial weights, and agreement with plain Keras."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import InputError
from cifarlab.lowering.model import lower
from cifarlab.lowering.predict import predict_logits
from cifarlab.models.airnet import MEANS, airnet
from cifarlab.models.baseline import baseline
from cifarlab.models.whitening import whiten, whitening_kernel
from support import one_line

SMALL = (8, 12, 16)


def some_images(count: int, side: int = 32) -> np.ndarray:
    """Smooth random images, whose neighbouring pixels are alike as in photographs."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, side // 4, side // 4, 3))
    noise = rng.integers(-20, 21, (count, side, side, 3))
    return (coarse.repeat(4, 1).repeat(4, 2) + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("changes", [{}, {"depth": 3, "residual": True}, {"whitening_bias": False}])
def test_it_is_lowered_completely_and_agrees_with_keras(changes):
    keras.utils.set_random_seed(0)
    model = airnet(widths=SMALL, **changes)
    whiten(model, some_images(50), 5e-4)
    lowered = lower(model)
    assert lowered.not_lowered == ()
    assert lowered.strip_softmax()
    images = some_images(20)
    predicted = predict_logits(lowered, torch.from_numpy(images), torch.float32).softmax(1)
    expected = model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(predicted.numpy(), expected, atol=1e-5)


def test_the_published_network_has_the_published_size():
    trained = sum(int(np.prod(w.shape)) for w in airnet().trainable_weights)
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert trained == 12 * 24 + 24 + convolutions + 2 * (64 + 256 + 256) + 256 * 10 == 1_971_640
    deep = airnet(widths=(128, 384, 512), depth=3, residual=True)
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in deep.layers) == 10
    assert sum(isinstance(layer, keras.layers.Add) for layer in deep.layers) == 3


def test_convolutions_begin_as_identities():
    model = airnet(widths=SMALL)
    kernel = keras.ops.convert_to_numpy(model.get_layer("block1_conv2").kernel)
    identity = np.zeros_like(kernel)
    identity[1, 1] = np.eye(8)
    np.testing.assert_array_equal(kernel, identity)
    wide = keras.ops.convert_to_numpy(model.get_layer("block2_conv1").kernel)
    assert wide[1, 1, :, :8].tolist() == np.eye(8).tolist()
    limit = (8 * 9) ** -0.5
    assert 0.9 * limit < np.abs(wide[:, :, :, 8:]).max() <= limit


def test_filters_beyond_the_identities_may_begin_as_cosines_of_single_channels():
    model = airnet(widths=(32, 40, 16), cosine_filters=True)
    kernel = keras.ops.convert_to_numpy(model.get_layer("block1_conv1").kernel)
    beyond = kernel[:, :, :, 24:]
    assert (beyond**2).sum((0, 1, 2)) == pytest.approx(np.ones(8))
    assert np.abs(beyond).sum((0, 1)).astype(bool).sum(0).tolist() == [1] * 8
    assert np.abs(beyond.sum((0, 1, 2))).max() < 1e-6
    more = keras.ops.convert_to_numpy(airnet(cosine_filters=True).get_layer("block2_conv1").kernel)
    of_one_channel = more[:, :, 0, [64, 128, 192]].reshape(9, 3)
    np.testing.assert_allclose(of_one_channel.T @ of_one_channel, np.eye(3), atol=1e-6)


def test_the_head_begins_with_unit_deviation():
    head = keras.ops.convert_to_numpy(airnet(widths=SMALL).get_layer("head").kernel)
    assert float(head.std()) == pytest.approx(1.0, rel=1e-5)


def test_whitening_makes_patches_uncorrelated():
    images = some_images(300).astype("float32") / 128 - 1
    kernel = whitening_kernel(images, 2, 24, 1e-9)
    half = kernel[..., :12]
    np.testing.assert_array_equal(kernel[..., 12:], -half)
    windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    responses = np.einsum("nijcuv,uvcf->nijf", windows, half).reshape(-1, 12)
    np.testing.assert_allclose(responses.T @ responses / len(responses), np.eye(12), atol=2e-3)


def test_whitening_uses_the_input_of_the_layer_and_changes_nothing_else():
    model = airnet(widths=SMALL)
    before = {v.path: keras.ops.convert_to_numpy(v) for v in model.variables}
    whiten(model, some_images(100), 5e-4)
    changed = [
        v.path for v in model.variables if (keras.ops.convert_to_numpy(v) != before[v.path]).any()
    ]
    assert changed == ["whitening/kernel"]
    normalised = model.get_layer("normalization")(some_images(100).astype("float32"))
    expected = whitening_kernel(keras.ops.convert_to_numpy(normalised), 2, 24, 5e-4)
    kernel = keras.ops.convert_to_numpy(model.get_layer("whitening").kernel)
    np.testing.assert_allclose(kernel, expected, atol=1e-5)


def test_a_model_without_such_a_layer_is_refused():
    with pytest.raises(InputError) as error:
        whiten(baseline(), some_images(10), 5e-4)
    assert "whitening" in one_line(error)


@pytest.mark.parametrize("filters", [25, 26])
def test_impossible_numbers_of_filters_are_refused(filters):
    with pytest.raises(InputError) as error:
        whitening_kernel(np.zeros((2, 4, 4, 3), "float32"), 2, filters, 5e-4)
    assert "up to 24" in one_line(error)


def test_grey_images_have_a_third_of_the_filters_and_statistics_of_their_own():
    model = airnet((28, 28, 1), widths=SMALL)
    grey = some_images(50, 28)[..., :1]
    whiten(model, grey, 5e-4)
    kernel = keras.ops.convert_to_numpy(model.get_layer("whitening").kernel)
    assert kernel.shape == (2, 2, 1, 8)
    np.testing.assert_array_equal(kernel[..., 4:], -kernel[..., :4])
    mean = np.full((1, 28, 28, 1), 255 * MEANS[1][0], "float32")
    normalised = keras.ops.convert_to_numpy(model.get_layer("normalization")(mean))
    np.testing.assert_allclose(normalised, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "windows"),
    [
        ((32, 32, 3), [(2, 2), (2, 2), (2, 2)]),
        ((10, 256, 3), [(2, 2), (2, 2), (2, 2)]),
        ((8, 40, 3), [(2, 2), (2, 2), (1, 2)]),
        ((8, 8, 1), [(2, 2), (2, 2)]),
    ],
    ids=str,
)
def test_a_pooling_halves_only_sides_of_two_or_more(shape, windows):
    model = airnet(shape, widths=SMALL)
    poolings = [x for x in model.layers if isinstance(x, keras.layers.MaxPooling2D)]
    assert [tuple(pooling.pool_size) for pooling in poolings] == windows


def test_whitening_from_parts_of_the_images_gives_the_same_filters(monkeypatch):
    images = some_images(40).astype("float32") / 128 - 1
    whole = whitening_kernel(images, 2, 24, 5e-4)
    monkeypatch.setattr("cifarlab.models.whitening.PIXELS_AT_ONCE", 7 * 32 * 32)
    parts = whitening_kernel(images, 2, 24, 5e-4)
    np.testing.assert_allclose(np.abs(parts), np.abs(whole), rtol=1e-3, atol=1e-3)
