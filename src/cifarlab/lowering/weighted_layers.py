"""Stock Keras layers that hold weights or constants, as native PyTorch modules.

The functions in lower case return ``None`` for settings that the native form does not cover; such
a layer is run by Keras.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.backend import keras
from cifarlab.lowering.activations import Activation, identity, lower_activation
from cifarlab.lowering.binding import (
    CONVOLUTION,
    DENSE,
    Layout,
    LoweredLayer,
    depthwise,
    to_keras_layout,
    to_torch_layout,
)
from cifarlab.lowering.padding import same_padding


class Convolution(LoweredLayer):
    """Conv2D, DepthwiseConv2D, and the two halves of SeparableConv2D."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(
        self, layer: Any, kernel: Any, layout: Layout, groups: int, *, last: bool = True
    ) -> None:
        super().__init__()
        self.bind("kernel", kernel, layout)
        self.bind("bias", layer.bias if last and layer.use_bias else None)
        self.stride = tuple(layer.strides)
        self.dilation = tuple(layer.dilation_rate)
        self.same = layer.padding == "same"
        self.groups = groups
        self.activation: Activation = lower_activation(layer.activation) if last else identity

    def forward(self, x: Tensor) -> Tensor:
        padding = (0, 0)
        if self.same:
            size = self.kernel.shape[2:]
            x, padding = same_padding(x, size, self.stride, self.dilation, "constant")
        if x.requires_grad and self._is_faster_in_float32(x):
            with torch.autocast(x.device.type, enabled=False):
                x = self._convolve(x.to(self.kernel.dtype), padding)
        else:
            x = self._convolve(x, padding)
        return self.activation(x)

    def _is_faster_in_float32(self, x: Tensor) -> bool:
        """Whether training it in bfloat16 takes longer, which depends on its shape.

        On a CPU the gradients of depthwise convolutions in bfloat16 took 2 to 70 times as long,
        but for windows of 3 that move by 1 on images of 4 pixels or more, where they took 0.3 to
        0.8 times (AVX512-BF16, PyTorch 2.13, 32 to 1,152 channels, 1 to 32 pixels).
        """
        if x.device.type != "cpu" or not self.kernel.shape[1] == 1 < self.groups:
            return False
        fast = max(self.stride) == 1 and max(self.kernel.shape[2:]) <= 3 and min(x.shape[2:]) >= 4
        return not fast

    def _convolve(self, x: Tensor, padding: tuple[int, int]) -> Tensor:
        return F.conv2d(x, self.kernel, self.bias, self.stride, padding, self.dilation, self.groups)


def conv2d(layer: Any) -> LoweredLayer | None:
    if layer.padding not in ("same", "valid"):
        return None
    return Convolution(layer, layer.kernel, CONVOLUTION, layer.groups)


def depthwise_conv2d(layer: Any) -> LoweredLayer | None:
    layout = depthwise(layer.depth_multiplier)
    return Convolution(layer, layer.kernel, layout, groups=layer.kernel.shape[2])


class SeparableConvolution(LoweredLayer):
    """A depthwise convolution, then a pointwise one with bias and activation."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, layer: Any) -> None:
        super().__init__()
        kernel = layer.depthwise_kernel
        layout = depthwise(layer.depth_multiplier)
        self.depthwise = Convolution(layer, kernel, layout, groups=kernel.shape[2], last=False)
        self.bind("kernel", layer.pointwise_kernel, CONVOLUTION)
        self.bind("bias", layer.bias if layer.use_bias else None)
        self.activation = lower_activation(layer.activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(F.conv2d(self.depthwise(x), self.kernel, self.bias))


class Dense(LoweredLayer):
    """A matrix product over Keras's last axis."""

    kernel: Tensor
    bias: Tensor | None

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.bind("kernel", layer.kernel, DENSE)
        self.bind("bias", layer.bias)
        self.activation = lower_activation(layer.activation)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(to_keras_layout(x), self.kernel, self.bias)
        return self.activation(to_torch_layout(x))


class BatchNormalization(LoweredLayer):
    """Batch normalisation with Keras's running statistics (biased variance, momentum m)."""

    gamma: Tensor | None
    beta: Tensor | None
    moving_mean: Tensor
    moving_variance: Tensor
    batch_mean: Tensor
    batch_variance: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.bind("gamma", layer.gamma if layer.scale else None)
        self.bind("beta", layer.beta if layer.center else None)
        self.bind("moving_mean", layer.moving_mean)
        self.bind("moving_variance", layer.moving_variance)
        self.register_buffer("batch_mean", torch.zeros_like(self.moving_mean), persistent=False)
        self.register_buffer("batch_variance", torch.ones_like(self.moving_mean), persistent=False)
        self.momentum = layer.momentum
        self.epsilon = layer.epsilon
        self.learns = layer.trainable

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 3:
            return self._normalize(x)
        return self._normalize(x.reshape(-1, x.shape[-1])).reshape(x.shape)

    def _normalize(self, x: Tensor) -> Tensor:
        count = x.numel() // x.shape[1]
        if not (self.training and self.learns):
            mean, variance = self.moving_mean, self.moving_variance
            return F.batch_norm(x, mean, variance, self.gamma, self.beta, False, 0.0, self.epsilon)
        if count == 1:
            # PyTorch refuses a single value per channel; its mean is itself, its variance 0.
            return self._single(x)
        # With momentum 1 PyTorch returns the statistics of this batch alone.
        mean, variance = self.batch_mean, self.batch_variance
        y = F.batch_norm(x, mean, variance, self.gamma, self.beta, True, 1.0, self.epsilon)
        self._track(mean, variance, (count - 1) / count)
        return y

    def _single(self, x: Tensor) -> Tensor:
        flat = x.detach().reshape(-1).float()
        self._track(flat, torch.zeros_like(flat), 1.0)
        shape = (1, -1, *[1] * (x.ndim - 2))
        # Gradients of zero instead of none: without one, an optimizer's momentum would stop.
        y = x * 0.0
        y = y if self.gamma is None else y * self.gamma.reshape(shape)
        return y if self.beta is None else y + self.beta.reshape(shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, correction: float) -> None:
        new = 1.0 - self.momentum
        self.moving_mean.lerp_(mean, new)
        # PyTorch gives the unbiased variance, Keras keeps the biased one.
        self.moving_variance.mul_(self.momentum).add_(variance, alpha=new * correction)


def batch_normalization(layer: Any) -> LoweredLayer | None:
    last_axis = layer.axis in (-1, layer.input_spec.ndim - 1)
    if not last_axis or layer.renorm or layer.synchronized or layer.input_spec.ndim > 4:
        return None
    return BatchNormalization(layer)


class LayerNormalization(LoweredLayer):
    """Layer normalisation over Keras's last axis."""

    gamma: Tensor | None
    beta: Tensor | None

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.bind("gamma", layer.gamma)
        self.bind("beta", layer.beta)
        self.epsilon = layer.epsilon

    def forward(self, x: Tensor) -> Tensor:
        x = to_keras_layout(x)
        return to_torch_layout(F.layer_norm(x, x.shape[-1:], self.gamma, self.beta, self.epsilon))


def layer_normalization(layer: Any) -> LoweredLayer | None:
    return None if layer.axis not in (-1, [-1]) or layer.rms_scaling else LayerNormalization(layer)


class Normalization(LoweredLayer):
    """Subtract a stored mean, divide by a stored standard deviation."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        mean = torch.as_tensor(layer.mean).detach().to(torch.float32)
        variance = torch.as_tensor(layer.variance).detach().to(torch.float32)
        deviation = variance.sqrt().clamp_min(keras.backend.epsilon())
        # Learnt statistics are variables that move with the model; these are a copy.
        self.register_buffer("mean", to_torch_layout(mean).clone())
        self.register_buffer("deviation", to_torch_layout(deviation).clone())
        self.invert = layer.invert

    def forward(self, x: Tensor) -> Tensor:
        if self.invert:
            return self.mean + x * self.deviation
        return (x - self.mean) / self.deviation


class Rescaling(LoweredLayer):
    """Multiply and shift, by numbers or by a vector over the channels."""

    scale: Tensor
    offset: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.register_buffer("scale", torch.as_tensor(layer.scale, dtype=torch.float32))
        self.register_buffer("offset", torch.as_tensor(layer.offset, dtype=torch.float32))
        self.single = self.scale.ndim == 0 and self.offset.ndim == 0

    def forward(self, x: Tensor) -> Tensor:
        if self.single:
            return x.float() * self.scale + self.offset
        return to_torch_layout(to_keras_layout(x).float() * self.scale + self.offset)


class PReLU(LoweredLayer):
    """A leaky ReLU with learnt slopes, one per position of Keras's unshared axes."""

    alpha: Tensor

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.bind("alpha", layer.alpha)

    def forward(self, x: Tensor) -> Tensor:
        x = to_keras_layout(x)
        return to_torch_layout(F.relu(x) - self.alpha * F.relu(-x))
