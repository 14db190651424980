"""A lowered model made ready to predict: fewer and prepared operations, the same values.

Batch normalisation is folded into the convolution before it, through a max-pooling too; where
it cannot be, it is done after the pooling, on fewer values. On a CPU the kernels are put once
into the order that oneDNN computes in, and the activation is applied in the same pass. The
operations for that are those that PyTorch's own compiler emits; where they are missing, the
plain ones run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.engine.activations import Activation, identity
from cifarlab.engine.binding import to_engine_layout, to_keras_layout
from cifarlab.engine.graph import AsItself, Slot, Step, Steps
from cifarlab.engine.layers import Apply, MaxPooling
from cifarlab.engine.lowering import LoweredModel
from cifarlab.engine.padding import same_padding
from cifarlab.engine.weighted_layers import BatchNormalization, Convolution

# What oneDNN can do to a convolution's output: PyTorch's name for it, and its choice of form.
FUSED: dict[Any, tuple[str, str]] = {
    identity: ("none", ""),
    F.relu: ("relu", ""),
    F.silu: ("swish", ""),
    F.gelu: ("gelu", "none"),
}


class PreparedModel(nn.Module):
    """Gives what the lowered model gives in evaluation, with its weights as they were then."""

    def __init__(self, lowered: LoweredModel) -> None:
        super().__init__()
        self.device = lowered.device
        self.graph = _prepared(lowered)
        self.chain = _chain(self.graph)
        self.foreign = tuple(m for m in self.modules() if isinstance(m, AsItself))

    def forward(self, x: Tensor) -> Tensor:
        for module in self.foreign:
            module.added_losses.clear()
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
    """A convolution with a kernel, a bias and an activation of its own."""

    def __init__(
        self, layer: Convolution, kernel: Tensor, bias: Tensor | None, activation: Activation
    ) -> None:
        super().__init__()
        self.layer, self.bias, self.activation = layer, bias, activation
        self.size = kernel.shape[2:]
        self.fused = FUSED.get(activation)
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
            return self.activation(y)
        assert self.fused is not None
        name, form = self.fused
        result: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            self.kernel,
            self.bias,
            padding,
            layer.stride,
            layer.dilation,
            layer.groups,
            name,
            [],
            form,
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
    steps = _pooled_first(graph)
    done: set[int] = set()
    for number in range(len(steps)):
        if number in done:
            continue
        module = graph.modules_in_order[steps[number].module]
        if isinstance(module, Convolution):
            module, absorbed = _absorbing(graph, steps, number)
            done.update(absorbed)
        elif isinstance(module, Steps):
            module = _prepared(module)
        new.steps.append(replace(steps[number], module=len(new.modules_in_order)))
        new.modules_in_order.append(module)
    return new


def _pooled_first(graph: Steps) -> list[Step]:
    """Return the steps with each max-pooling before the normalisation that it followed.

    The largest value is the same one, as long as the normalisation turns none round.
    """
    steps = list(graph.steps)
    for number, step in enumerate(steps):
        norm = graph.modules_in_order[step.module]
        if not (isinstance(norm, BatchNormalization) and _keeps_order(norm)):
            continue
        user = _only_user(graph, steps, number)
        if user is not None:
            pooling = steps[user]
            if isinstance(graph.modules_in_order[pooling.module], MaxPooling):
                steps[number] = replace(step, module=pooling.module)
                steps[user] = replace(pooling, module=step.module)
    return steps


def _absorbing(
    graph: Steps, steps: list[Step], number: int
) -> tuple[PreparedConvolution, list[int]]:
    """Prepare a convolution; return it with the steps that it makes needless.

    What stood before a needless step is made to give that step's outputs.
    """
    layer = graph.modules_in_order[steps[number].module]
    assert isinstance(layer, Convolution)
    kernel, bias, activation = *_own(layer), layer.activation
    absorbed: list[int] = []

    def module_of(step: int | None) -> Any:
        return None if step is None else graph.modules_in_order[steps[step].module]

    def absorb(step: int, into: int) -> None:
        steps[into] = replace(steps[into], outputs=steps[step].outputs)
        absorbed.append(step)

    if activation is not identity:
        return PreparedConvolution(layer, kernel, bias, activation), absorbed
    user = _only_user(graph, steps, number)
    pooling = user if isinstance(module_of(user), MaxPooling) else None
    after = user if pooling is None else _only_user(graph, steps, pooling)
    norm = module_of(after)
    # Through a pooling only if the largest value stays the largest.
    folds = isinstance(norm, BatchNormalization) and (pooling is None or _keeps_order(norm))
    if after is not None and folds:
        kernel, bias = _fold(layer, norm)
        absorb(after, number if pooling is None else pooling)
    user = _only_user(graph, steps, number)
    function = module_of(user)
    if user is not None and isinstance(function, Apply) and function.function in FUSED:
        activation = function.function
        absorb(user, number)
    return PreparedConvolution(layer, kernel, bias, activation), absorbed


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


def _only_user(graph: Steps, steps: Sequence[Step], number: int) -> int | None:
    """Return the one step that uses what this one gives, if the graph's result does not."""
    (slot,) = steps[number].outputs
    users = [i for i, other in enumerate(steps) if i > number and slot in _slots(other)]
    return users[0] if len(users) == 1 and slot != graph.result else None


def _slots(step: Step) -> Sequence[int]:
    values = keras.tree.flatten((step.args, step.kwargs))
    return [value.index for value in values if isinstance(value, Slot)]


def _keeps_order(norm: BatchNormalization) -> bool:
    return norm.gamma is None or bool((norm.gamma > 0).all())


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
