"""What fine-tuning can start from, and what is refused with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import InputError, NetworkError, UsageError
from cifarlab.finetuning import keras_applications
from cifarlab.finetuning.keras_applications import applications
from cifarlab.finetuning.network import finetuned, freeze_before
from cifarlab.finetuning.starts import find_start, without_last_layer
from cifarlab.models.backbones import BACKBONES


def test_a_backbone_takes_any_image_and_enlarges_small_ones() -> None:
    start = find_start("efficientnet_lite0")
    assert (start.shape, start.photo_size) == (None, 224)
    small, large = start.build((32, 64, 1)), start.build((128, 128, 3))
    assert small.get_layer("resizing").output.shape == (None, 112, 224, 3)
    assert "resizing" not in [layer.name for layer in large.layers]


def test_the_packaged_model_takes_its_own_images_only() -> None:
    start = find_start("cifar10")
    assert start.shape == (32, 32, 3)
    assert len(start.build((32, 32, 3)).output_shape) == 2
    with pytest.raises(InputError, match=r"--image-size 32x32 --channels rgb"):
        start.build((28, 28, 1))


def test_a_file_of_the_users(tmp_path: Path) -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((12, 12, 1)), layers.Flatten(), layers.Dense(5), layers.Dense(3, "softmax")]
    )
    model.save(tmp_path / "mine.keras")
    start = find_start(str(tmp_path / "mine.keras"))
    images = torch.rand((2, 12, 12, 1), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.layers[1](model.layers[0](images))
        torch.testing.assert_close(start.build((12, 12, 1))(images), expected)


def test_a_model_without_a_dense_end_has_no_last_layer_to_replace() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(3, 8), layers.Flatten(), layers.Softmax()]
    )
    with pytest.raises(InputError, match="no last layer to replace"):
        without_last_layer(model)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"efficientnet_lite0, .*cifar10, keras:MobileNetV2"):
        find_start("resnet")
    with pytest.raises(UsageError, match=r"no network called 'keras:nothing'; choose from .*Xcep"):
        find_start("keras:nothing")


def test_keras_networks_are_found_with_what_their_pixels_need() -> None:
    known = applications()
    assert {"MobileNetV2", "ResNet50", "EfficientNetB0", "ConvNeXtTiny"} <= set(known)
    pixels = np.full((1, 1, 1, 3), 255.0, "float32")
    assert known["MobileNetV2"].preprocess(pixels.copy()).max() == pytest.approx(1.0)


def test_without_a_network_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(**_: Any) -> Any:
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- timed out")

    found = applications()["MobileNetV2"]
    monkeypatch.setattr(
        keras_applications,
        "find_application",
        lambda _: keras_applications.Application(
            name=found.name, build=download, preprocess=found.preprocess
        ),
    )
    with pytest.raises(NetworkError, match=r"cannot be downloaded .*--from cifar10"):
        keras_applications.application(
            keras_applications.find_application("keras:x"), (224, 224, 3), None
        )


def test_a_keras_network_gives_features_of_pixels_from_0_to_255() -> None:
    def untrained(**arguments: Any) -> Any:
        return keras.applications.MobileNetV2(**{**arguments, "weights": None}, alpha=0.35)

    found = applications()["MobileNetV2"]
    model = keras_applications.application(
        keras_applications.Application(
            name=found.name, build=untrained, preprocess=found.preprocess
        ),
        (40, 40, 1),
        (96, 96),
    )
    assert model.output_shape == (None, 1280)


def test_the_new_network_has_a_layer_of_zeros_for_its_classes() -> None:
    model = finetuned(find_start("cifar10"), (32, 32, 3), 4)
    with torch.no_grad():
        probabilities = model(torch.zeros((1, 32, 32, 3)))
    assert probabilities.tolist() == [[0.25] * 4]


@pytest.mark.parametrize(
    ("unfreeze", "trained"),
    [
        ("none", set()),
        ("block7", {"block7a", "head"}),
        ("head", {"head"}),
        ("all", {"stem", "head", "block1a", "block4c"}),
    ],
)
def test_layers_are_trained_from_the_one_that_is_named_on(unfreeze: str, trained: set[str]) -> None:
    model = BACKBONES["efficientnet_lite0"].build((32, 32, 3), None)
    freeze_before(model, unfreeze)
    found = {layer.name.split("_")[0] for layer in model.layers if layer.trainable_weights}
    assert found >= trained
    if unfreeze != "all":
        assert found == trained
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert not any(layer.trainable for layer in norms)


def test_a_block_that_does_not_exist_lists_those_that_do() -> None:
    model = BACKBONES["efficientnet_lite0"].build((32, 32, 3), None)
    with pytest.raises(UsageError, match=r"'block9'; write all, none, or one of .*block7a, head"):
        freeze_before(model, "block9")
