"""Max-pooling; pooling by 2 as maxima of neighbours, which trains faster on a CPU.

PyTorch's own pooling writes an index of eight bytes for each output value, and reads it for the
gradient. docs/log.md has the timings.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from cifarlab.lowering.binding import LoweredLayer
from cifarlab.lowering.padding import same_padding

ROWS, COLUMNS = 2, 3


class MaxPooling(LoweredLayer):
    """The largest value of each window and channel."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.size, self.stride = tuple(layer.pool_size), tuple(layer.strides)
        self.same = layer.padding == "same"
        self.halves = self.size == self.stride == (2, 2) and not self.same

    def forward(self, x: Tensor) -> Tensor:
        on_cpu = x.device.type == "cpu" and not torch.compiler.is_compiling()
        if self.halves and x.requires_grad and on_cpu:
            halved: Tensor = _Halving.apply(x)  # type: ignore[no-untyped-call]
            return halved
        padding = (0, 0)
        if self.same:
            x, padding = same_padding(x, self.size, self.stride, (1, 1), "replicate")
        return F.max_pool2d(x, self.size, self.stride, padding)


class _Halving(torch.autograd.Function):
    """Max-pooling by 2: ``[N, C, H, W]`` to ``[N, C, H // 2, W // 2]``.

    Of equal values only one gets the gradient: the upper one, and of these the left one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # Rows first: the values of a row are contiguous in memory, those of a column are not.
        rows = torch.maximum(*_pairs(x, ROWS))
        ctx.save_for_backward(x, rows)
        return torch.maximum(*_pairs(rows, COLUMNS))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, rows = ctx.saved_tensors
        return _to_larger(_to_larger(gradient, rows, COLUMNS), x, ROWS)


def _pairs(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return views of the first and second of each pair along ``dim``, without an odd last one."""
    every = [slice(None)] * dim
    end = x.shape[dim] // 2 * 2
    return x[(*every, slice(0, end, 2))], x[(*every, slice(1, end, 2))]


def _to_larger(gradient: Tensor, values: Tensor, dim: int) -> Tensor:
    """Send a gradient to the larger of each pair of ``values`` along ``dim``, zeros elsewhere."""
    first, second = _pairs(values, dim)
    result = torch.empty_like(values)
    to_first, to_second = _pairs(result, dim)
    # The gradient of ReLU. Comparing and multiplying takes four times as long in bfloat16.
    torch.ops.aten.threshold_backward.grad_input(gradient, second - first, 0, grad_input=to_second)
    torch.sub(gradient, to_second, out=to_first)
    if values.shape[dim] % 2:
        result.narrow(dim, -1, 1).zero_()
    return result
