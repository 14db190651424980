"""Rewrite a lowered graph so that it predicts the same with fewer operations.

Scalings and batch normalisations are folded into the convolution or dense layer after them, or
into the one before them, also through a max-pooling and a ReLU. The remaining ones are moved
behind a pooling where possible, to process fewer values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.lowering.activations import Activation, identity
from cifarlab.lowering.binding import to_keras_layout, to_torch_layout
from cifarlab.lowering.graph import Slot, Steps
from cifarlab.lowering.layers import Flatten
from cifarlab.lowering.padding import same_padding
from cifarlab.lowering.pooling import MaxPooling
from cifarlab.lowering.weighted_layers import BatchNormalization, Convolution, Dense, Rescaling
from cifarlab.lowering.wiring import Wiring


class FoldedConvolution(nn.Module):
    """A convolution with its own copy of the weights.

    Attributes:
        floor: the lowest output of each filter, ``[1, out, 1, 1]``, instead of an activation.
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
        """Fold ``scale * y + shift`` of the output in; ``scale`` is positive if there is a ReLU."""
        self.kernel = self.kernel * scale.expand(len(self.kernel)).view(-1, 1, 1, 1)
        shift = shift.expand(len(self.kernel))
        self.bias = shift if self.bias is None else self.bias * scale + shift
        if self.activation is F.relu:
            self.floor = shift.view(1, -1, 1, 1)

    def scale_inputs(self, scale: Tensor, shift: Tensor) -> bool:
        """Fold ``scale * x + shift`` of the input in; return whether that is possible."""
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
    """A matrix product over Keras's last axis, with its own copy of the weights.

    Attributes:
        floor: the lowest output of each unit, ``[units]``, instead of an activation.
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
            return to_torch_layout(torch.maximum(y, self.floor))
        return self.activation(to_torch_layout(y))

    def scale_outputs(self, scale: Tensor, shift: Tensor) -> None:
        """Fold ``scale * y + shift`` of the output in; ``scale`` is positive if there is a ReLU."""
        self.kernel = self.kernel * scale.expand(len(self.kernel)).view(-1, 1)
        shift = shift.expand(len(self.kernel))
        self.bias = shift if self.bias is None else self.bias * scale + shift
        if self.activation is F.relu:
            self.floor = shift

    def scale_inputs(self, scale: Tensor, shift: Tensor) -> bool:
        """Fold ``scale * x + shift`` of the input in; always possible, so the result is true.

        Args:
            scale: one value, or one per channel; flattened images repeat the channels.
            shift: the same.
        """
        inputs = self.kernel.shape[1]
        scale, shift = (v.reshape(-1).repeat(inputs // v.numel()) for v in (scale, shift))
        added = self.kernel @ shift
        self.bias = added if self.bias is None else self.bias + added
        self.kernel = self.kernel * scale
        return True


class FoldedGraph(Steps):
    """The steps of ``graph``, with copies of its weights, and fewer of them.

    Attributes:
        wiring: the steps while they are rewritten.
    """

    def __init__(self, graph: Steps) -> None:
        super().__init__()
        self.takes_floats, self.result = graph.takes_floats, graph.result
        # Each step gets a module of its own: a shared layer is folded differently at each use.
        self.modules_in_order.extend(
            _own_copy(graph.modules_in_order[s.module]) for s in graph.steps
        )
        self.steps = [replace(step, module=i) for i, step in enumerate(graph.steps)]
        self.wiring = Wiring(self)
        for change in (self._pool_first, self._fold_behind, self._fold_before):
            self.wiring.repeat(change)
        left = self.wiring.in_order()
        self.steps = [replace(step, module=i) for i, step in enumerate(left)]
        self.modules_in_order = nn.ModuleList(self.modules_in_order[s.module] for s in left)

    def _pool_first(self, number: int) -> Sequence[int]:
        """Move a monotonic normalisation behind the pooling, which selects the same values."""
        if not _is_monotonic(self._module(number)):
            return ()
        after = self.wiring.only_user(number)
        if after is None or not isinstance(self._module(after), MaxPooling):
            return ()
        norm, pooling = self.wiring.steps[number], self.wiring.steps[after]
        self.wiring.rewrite(number, replace(norm, module=pooling.module))
        self.wiring.rewrite(after, replace(pooling, module=norm.module))
        return number, after

    def _fold_before(self, number: int) -> Sequence[int]:
        """Fold a scaling after a layer, with or without a pooling between, into the layer."""
        layer, wiring = self._module(number), self.wiring
        if not isinstance(layer, FoldedConvolution | FoldedDense):
            return ()
        if layer.floor is not None or layer.activation not in (identity, F.relu):
            return ()
        last, after = number, wiring.only_user(number)
        pooled = after is not None and isinstance(self._module(after), MaxPooling)
        if after is not None and pooled:
            last, after = after, wiring.only_user(after)
        change = None if after is None else _affine(self._module(after))
        if after is None or change is None:
            return ()
        # Through a maximum, also that of a ReLU, only if the scaling is monotonic.
        linear = layer.activation is identity and not pooled
        if not linear and not _is_monotonic(self._module(after)):
            return ()
        layer.scale_outputs(*change)
        outputs = wiring.steps[after].outputs
        wiring.remove(after)
        wiring.rewrite(last, replace(wiring.steps[last], outputs=outputs))
        return number, last

    def _fold_behind(self, number: int) -> Sequence[int]:
        """Fold a scaling before a layer, with or without a Flatten between, into the layer."""
        wiring = self.wiring
        step, change = wiring.steps[number], _affine(self._module(number))
        # The first step may be the one that turns integers into floats.
        if change is None or (step.args == (Slot(index=0),) and not self.takes_floats):
            return ()
        after = user = wiring.only_user(number)
        if after is not None and isinstance(self._module(after), Flatten):
            user = wiring.only_user(after)
        if after is None or user is None:
            return ()
        layer = self._module(user)
        folds = isinstance(layer, FoldedConvolution | FoldedDense)
        if not folds or not layer.scale_inputs(*change):
            return ()
        wiring.remove(number)
        wiring.rewrite(after, replace(wiring.steps[after], args=step.args))
        return after, user

    def _module(self, number: int) -> Any:
        return self.modules_in_order[self.wiring.steps[number].module]


def _own_copy(module: nn.Module) -> nn.Module:
    if isinstance(module, Convolution):
        return FoldedConvolution(module)
    if isinstance(module, Dense):
        return FoldedDense(module)
    return FoldedGraph(module) if isinstance(module, Steps) else module


def _affine(module: Any) -> tuple[Tensor, Tensor] | None:
    """Return factor and offset of the module, each one value or one per channel, or ``None``."""
    if isinstance(module, Rescaling) and max(module.scale.ndim, module.offset.ndim) <= 1:
        return module.scale, module.offset
    if not isinstance(module, BatchNormalization):
        return None
    scale = torch.rsqrt(module.moving_variance + module.epsilon)
    if module.gamma is not None:
        scale = scale * module.gamma.detach()
    shift = -module.moving_mean * scale
    return scale, shift if module.beta is None else shift + module.beta.detach()


def _is_monotonic(module: Any) -> bool:
    """Whether it is a normalisation that is monotonic in each channel."""
    if not isinstance(module, BatchNormalization):
        return False
    return module.gamma is None or bool((module.gamma > 0).all())
