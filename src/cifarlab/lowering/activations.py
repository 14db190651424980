"""Keras activation functions as PyTorch functions of the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from cifarlab.backend import keras
from cifarlab.lowering.binding import to_keras_layout, to_torch_layout

Activation = Callable[[Tensor], Tensor]


def identity(x: Tensor) -> Tensor:
    """Return ``x``."""
    return x


def softmax(x: Tensor) -> Tensor:
    """Normalise over Keras's last axis, which is the second one of images in torch layout."""
    return F.softmax(x, dim=1 if x.ndim == 4 else -1)


def in_float32(function: Activation) -> Activation:
    """Return ``function`` of the values in float32."""
    return lambda x: function(x.float())


# Only elementwise functions may be in this table (and softmax): they are applied in torch layout.
ELEMENTWISE: dict[Any, Activation] = {
    keras.activations.linear: identity,
    keras.activations.relu: F.relu,
    keras.activations.relu6: F.relu6,
    keras.activations.leaky_relu: lambda x: F.leaky_relu(x, 0.2),
    keras.activations.elu: F.elu,
    keras.activations.selu: F.selu,
    keras.activations.celu: F.celu,
    keras.activations.gelu: F.gelu,
    keras.activations.silu: F.silu,
    keras.activations.mish: F.mish,
    keras.activations.sigmoid: lambda x: x.sigmoid(),
    keras.activations.tanh: lambda x: x.tanh(),
    keras.activations.exponential: lambda x: x.exp(),
    keras.activations.softplus: F.softplus,
    keras.activations.softsign: F.softsign,
    keras.activations.hard_sigmoid: F.hardsigmoid,
    keras.activations.hard_silu: F.hardswish,
    keras.activations.softmax: softmax,
}


def lower_activation(function: Any) -> Activation:
    """Return the PyTorch counterpart of a Keras activation function.

    A function that is not in the table is called unchanged, in Keras's layout: with this
    backend, arguments and results of Keras functions are torch tensors.
    """
    if function is None:
        return identity
    if function in ELEMENTWISE:
        return ELEMENTWISE[function]
    # Keras computes on its own default device, which need not be the model's.
    return lambda x: to_torch_layout(function(to_keras_layout(x)).to(x.device))
