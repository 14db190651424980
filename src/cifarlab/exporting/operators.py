"""ONNX forms of PyTorch operators that PyTorch's own exporter refuses at our opset.

Each function builds the nodes of one operator from standard ONNX operators. The sizes of its values
are known, since ``tracing`` makes them constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.onnx import symbolic_helper, utils

# The last axes, which an operator on images works on: height and width, or more.
Sizes = Sequence[int]


@contextmanager
def more_operators(opset: int) -> Iterator[None]:
    """Let PyTorch's exporter write the operators of ``FORMS``, within the block alone."""
    for name, form in FORMS.items():
        utils.register_custom_op_symbolic(name, form, opset)
    try:
        yield
    finally:
        for name in FORMS:
            utils.unregister_custom_op_symbolic(name, opset)


def _same(_: Any, x: Any, *__: Any) -> Any:
    """Memory formats are nothing in ONNX."""
    return x


def _ravel(g: Any, x: Any) -> Any:
    return g.op("Reshape", x, _constant(g, [-1]))


def _rms_norm(g: Any, x: Any, shape: Any, weight: Any, epsilon: Any) -> Any:
    """Divide by the root of the mean square over the last axes."""
    axes = list(range(-len(_integers(shape)), 0))
    given = symbolic_helper._maybe_get_const(epsilon, "f")
    small = torch.finfo(torch.float32).eps if symbolic_helper._is_none(epsilon) else float(given)
    mean = g.op("ReduceMean", g.op("Mul", x, x), axes_i=axes, keepdims_i=1)
    root = g.op("Sqrt", g.op("Add", mean, g.op("Constant", value_t=torch.tensor(small))))
    normal = g.op("Div", x, root)
    return normal if symbolic_helper._is_none(weight) else g.op("Mul", normal, weight)


def _resize(operator: Any) -> Callable[..., Any]:
    """Resize by products with two matrices: how much each pixel is part of each new one."""

    def form(g: Any, x: Any, size: Any, *settings: Any) -> Any:
        # What follows the size but for the factors, which the size decides.
        given = [bool(symbolic_helper._maybe_get_const(one, "b")) for one in settings[:-1]]
        (height, width), (rows, columns) = _sizes(x)[-2:], _integers(size)
        down = operator(torch.eye(height)[None, None], [rows, height], *given, None)[0, 0]
        across = operator(torch.eye(width)[None, None], [width, columns], *given, None)[0, 0]
        x = g.op("MatMul", g.op("Constant", value_t=down), x)
        return g.op("MatMul", x, g.op("Constant", value_t=across))

    return form


def _adaptive_pooling(reduce: str) -> Callable[..., Any]:
    """Reduce windows that may differ by one in size, along one axis after the other."""

    def form(g: Any, x: Any, size: Any) -> Any:
        extents, wanted = _sizes(x), _integers(size)
        for axis, parts in enumerate(wanted, len(extents) - len(wanted)):
            windows = [
                (i * extents[axis] // parts, -(-(i + 1) * extents[axis] // parts))
                for i in range(parts)
            ]
            reduced = [
                g.op(reduce, _slice(g, x, axis, *window), axes_i=[axis], keepdims_i=1)
                for window in windows
            ]
            x = g.op("Concat", *reduced, axis_i=axis)
        return x

    return form


def _with_indices(form: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: (form(*args), None)


def _slice(g: Any, x: Any, axis: int, start: int, end: int) -> Any:
    return g.op("Slice", x, *(_constant(g, [value]) for value in (start, end, axis)))


def _constant(g: Any, values: list[int]) -> Any:
    return g.op("Constant", value_t=torch.tensor(values))


def _sizes(x: Any) -> Sizes:
    sizes: Sizes = x.type().varyingSizes()
    return sizes


def _integers(value: Any) -> Sizes:
    """Return the constants of a list, which may be one constant or made of several."""
    if symbolic_helper._is_packed_list(value):
        return [
            int(symbolic_helper._maybe_get_const(one, "i"))
            for one in symbolic_helper._unpack_list(value)
        ]
    integers: Sizes = symbolic_helper._maybe_get_const(value, "is")
    return integers


_average, _largest = _adaptive_pooling("ReduceMean"), _adaptive_pooling("ReduceMax")
FORMS: dict[str, Callable[..., Any]] = {
    "aten::contiguous": _same,
    "aten::ravel": _ravel,
    "aten::rms_norm": _rms_norm,
    "aten::upsample_bicubic2d": _resize(torch.ops.aten.upsample_bicubic2d),
    "aten::_upsample_nearest_exact2d": _resize(torch.ops.aten._upsample_nearest_exact2d),
    "aten::_upsample_bilinear2d_aa": _resize(torch.ops.aten._upsample_bilinear2d_aa),
    "aten::_upsample_bicubic2d_aa": _resize(torch.ops.aten._upsample_bicubic2d_aa),
    "aten::adaptive_avg_pool1d": _average,
    "aten::adaptive_avg_pool2d": _average,
    "aten::adaptive_avg_pool3d": _average,
    "aten::adaptive_max_pool1d": _with_indices(_largest),
    "aten::adaptive_max_pool2d": _with_indices(_largest),
    "aten::adaptive_max_pool3d": _with_indices(_largest),
}
