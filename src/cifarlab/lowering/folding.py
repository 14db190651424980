"""Rewrite a lowered graph so that it predicts the same with fewer operations.

Scalings and batch normalisations are folded into the convolution or dense layer behind them, or
into the one before them, through a max-pooling and a ReLU too. What is left of them goes behind a
pooling where it can, to work on fewer values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.lowering.activations import Activation, identity
from cifarlab.lowering.binding import to_engine_layout, to_keras_layout
from cifarlab.lowering.graph import Slot, Steps, only_user
from cifarlab.lowering.layers import Flatten
from cifarlab.lowering.padding import same_padding
from cifarlab.lowering.pooling import MaxPooling
from cifarlab.lowering.weighted_layers import BatchNormalization, Convolution, Dense, Rescaling


class FoldedConvolution(nn.Module):
    """A convolution with weights of its own.

    Attributes:
        floor: the least that each filter gives, ``[1, out, 1, 1]``, instead of an activation.
    """

    def __init__(self, layer: Convolution) -> None:
        super().__init__()
        self.layer, self.activation = layer, layer.activation
        self.kernel = layer.kernel.detach()
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.floor: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        layer, padding = self.layer, (0, 0)
        if layer.same:
            size = self.kernel.shape[2:]
            x, padding = same_padding(x, size, layer.stride, layer.dilation, "constant")
        y = F.conv2d(x, self.kernel, self.bias, layer.stride, padding, layer.dilation, layer.groups)
        return self.activation(y) if self.floor is None else torch.maximum(y, self.floor)

    def scale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """Give ``scale * y + shift`` from now on; ``scale`` is positive if there is a ReLU."""
        self.kernel = self.kernel * scale.expand(len(self.kernel)).view(-1, 1, 1, 1)
        shift = shift.expand(len(self.kernel))
        self.bias = shift if self.bias is None else self.bias * scale + shift
        if self.activation is F.relu:
            self.floor = shift.view(1, -1, 1, 1)

    def scale_inputs(self, scale: Tensor, shift: Tensor) -> bool:
        """Take ``x`` for ``scale * x + shift`` from now on; whether that can be."""
        # A border padded with zeros lacks the shift.
        if self.layer.groups != 1 or (self.layer.same and bool(shift.any())):
            return False
        channels = self.kernel.shape[1]
        scale, shift = (v.expand(channels).view(1, -1, 1, 1) for v in (scale, shift))
        added = (self.kernel * shift).sum((1, 2, 3))
        self.bias = added if self.bias is None else self.bias + added
        self.kernel = self.kernel * scale
        return True


class FoldedDense(nn.Module):
    """A matrix product over Keras's last axis, with weights of its own.

    Attributes:
        floor: the least that each unit gives, instead of an activation.
    """

    def __init__(self, layer: Dense) -> None:
        super().__init__()
        self.activation: Activation = layer.activation
        self.kernel = layer.kernel.detach()
        self.bias = None if layer.bias is None else layer.bias.detach()
        self.floor: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(to_keras_layout(x), self.kernel, self.bias)
        if self.floor is not None:
            return to_engine_layout(torch.maximum(y, self.floor))
        return self.activation(to_engine_layout(y))

    def scale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """Give ``scale * y + shift`` from now on; ``scale`` is positive if there is a ReLU."""
        self.kernel = self.kernel * scale.expand(len(self.kernel)).view(-1, 1)
        shift = shift.expand(len(self.kernel))
        self.bias = shift if self.bias is None else self.bias * scale + shift
        if self.activation is F.relu:
            self.floor = shift

    def scale_inputs(self, scale: Tensor, shift: Tensor) -> bool:
        """Take ``x`` for ``scale * x + shift`` from now on; it can.

        Args:
            scale, shift: one value, or one a channel; flattened images repeat the channels.
        """
        inputs = self.kernel.shape[1]
        scale, shift = (v.reshape(-1).repeat(inputs // v.numel()) for v in (scale, shift))
        added = self.kernel @ shift
        self.bias = added if self.bias is None else self.bias + added
        self.kernel = self.kernel * scale
        return True


class FoldedGraph(Steps):
    """The steps of ``graph``, with copies of its weights, and fewer of them."""

    def __init__(self, graph: Steps) -> None:
        super().__init__()
        self.takes_floats, self.result = graph.takes_floats, graph.result
        # A step has a module of its own, because a shared layer is folded otherwise at each place.
        self.modules_in_order.extend(_own(graph.modules_in_order[s.module]) for s in graph.steps)
        self.steps = [replace(step, module=i) for i, step in enumerate(graph.steps)]
        for change in (self._pool_first, self._fold_behind, self._fold_before):
            while any(change(place) for place in range(len(self.steps))):
                pass
        used = [self.modules_in_order[step.module] for step in self.steps]
        self.modules_in_order = nn.ModuleList(used)
        self.steps = [replace(step, module=i) for i, step in enumerate(self.steps)]

    def _pool_first(self, place: int) -> bool:
        """Pool before a normalisation that turns no value round: the largest is the same one."""
        if not _keeps_order(self._module(place)):
            return False
        after = only_user(self, place)
        if after is None or not isinstance(self._module(after), MaxPooling):
            return False
        norm, pooling = self.steps[place], self.steps[after]
        self.steps[place] = replace(norm, module=pooling.module)
        self.steps[after] = replace(pooling, module=norm.module)
        return True

    def _fold_before(self, place: int) -> bool:
        """Fold what scales a layer's outputs, pooled or not, into the layer."""
        layer = self._module(place)
        if not isinstance(layer, FoldedConvolution | FoldedDense):
            return False
        if layer.floor is not None or layer.activation not in (identity, F.relu):
            return False
        last, after = place, only_user(self, place)
        pooled = after is not None and isinstance(self._module(after), MaxPooling)
        if after is not None and pooled:
            last, after = after, only_user(self, after)
        change = None if after is None else _affine(self._module(after))
        if after is None or change is None:
            return False
        # Maxima, a ReLU's too, only if none is turned round.
        linear = layer.activation is identity and not pooled
        if not linear and not _keeps_order(self._module(after)):
            return False
        layer.scale_outputs(*change)
        self.steps[last] = replace(self.steps[last], outputs=self.steps[after].outputs)
        del self.steps[after]
        return True

    def _fold_behind(self, place: int) -> bool:
        """Fold what scales a layer's inputs, flattened or not, into the layer."""
        step, change = self.steps[place], _affine(self._module(place))
        # The first step may be what turns whole numbers into fractions.
        if change is None or (step.args == (Slot(index=0),) and not self.takes_floats):
            return False
        after = user = only_user(self, place)
        if after is not None and isinstance(self._module(after), Flatten):
            user = only_user(self, after)
        if after is None or user is None:
            return False
        layer = self._module(user)
        folds = isinstance(layer, FoldedConvolution | FoldedDense)
        if not folds or not layer.scale_inputs(*change):
            return False
        self.steps[after] = replace(self.steps[after], args=step.args)
        del self.steps[place]
        return True

    def _module(self, place: int) -> Any:
        return self.modules_in_order[self.steps[place].module]


def _own(module: nn.Module) -> nn.Module:
    if isinstance(module, Convolution):
        return FoldedConvolution(module)
    if isinstance(module, Dense):
        return FoldedDense(module)
    return FoldedGraph(module) if isinstance(module, Steps) else module


def _affine(module: Any) -> tuple[Tensor, Tensor] | None:
    """Return what the module multiplies by and adds, each one value or one a channel."""
    if isinstance(module, Rescaling) and max(module.scale.ndim, module.offset.ndim) <= 1:
        return module.scale, module.offset
    if not isinstance(module, BatchNormalization):
        return None
    scale = torch.rsqrt(module.moving_variance + module.epsilon)
    if module.gamma is not None:
        scale = scale * module.gamma.detach()
    shift = -module.moving_mean * scale
    return scale, shift if module.beta is None else shift + module.beta.detach()


def _keeps_order(module: Any) -> bool:
    """Whether it is a normalisation that leaves larger values larger."""
    if not isinstance(module, BatchNormalization):
        return False
    return module.gamma is None or bool((module.gamma > 0).all())
