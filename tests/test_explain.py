"""Saliency lies on the shape, its numbers add up, and the model is left unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cifarlab import explain
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.named import shapes
from cifarlab.errors import InputError
from cifarlab.explain import (
    attributions,
    feature_maps,
    first_layer_filters,
    grad_cam,
    integrated_gradients,
)
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.fast import FAST94
from cifarlab.recipes.parts import ModelSpec
from cifarlab.training.train import train
from support import one_line
from tiny import CLASSES, SIDE, dropout_model, tiny_split

layers = keras.layers
AIR = {**FAST94.model.arguments, "widths": (16, 24, 24)}


# --- images with something in one corner


def small_shape(
    shape: int, corner: int, colours: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """A shape of shapes10 at half its size, in one quarter of a background like shapes10's."""
    drawn = Image.fromarray(shapes._mask(shapes.CLASSES[shape], generator).astype(np.float32))
    row, column = divmod(corner, 2)
    mask = np.zeros((32, 32, 1))
    quarter = np.asarray(drawn.resize((16, 16), Image.Resampling.BOX))
    mask[16 * row :, 16 * column :][:16, :16, 0] = quarter
    back, front = (shapes._texture(colour, generator) for colour in colours)
    image = (1 - mask) * back + mask * front + generator.normal(0, shapes.NOISE, (32, 32, 3))
    return np.asarray(image.clip(0, 255).round(), np.uint8)


def shape_image(label: int, corner: int, generator: np.random.Generator) -> np.ndarray:
    """Circles, crosses and bars, each in two random colours."""
    shape = shapes.CLASSES.index(("circle", "cross", "bar")[label])
    # Lighter than the background, so that few images are enough to learn from.
    colours = np.array(sorted(shapes._two_colours(generator), key=np.sum))
    return small_shape(shape, corner, colours, generator)


def colour_image(label: int, corner: int, generator: np.random.Generator) -> np.ndarray:
    """Red, green and blue shapes of all ten classes on grey, which a small baseline can learn."""
    front = np.array([(220, 60, 60), (60, 200, 60), (70, 80, 230)][label])
    back = np.full(3, generator.uniform(60, 190))
    colours = np.array([back, front + generator.uniform(-25, 25, 3)])
    return small_shape(int(generator.integers(10)), corner, colours, generator)


def in_corners(draw, count: int, part: int) -> Split:
    """Each class in each corner in turn."""
    labels, corners = np.arange(count) % 3, _corners(count)
    images = [
        draw(int(label), int(corner), np.random.default_rng([part, i]))
        for i, (label, corner) in enumerate(zip(labels, corners, strict=True))
    ]
    return Split(images=np.stack(images), labels=labels.astype(np.int64))


def _corners(count: int) -> np.ndarray:
    return np.arange(count) // 3 % 4


def share_in_corner(saliency: np.ndarray) -> np.ndarray:
    rows, columns = np.divmod(_corners(len(saliency)), 2)
    shares = [
        s[16 * r :, 16 * c :][:16, :16].sum() / s.sum()
        for s, r, c in zip(saliency, rows, columns, strict=True)
    ]
    return np.array(shares)


def trained(draw, recipe, count: int, directory) -> tuple[Classifier, Split]:
    parts = [in_corners(draw, n, part) for part, n in enumerate((count, 60, 72))]
    a, b, c = parts
    data = Dataset(
        name="corners",
        source="drawn by the tests",
        class_names=("a", "b", "c"),
        train=a,
        validation=b,
        test=c,
    )
    run = train(recipe, data, directory=directory)
    classifier = Classifier.load(run.directory, device="cpu")
    assert run.metrics.test.accuracy > 0.85
    return classifier, data.test


@pytest.fixture(scope="module")
def air(tmp_path_factory):
    recipe = replace(
        FAST94,
        model=ModelSpec(name="airnet", arguments=AIR),
        epochs=3,
        batch_size=100,
        micro_batch=None,
        resolution=(),
        train_on="train",
    )
    return trained(shape_image, recipe, 900, tmp_path_factory.mktemp("air") / "run")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    model = ModelSpec(name="baseline", arguments={"filters": [8, 16], "units": 64})
    recipe = replace(BASELINE, model=model, epochs=6, batch_size=32, stop=None, augment=())
    return trained(colour_image, recipe, 480, tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize("net", ["air", "plain"])
def test_the_heat_is_where_the_shape_is(net, request):
    classifier, test = request.getfixturevalue(net)
    for classes in (None, test.labels):
        shares = share_in_corner(grad_cam(classifier, test.images, classes))
        assert shares.mean() > 0.5
        for corner in range(4):
            assert shares[_corners(len(shares)) == corner].mean() > 0.45
    assert shares.mean() > {"air": 0.75, "plain": 0.5}[net]


def test_pixels_of_the_shape_matter_most(air):
    classifier, test = air
    result = integrated_gradients(classifier, test.images[:24], test.labels[:24], steps=16)
    assert share_in_corner(result).mean() > 0.5


@pytest.mark.parametrize("net", ["air", "plain"])
def test_attributions_add_up_to_what_the_logit_gains(net, request):
    classifier, test = request.getfixturevalue(net)
    images, labels = test.images[:12], test.labels[:12]
    result = attributions(classifier, images, labels, steps=128)
    assert result.shape == images.shape
    grey = np.full_like(images, explain.GREY, np.float32)

    def logits(pixels):
        with torch.no_grad():
            return classifier.lowered(torch.tensor(pixels)).numpy()[np.arange(12), labels]

    gained = logits(images.astype(np.float32)) - logits(grey)
    sums = result.sum(axis=(1, 2, 3))
    assert np.abs(sums - gained).mean() < 0.02 * np.abs(gained).mean()


# --- for every kind of model


def shared_convolution() -> keras.Model:
    entrance = keras.Input((SIDE, SIDE, 3))
    convolution = layers.Conv2D(3, 3, padding="same", name="shared")
    x = layers.Rescaling(1 / 255)(entrance)
    x = layers.Add()([convolution(x), convolution(convolution(x))])
    x = layers.GlobalAveragePooling2D()(layers.SeparableConv2D(5, 3, name="separable")(x))
    return keras.Model(entrance, layers.Dense(3, activation="softmax")(x))


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3, strides=6)])
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            inner,
            layers.GlobalMaxPooling2D(keepdims=True),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def partly_run_by_keras() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activity_regularizer="l2"),
            layers.Conv2DTranspose(4, 3, trainable=False),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


MODELS = {
    "baseline": lambda: baseline((SIDE, SIDE, 3), 3, filters=(4, 6), units=8),
    "fast94": lambda: airnet((SIDE, SIDE, 3), 3, **{**AIR, "widths": (4, 6, 8)}),
    "residual": lambda: airnet((SIDE, SIDE, 3), 3, widths=(4, 6, 8), depth=3, residual=True),
    "dropout": dropout_model,
    "shared": shared_convolution,
    "nested": nested,
    "partly run by Keras": partly_run_by_keras,
}


@pytest.fixture(scope="module", params=MODELS)
def classifier(request) -> Classifier:
    keras.utils.set_random_seed(1)
    return Classifier.from_keras(MODELS[request.param](), CLASSES, device="cpu")


def without_convolution() -> Classifier:
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ],
        name="flat",
    )
    return Classifier.from_keras(model, CLASSES, device="cpu")


@pytest.mark.parametrize("explain_images", [grad_cam, integrated_gradients])
def test_saliency_is_a_number_from_0_to_1_for_each_pixel(explain_images, classifier):
    images = tiny_split(5, 3).images
    result = explain_images(classifier, images)
    assert result.shape == (5, SIDE, SIDE)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert result.min() >= 0
    assert set(result.max(axis=(1, 2))) <= {0.0, 1.0}


@pytest.mark.parametrize("explain_images", [grad_cam, attributions])
def test_other_images_and_batches_do_not_matter(explain_images, monkeypatch):
    classifier = Classifier.from_keras(MODELS["fast94"](), CLASSES, device="cpu")
    images = tiny_split(7, 3).images
    classes = np.arange(7) % 3
    together = explain_images(classifier, images, classes)
    monkeypatch.setattr(explain, "BATCH", 3)
    np.testing.assert_allclose(explain_images(classifier, images, classes), together, atol=1e-4)
    alone = explain_images(classifier, images[4:5], classes[4:5])
    np.testing.assert_allclose(alone, together[4:5], atol=1e-4)


@pytest.mark.parametrize("explain_images", [grad_cam, integrated_gradients])
def test_by_default_the_predicted_class_is_explained(explain_images, classifier):
    images = tiny_split(4, 3).images
    predicted = classifier.predict_proba(images).argmax(1)
    np.testing.assert_array_equal(
        explain_images(classifier, images), explain_images(classifier, images, predicted)
    )


def test_a_model_without_convolution_has_attributions_only():
    flat = without_convolution()
    images = tiny_split(2, 0).images
    assert integrated_gradients(flat, images).max() == 1
    explanations = (
        grad_cam,
        lambda c, x: feature_maps(c, x[0]),
        lambda c, _: first_layer_filters(c),
    )
    for explain_images in explanations:
        with pytest.raises(InputError) as error:
            explain_images(flat, images)
        assert "no convolution" in one_line(error)


def state(classifier: Classifier):
    lowered = classifier.lowered
    return (
        [(module.training, len(module._forward_hooks)) for module in lowered.modules()],
        [(p.requires_grad, p.grad, p.detach().clone()) for p in lowered.parameters()],
        [b.clone() for b in lowered.buffers()],
    )


def same(one, two) -> bool:
    return str(one) == str(two)


@pytest.mark.parametrize("explain_images", [grad_cam, integrated_gradients])
def test_the_model_is_left_as_it_was(explain_images, classifier, monkeypatch):
    images = tiny_split(2, 0).images
    classifier.predict_proba(images)
    # A mode that differs from module to module; the layers stay in evaluation.
    classifier.lowered.training = True
    before = state(classifier)
    explain_images(classifier, images)
    assert same(before, state(classifier))

    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr(explain, "_wanted", broken)
    with pytest.raises(RuntimeError, match="broken"):
        explain_images(classifier, images)
    assert same(before, state(classifier))
    classifier.lowered.eval()


def test_it_works_where_gradients_are_off(classifier):
    images = tiny_split(2, 0).images
    expected = grad_cam(classifier, images)
    with torch.no_grad():
        np.testing.assert_array_equal(grad_cam(classifier, images), expected)


# --- layers


def test_feature_maps_are_what_keras_computes(classifier):
    image = tiny_split(1, 0).images[0]
    if any(isinstance(layer, layers.Conv2D) for layer in classifier.model.layers[:3]):
        maps = feature_maps(classifier, image)
        assert maps.dtype == np.float32
        assert maps.ndim == 3
        assert np.isfinite(maps).all()
    with pytest.raises(InputError) as error:
        feature_maps(classifier, image, "nothing")
    assert "rescaling" in one_line(error) or "normalization" in str(error.value)


def test_feature_maps_by_hand():
    classifier = Classifier.from_keras(MODELS["baseline"](), CLASSES, device="cpu")
    image = tiny_split(1, 0).images[0]
    names = [layer.name for layer in classifier.model.layers]
    rescaled = feature_maps(classifier, image, names[0])
    np.testing.assert_allclose(rescaled, image / 255, atol=1e-6)
    first = feature_maps(classifier, image)
    assert first.shape == (SIDE, SIDE, 4)
    patch, (kernel, bias) = rescaled[4:7, 5:8], classifier.model.layers[1].get_weights()
    expected = np.maximum(np.einsum("hwc,hwcn->n", patch, kernel) + bias, 0)
    np.testing.assert_allclose(first[5, 6], expected, atol=1e-5)


def test_filters_are_the_kernel():
    classifier = Classifier.from_keras(MODELS["fast94"](), CLASSES, device="cpu")
    result = first_layer_filters(classifier)
    kernel = classifier.model.get_layer("whitening").get_weights()[0]
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, kernel.transpose(3, 0, 1, 2))


# --- what is refused


@pytest.mark.parametrize("explain_images", [grad_cam, integrated_gradients, attributions])
def test_other_classes_and_images_are_refused(explain_images):
    classifier = Classifier.from_keras(MODELS["baseline"](), CLASSES, device="cpu")
    images = tiny_split(3, 0).images
    for classes in (np.array([0, 1]), np.array([0, 1, 3]), np.array([-1, 0, 0]), np.ones(3)):
        with pytest.raises(InputError) as error:
            explain_images(classifier, images, classes)
        assert "0 to 2" in one_line(error)
    with pytest.raises(InputError):
        explain_images(classifier, images.astype(np.float32))


def test_steps_must_be_positive():
    classifier = Classifier.from_keras(MODELS["baseline"](), CLASSES, device="cpu")
    with pytest.raises(InputError) as error:
        integrated_gradients(classifier, tiny_split(1, 0).images, steps=0)
    assert "steps is 0" in one_line(error)
