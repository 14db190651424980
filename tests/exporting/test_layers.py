"""Models with any stock layer export, with a layer of the user's, too; or one line says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.image_models import LAYERS, SIDE, network_with
from benchmarks.layer_examples import randomised
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.errors import UsageError
from cifarlab.exporting import FORMATS, export, files, parity, runners
from support import one_line

layers, ops = keras.layers, keras.ops
NAMES = tuple("abcdefghij")
# What each was refused for: weights in Keras's hands, sizes that are not constants, operators that
# PyTorch does not write, memory formats, losses and loops that fix the number of images.
KINDS = (
    "AdaptiveAveragePooling2D",
    "AdaptiveMaxPooling1D",
    "AveragePooling2D",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "LSTM",
    "LayerNormalization",
    "MaxPooling2D",
    "MultiHeadAttention",
    "RMSNormalization",
    "Resizing",
    "SpectralNormalization",
    "TimeDistributed",
    "UpSampling2D",
    "ops.image.extract_patches",
    "ops.take",
    "x * 0.5 + 3",
)
TORCH_KINDS = ("ActivityRegularization", "Conv2DTranspose", "MultiHeadAttention")


@keras.saving.register_keras_serializable(package="tests")
class Weighted(layers.Layer):
    """A layer of the user's: a weight for each channel, and the mean over the image."""

    def build(self, shape: Any) -> None:
        self.weight = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x: Any) -> Any:
        height, width, channels = x.shape[1:]
        rows = ops.reshape(x, (-1, height * width, channels))
        return x * self.weight + ops.mean(rows, axis=1)[:, None, None]


def classifier_of(model: Any) -> Classifier:
    return Classifier.from_keras(randomised(model), NAMES, "cpu")


def network_around(*inner: Any) -> Any:
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            *inner,
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def written(classifier: Classifier, format: str, folder: Path) -> runners.Predict:
    if format == "torch":
        files.write_torch(classifier, folder / "model.pt2")
        return runners.plain_torch(folder / "model.pt2")
    return runners.onnxruntime(files.onnx_bytes(classifier))


def check(classifier: Classifier, predict: runners.Predict) -> None:
    images = parity.comparison_images(classifier.input_shape[:2], 9)
    for count in (1, 9):
        expected = classifier.predict_proba(images[:count])
        np.testing.assert_allclose(predict(images[:count]), expected, atol=1e-4)
    # Not merely all the same for every image.
    assert np.ptp(expected, axis=0).max() > 1e-3


@pytest.mark.parametrize(
    ("format", "name"),
    [("onnx", name) for name in KINDS] + [("torch", name) for name in TORCH_KINDS],
)
def test_layers_that_keras_runs_are_exported(tmp_path, format, name):
    classifier = classifier_of(network_with(name))
    check(classifier, written(classifier, format, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "torch"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_is_exported(tmp_path, format, name):
    classifier = classifier_of(network_with(name))
    check(classifier, written(classifier, format, tmp_path))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_every_way_to_resize_is_exported(tmp_path, interpolation, antialias):
    for height, width in ((7, 9), (20, 17)):
        resizing = layers.Resizing(height, width, interpolation=interpolation, antialias=antialias)
        classifier = classifier_of(network_around(resizing))
        check(classifier, written(classifier, "onnx", tmp_path))


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "onnx-int8"])
def test_a_layer_of_the_users_is_exported_in_every_format(tmp_path, monkeypatch, format):
    monkeypatch.setattr(parity, "IMAGES", 40)
    classifier = classifier_of(network_around(Weighted()))
    done = export(classifier, format, tmp_path / f"model{FORMATS[format]}")
    assert done.parity.exact


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_an_export_leaves_the_model_as_it_was(tmp_path, format):
    recurrent, dense = layers.SimpleRNN(4), layers.Dense(4, activity_regularizer="l2")
    model = network_around(layers.Reshape((SIDE, 3 * SIDE)), recurrent, dense)
    classifier = classifier_of(model)
    check(classifier, written(classifier, format, tmp_path))
    assert all(variable.value.requires_grad for variable in model.trainable_variables)
    assert dense.activity_regularizer is not None
    assert not recurrent.unroll


def test_the_weights_of_an_activation_that_is_a_layer_are_exported(tmp_path):
    model = network_around(layers.Conv2D(4, 3, activation=layers.PReLU()))
    # Keras builds such a layer at the first call only.
    classifier = classifier_of(model)
    assert "alpha" in {variable.name for variable in model.weights}
    check(classifier, written(classifier, "torch", tmp_path))


# --- what has no form


def test_an_operator_without_an_onnx_form_is_one_line(tmp_path, capfd):
    model = network_around(layers.Reshape((27, 4, 4)))
    x = ops.inv(model.layers[-3].output + 5 * ops.eye(4))
    x = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    classifier = classifier_of(keras.Model(model.inputs, x, name="inverse"))
    for format in ("onnx", "web"):
        with pytest.raises(UsageError) as error:
            export(classifier, format, tmp_path / "model")
        said = one_line(error)
        assert f"the format {format} cannot hold the model inverse" in said
        assert "aten::linalg_inv" in said
        assert "choose another: keras" in said
        assert len(said) < 400
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_an_h5_file_that_cannot_hold_a_model_is_one_line(tmp_path):
    classifier = classifier_of(network_with("ops.roll"))
    with pytest.raises(UsageError) as error:
        export(classifier, "h5", tmp_path / "model.h5")
    assert "the format h5 cannot hold the model" in one_line(error)
    assert "Roll" in one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_pytorchs_own_forms_are_back_after_an_export():
    files.onnx_bytes(classifier_of(network_with("AdaptiveAveragePooling2D")))
    pooling, images = torch.nn.AdaptiveAvgPool2d(5), torch.ones(1, 3, 12, 12)
    # Ours would write it.
    with pytest.raises(torch.onnx.errors.SymbolicValueError), files.quiet():
        torch.onnx.export(pooling, (images,), "unused", dynamo=False, opset_version=files.OPSET)
