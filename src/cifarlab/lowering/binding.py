"""How a trained torch tensor corresponds to a variable of the Keras model.

Keras keeps images as ``[N, H, W, C]`` and convolution kernels as ``[H, W, in, out]``;
PyTorch needs ``[N, C, H, W]`` and ``[out, in, H, W]``, called the torch layout here. Inside a
lowered model every four-dimensional activation is ``[N, C, H, W]`` in channels-last memory, so
that converting it either way moves no data; activations of any other rank stay in Keras's layout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def to_keras_layout(x: Tensor) -> Tensor:
    """Return an activation in Keras's layout: ``[N, C, H, W]`` becomes ``[N, H, W, C]``."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def to_torch_layout(x: Tensor) -> Tensor:
    """Return an activation in torch layout: the inverse of ``to_keras_layout``."""
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def _same(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A pair of inverse functions between Keras's layout of a weight and the torch layout."""

    to_torch: Callable[[Tensor], Tensor]
    to_keras: Callable[[Tensor], Tensor]


AS_IS = Layout(to_torch=_same, to_keras=_same)
DENSE = Layout(to_torch=lambda w: w.t(), to_keras=lambda w: w.t())
CONVOLUTION = Layout(
    to_torch=lambda w: w.permute(3, 2, 0, 1), to_keras=lambda w: w.permute(2, 3, 1, 0)
)


def depthwise(multiplier: int) -> Layout:
    """Return the layout of Keras's ``[H, W, C, M]`` as PyTorch's grouped ``[C*M, 1, H, W]``."""

    def to_torch(w: Tensor) -> Tensor:
        height, width, channels, _ = w.shape
        return w.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)

    def to_keras(w: Tensor) -> Tensor:
        outputs, _, height, width = w.shape
        return w.reshape(outputs // multiplier, multiplier, height, width).permute(2, 3, 0, 1)

    return Layout(to_torch=to_torch, to_keras=to_keras)


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A Keras variable, the torch tensor for it, and the layouts of the two.

    The tensor is looked up by name each time, because moving a module to another device
    replaces its buffers.
    """

    variable: Any
    holder: Any
    name: str
    layout: Layout = AS_IS

    @property
    def tensor(self) -> Tensor:
        """The torch tensor, in torch layout."""
        tensor: Tensor = getattr(self.holder, self.name)
        return tensor

    @property
    def path(self) -> str:
        """The variable's path in the Keras model, such as ``"sequential/conv2d/kernel"``."""
        return str(self.variable.path)

    def keras_view(self) -> Tensor:
        """Return the torch tensor in Keras's layout; gradients pass through it."""
        return self.layout.to_keras(self.tensor)

    @torch.no_grad()
    def write_back(self) -> None:
        """Copy the torch tensor into the Keras variable."""
        self.variable.value.copy_(self.keras_view())

    @torch.no_grad()
    def read_in(self) -> None:
        """Copy the Keras variable into the torch tensor."""
        self.tensor.copy_(self.layout.to_torch(self.variable.value))

    def share(self) -> None:
        """Replace the torch tensor by a view of the Keras variable: one memory, two layouts.

        Only for float32 variables, on the device that the module computes on.
        """
        if self.holder is self.variable:
            return
        view = self.layout.to_torch(self.variable.value.detach())
        learnt = isinstance(self.tensor, nn.Parameter)
        setattr(self.holder, self.name, nn.Parameter(view) if learnt else view)

    def follow(self) -> bool:
        """Replace the torch tensor by the Keras variable in torch layout; gradients reach it.

        Returns:
            Whether that is possible without a copy; if not, nothing is changed.
        """
        with torch.enable_grad():
            view = self.layout.to_torch(self.variable.value)
        if view.data_ptr() != self.variable.value.data_ptr():
            return False
        delattr(self.holder, self.name)
        vars(self.holder)[self.name] = view
        return True


class LoweredLayer(nn.Module):
    """A torch module that knows the Keras variable of each of its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.bindings: list[Binding] = []

    def bind(self, name: str, variable: Any, layout: Layout = AS_IS) -> None:
        """Give the module a float32 copy of ``variable`` under ``name``; ``None`` stays ``None``.

        Trainable variables become parameters, frozen ones and statistics buffers.
        """
        if variable is None:
            self.register_buffer(name, None)
            return
        given = layout.to_torch(variable.value.detach())
        # Convolution kernels in channels-last memory save a reordering in every step.
        memory_format = torch.channels_last if given.ndim == 4 else torch.contiguous_format
        value = torch.empty_like(given, dtype=torch.float32, memory_format=memory_format)
        value.copy_(given)
        if variable.trainable:
            self.register_parameter(name, nn.Parameter(value))
        else:
            self.register_buffer(name, value)
        self.bindings.append(Binding(variable=variable, holder=self, name=name, layout=layout))
