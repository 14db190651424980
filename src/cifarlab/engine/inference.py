"""A lowered model made ready to predict: fewer and prepared operations, the same values.

Batch normalisation is folded into the convolution before it, through a max-pooling too. On a
CPU the kernels are put once into the order that oneDNN computes in, and a ReLU is applied in
the same pass. The operations for that are those that PyTorch's own compiler emits; where they
are missing, the plain ones run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.engine.activations import identity
from cifarlab.engine.binding import to_engine_layout, to_keras_layout
from cifarlab.engine.graph import Slot, Step, Steps
from cifarlab.engine.layers import MaxPooling
from cifarlab.engine.lowering import LoweredModel
from cifarlab.engine.padding import same_padding
from cifarlab.engine.weighted_layers import BatchNormalization, Convolution

# oneDNN's names for what it can do to a convolution's output.
FUSED: dict[Any, str] = {identity: "none", F.relu: "relu"}


class PreparedModel(nn.Module):
    """Gives what the lowered model gives in evaluation, with its weights as they were then."""

    def __init__(self, lowered: LoweredModel) -> None:
        super().__init__()
        self.device = lowered.device
        self.graph = _prepared(lowered)
        self.chain = _chain(self.graph)

    def forward(self, x: Tensor) -> Tensor:
        x = to_engine_layout(x)
        if self.chain is None:
            return to_keras_layout(self.graph(x))
        if self.graph.takes_floats:
            x = x.float()
        for call in self.chain:
            x = call(x)
        return to_keras_layout(x)


@torch.no_grad()
def prepare(lowered: LoweredModel) -> PreparedModel:
    """Return a form of ``lowered`` that predicts faster and cannot be trained."""
    return PreparedModel(lowered.eval()).eval()


class PreparedConvolution(nn.Module):
    """A convolution with a kernel and a bias of its own, and the layer's activation."""

    def __init__(self, layer: Convolution, kernel: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.layer, self.bias = layer, bias
        self.size = kernel.shape[2:]
        self.fused = FUSED.get(layer.activation)
        packed = _packed(layer, kernel) if self.fused else None
        self.kernel = kernel if packed is None else packed

    def forward(self, x: Tensor) -> Tensor:
        layer, padding = self.layer, (0, 0)
        if layer.same:
            x, padding = same_padding(x, self.size, layer.stride, layer.dilation, "constant")
        if not self.kernel.is_mkldnn:
            y = F.conv2d(
                x, self.kernel, self.bias, layer.stride, padding, layer.dilation, layer.groups
            )
            return layer.activation(y)
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            self.kernel,
            self.bias,
            padding,
            layer.stride,
            layer.dilation,
            layer.groups,
            self.fused,
            [],
            "",
        )
        return result


def _packed(layer: Convolution, kernel: Tensor) -> Tensor | None:
    if kernel.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    padding = [0, 0]
    if layer.same:
        padding = [(k - 1) * d // 2 for k, d in zip(kernel.shape[2:], layer.dilation, strict=True)]
    try:
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            kernel.contiguous(), padding, layer.stride, layer.dilation, layer.groups, None
        )
    except (AttributeError, RuntimeError):
        return None
    return packed


def _prepared(graph: Steps) -> Steps:
    """Return a graph of the same result whose convolutions are prepared."""
    new = Steps()
    new.takes_floats, new.result = graph.takes_floats, graph.result
    steps = list(graph.steps)
    folded: set[int] = set()
    for number, step in enumerate(steps):
        if number in folded:
            continue
        module = graph.modules_in_order[step.module]
        if isinstance(module, Convolution):
            chain = _followers(graph, number)
            norm = graph.modules_in_order[steps[chain[-1]].module] if chain else None
            if isinstance(norm, BatchNormalization) and _folds(norm, len(chain) > 1):
                # What stood before the normalisation now gives what came out of it.
                folded.add(chain[-1])
                if len(chain) == 1:
                    step = replace(step, outputs=steps[chain[-1]].outputs)
                else:
                    steps[chain[0]] = replace(steps[chain[0]], outputs=steps[chain[-1]].outputs)
                module = PreparedConvolution(module, *_fold(module, norm))
            else:
                module = PreparedConvolution(module, *_own(module))
        elif isinstance(module, Steps):
            module = _prepared(module)
        new.steps.append(replace(step, module=len(new.modules_in_order)))
        new.modules_in_order.append(module)
    return new


def _chain(graph: Steps) -> list[Callable[[Tensor], Tensor]] | None:
    """Return what to call one after the other, where each step takes the one before it.

    For a single picture, looking slots up takes as long as some of the layers.
    """
    calls: list[Callable[[Tensor], Tensor]] = []
    slot = 0
    for step in graph.steps:
        if step.args != (Slot(slot),) or step.kwargs or len(step.outputs) != 1:
            return None
        (slot,) = step.outputs
        calls.append(graph.modules_in_order[step.module].forward)
    return calls if slot == graph.result else None


def _followers(graph: Steps, number: int) -> list[int]:
    """Return the steps that alone use a convolution's output: a pooling or none, then a norm."""
    convolution = graph.modules_in_order[graph.steps[number].module]
    if convolution.activation is not identity:
        return []
    pooling = _only_user(graph, graph.steps[number])
    if pooling is None:
        return []
    module = graph.modules_in_order[graph.steps[pooling].module]
    if isinstance(module, BatchNormalization):
        return [pooling]
    norm = _only_user(graph, graph.steps[pooling]) if isinstance(module, MaxPooling) else None
    if norm is None:
        return []
    is_norm = isinstance(graph.modules_in_order[graph.steps[norm].module], BatchNormalization)
    return [pooling, norm] if is_norm else []


def _only_user(graph: Steps, step: Step) -> int | None:
    (slot,) = step.outputs
    users = [number for number, other in enumerate(graph.steps) if slot in _slots(other)]
    return users[0] if len(users) == 1 and slot != graph.result else None


def _slots(step: Step) -> Sequence[int]:
    values = keras.tree.flatten((step.args, step.kwargs))
    return [value.index for value in values if isinstance(value, Slot)]


def _folds(norm: BatchNormalization, through_maximum: bool) -> bool:
    # A maximum of values that a negative factor turns round is another value's.
    return not through_maximum or norm.gamma is None or bool((norm.gamma > 0).all())


def _fold(layer: Convolution, norm: BatchNormalization) -> tuple[Tensor, Tensor]:
    scale = torch.rsqrt(norm.moving_variance + norm.epsilon)
    if norm.gamma is not None:
        scale = scale * norm.gamma
    shift = -norm.moving_mean * scale
    if norm.beta is not None:
        shift = shift + norm.beta
    kernel, bias = _own(layer)
    if bias is not None:
        shift = shift + bias * scale
    return kernel * scale.view(-1, 1, 1, 1), shift.detach()


def _own(layer: Convolution) -> tuple[Tensor, Tensor | None]:
    return layer.kernel.detach(), None if layer.bias is None else layer.bias.detach()
