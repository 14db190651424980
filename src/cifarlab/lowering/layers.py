"""Stock Keras layers as native PyTorch modules, one small class or function for each.

Layers that hold weights are in ``weighted_layers.py``, max-pooling is in ``pooling.py``, the
others are here. To lower one more layer, write it in one of the three and add it to ``LOWERED``;
the contract tests then include it. A function in ``LOWERED`` returns ``None`` for settings that
it does not cover; such a layer is run by Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.lowering.activations import lower_activation, softmax
from cifarlab.lowering.attention import multi_head_attention
from cifarlab.lowering.binding import LoweredLayer, to_keras_layout, to_torch_layout
from cifarlab.lowering.padding import same_padding
from cifarlab.lowering.pooling import MaxPooling
from cifarlab.lowering.weighted_layers import (
    Dense,
    Normalization,
    PReLU,
    Rescaling,
    SeparableConvolution,
    batch_normalization,
    conv2d,
    depthwise_conv2d,
    layer_normalization,
)


class Apply(LoweredLayer):
    """A layer without weights: any function of its input tensors."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def average_pooling(layer: Any) -> LoweredLayer:
    size, stride = tuple(layer.pool_size), tuple(layer.strides)

    def pool(x: Tensor) -> Tensor:
        padding = (0, 0)
        if layer.padding == "same":
            x, padding = same_padding(x, size, stride, (1, 1), "replicate")
        return F.avg_pool2d(x, size, stride, padding, count_include_pad=False)

    return Apply(pool)


def global_pooling(pool: Callable[[Tensor, bool], Tensor]) -> Callable[[Any], LoweredLayer]:
    return lambda layer: Apply(lambda x: pool(x, layer.keepdims))


def zero_padding(layer: Any) -> LoweredLayer:
    (top, bottom), (left, right) = layer.padding
    return Apply(lambda x: F.pad(x, (left, right, top, bottom)))


RESIZE_MODES = {"bilinear": "bilinear", "nearest": "nearest-exact", "bicubic": "bicubic"}


def resizing(layer: Any) -> LoweredLayer | None:
    mode = RESIZE_MODES.get(layer.interpolation)
    if mode is None or layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        return None
    size, smooth = (layer.height, layer.width), mode != "nearest-exact"

    def resize(x: Tensor) -> Tensor:
        corners = False if smooth else None
        return F.interpolate(
            x, size, mode=mode, align_corners=corners, antialias=smooth and layer.antialias
        )

    return Apply(resize)


class Flatten(LoweredLayer):
    """Put all values of an image into one row, in Keras's order."""

    def __init__(self, _: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return to_keras_layout(x).reshape(x.shape[0], -1)


def reshape(layer: Any) -> LoweredLayer:
    shape = tuple(layer.target_shape)
    return Apply(lambda x: to_torch_layout(to_keras_layout(x).reshape(x.shape[0], *shape)))


def dropout(layer: Any) -> LoweredLayer | None:
    if layer.noise_shape is not None or layer.rate >= 1.0:
        return None
    return Dropout(layer.rate, F.dropout)


class Dropout(LoweredLayer):
    """Set a share of the values (or of the channels) to zero while training."""

    def __init__(self, rate: float, drop: Callable[[Tensor, float, bool], Tensor]) -> None:
        super().__init__()
        self.rate, self.drop = rate, drop

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x, self.rate, True) if self.training and self.rate > 0 else x


def relu(layer: Any) -> LoweredLayer:
    slope, threshold, ceiling = layer.negative_slope, layer.threshold, layer.max_value
    if slope == 0.0 and threshold == 0.0 and ceiling is None:
        return Apply(F.relu)
    if threshold == 0.0 and ceiling is None:
        return Apply(lambda x: F.leaky_relu(x, float(slope)))
    if slope == 0.0 and threshold == 0.0:
        return Apply(lambda x: F.hardtanh(x, 0.0, float(ceiling)))
    return Apply(lambda x: _general_relu(x, float(slope), float(threshold), ceiling))


def _general_relu(x: Tensor, slope: float, threshold: float, ceiling: float | None) -> Tensor:
    """Keras's rule: ``slope * (x - threshold)`` up to the threshold, ``x`` above, a ceiling."""
    above = F.threshold(x, threshold, 0.0)
    if ceiling is not None:
        above = above.clamp(0.0, float(ceiling))
    return above if slope == 0.0 else above - slope * F.relu(threshold - x)


def softmax_layer(layer: Any) -> LoweredLayer | None:
    return Apply(softmax) if layer.axis == -1 else None


def merging(merge: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any], LoweredLayer]:
    """Lower a layer that folds its inputs pairwise into one tensor."""

    def lower(layer: Any) -> LoweredLayer:
        def run(*inputs: Tensor) -> Tensor:
            if len({x.ndim for x in inputs}) == 1:
                return reduce(merge, inputs)
            # Keras has its own rule for broadcasting different ranks, and its own default device.
            merged = layer.call([to_keras_layout(x) for x in inputs])
            return to_torch_layout(merged.to(inputs[0].device))

        return Apply(run)

    return lower


def concatenate(layer: Any) -> LoweredLayer:
    def run(*inputs: Tensor) -> Tensor:
        return to_torch_layout(torch.cat([to_keras_layout(x) for x in inputs], layer.axis))

    return Apply(run)


def permute(layer: Any) -> LoweredLayer:
    order = (0, *layer.dims)
    return Apply(lambda x: to_torch_layout(to_keras_layout(x).permute(order)))


def fuse_activation(layer: Any) -> LoweredLayer:
    return Apply(lower_activation(layer.activation))


LOWERED: dict[type, Callable[[Any], nn.Module | None]] = {
    keras.layers.Rescaling: Rescaling,
    keras.layers.Normalization: Normalization,
    keras.layers.Conv2D: conv2d,
    keras.layers.DepthwiseConv2D: depthwise_conv2d,
    keras.layers.SeparableConv2D: SeparableConvolution,
    keras.layers.Dense: Dense,
    keras.layers.BatchNormalization: batch_normalization,
    keras.layers.LayerNormalization: layer_normalization,
    keras.layers.MultiHeadAttention: multi_head_attention,
    keras.layers.MaxPooling2D: MaxPooling,
    keras.layers.AveragePooling2D: average_pooling,
    keras.layers.GlobalMaxPooling2D: global_pooling(lambda x, keep: x.amax((2, 3), keepdim=keep)),
    keras.layers.GlobalAveragePooling2D: global_pooling(
        lambda x, keep: x.mean((2, 3), keepdim=keep)
    ),
    keras.layers.ZeroPadding2D: zero_padding,
    keras.layers.Resizing: resizing,
    keras.layers.Flatten: Flatten,
    keras.layers.GlobalMaxPooling1D: lambda layer: Apply(lambda x: x.amax(1, layer.keepdims)),
    keras.layers.GlobalAveragePooling1D: lambda layer: Apply(lambda x: x.mean(1, layer.keepdims)),
    keras.layers.Reshape: reshape,
    keras.layers.Permute: permute,
    keras.layers.Dropout: dropout,
    keras.layers.SpatialDropout2D: lambda layer: Dropout(layer.rate, F.dropout2d),
    keras.layers.Activation: fuse_activation,
    keras.layers.ReLU: relu,
    keras.layers.LeakyReLU: lambda layer: Apply(lambda x: F.leaky_relu(x, layer.negative_slope)),
    keras.layers.ELU: lambda layer: Apply(lambda x: F.elu(x, layer.alpha)),
    keras.layers.PReLU: PReLU,
    keras.layers.Softmax: softmax_layer,
    keras.layers.Add: merging(torch.add),
    keras.layers.Subtract: merging(torch.sub),
    keras.layers.Multiply: merging(torch.mul),
    keras.layers.Maximum: merging(torch.maximum),
    keras.layers.Minimum: merging(torch.minimum),
    keras.layers.Concatenate: concatenate,
}

# The layers that turn integers into floats.
CASTING = (keras.layers.Rescaling, keras.layers.Normalization)
# The layers whose own inner layers are part of their native form.
COMPOSED = (keras.layers.MultiHeadAttention,)
