"""The backbones give what their publisher's network gives, and only the published file is read."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import UnsafeError, UsageError
from cifarlab.models.backbones import BACKBONES
from cifarlab.models.backbones import published_weights as published
from cifarlab.models.backbones.backbone import load_backbone
from cifarlab.models.backbones.efficientnet_lite import LITE0, STAGES

GOLDEN = Path(__file__).parents[2] / "golden" / "backbone_logits.npz"


def images() -> dict[str, np.ndarray[Any, Any]]:
    """Five images of coloured squares for each backbone, at its own size."""
    draws = np.random.default_rng(0)
    made = {}
    for backbone in BACKBONES.values():
        side = backbone.image_size
        tiles = draws.integers(0, 256, (5, 8, 8, 3))
        large = np.kron(tiles, np.ones((1, side // 8 + 1, side // 8 + 1, 1), int))
        made[backbone.name] = large[:, :side, :side].astype("float32")
    return made


@pytest.mark.parametrize("name", BACKBONES)
def test_logits_are_those_of_the_publishers_network(name: str) -> None:
    backbone = BACKBONES[name]
    shape = (backbone.image_size, backbone.image_size, 3)
    model = load_backbone(backbone, shape)
    with torch.no_grad():
        features = model(images()[name], training=False).numpy()
    assert features.shape == (5, backbone.features)
    arrays = published.read_weights(backbone.weights)
    logits = features @ arrays["_fc.weight"].T + arrays["_fc.bias"]
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(logits, golden[name], atol=1e-3)


def test_every_array_of_the_file_is_used_but_the_last_layer_and_counters() -> None:
    arrays = published.read_weights(LITE0.weights)
    asked: set[str] = set()

    class Asked(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            asked.add(name)
            return super().__getitem__(name)

    LITE0.assign(LITE0.build((32, 32, 3), None), Asked(arrays))
    unused = {name for name in set(arrays) - asked if not name.endswith("num_batches_tracked")}
    assert unused == {"_fc.weight", "_fc.bias"}


@pytest.mark.parametrize("shape", [(32, 32, 3), (64, 48, 3), (225, 224, 3)])
def test_any_size_of_image_gives_features(shape: tuple[int, int, int]) -> None:
    model = LITE0.build(shape, None)
    assert model.output_shape == (None, LITE0.features)


def test_grey_images_are_the_same_in_three_channels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (2, 40, 40, 1)).astype("float32")
    expected = load_backbone(LITE0, (40, 40, 3))(np.repeat(grey, 3, 3), training=False)
    with torch.no_grad():
        features = load_backbone(LITE0, (40, 40, 1))(grey, training=False)
        torch.testing.assert_close(features, expected)


def test_small_images_are_enlarged_inside() -> None:
    small = np.random.default_rng(0).integers(0, 256, (2, 16, 24, 3)).astype("float32")
    large = keras.layers.Resizing(64, 96)(small)
    with torch.no_grad():
        expected = load_backbone(LITE0, (64, 96, 3))(large, training=False)
        features = load_backbone(LITE0, (16, 24, 3), (64, 96))(small, training=False)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_blocks_are_named_by_stage_for_whoever_freezes_some() -> None:
    names = {layer.name.split("_")[0] for layer in LITE0.build((32, 32, 3), None).layers}
    blocks = {name for name in names if name.startswith("block")}
    assert blocks == {f"block{n}{c}" for n, s in enumerate(STAGES, 1) for c in "abcd"[: s.blocks]}


def test_it_is_made_of_stock_layers() -> None:
    kinds = {type(layer) for layer in LITE0.build((32, 32, 3), None).layers}
    assert all(getattr(keras.layers, kind.__name__, None) is kind for kind in kinds)


def tampered(tmp_path: Path, change: bytes) -> Any:
    path = published.find_weights(LITE0.weights)
    (tmp_path / "weights.pth").write_bytes(path.read_bytes()[: -len(change)] + change)
    return replace(LITE0.weights, path=str(tmp_path / "weights.pth"))


def test_a_file_with_another_content_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(torch, "load", never)
    with pytest.raises(UnsafeError, match=r"not the published file .* install it again"):
        published.read_weights(tampered(tmp_path, b"x"))


def test_a_file_that_is_missing_is_one_line() -> None:
    gone = replace(LITE0.weights, path="models/gone.pth")
    with pytest.raises(UnsafeError, match=r"gone\.pth: No such file .* install it again"):
        published.read_weights(gone)


def test_without_the_extra_the_error_says_what_to_install() -> None:
    absent = replace(LITE0.weights, package="no_such_package")
    with pytest.raises(UsageError, match=r"pip install 'cifarlab\[backbones\]'"):
        published.read_weights(absent)


def test_the_package_is_not_imported() -> None:
    published.read_weights(LITE0.weights)
    assert LITE0.weights.package not in sys.modules
