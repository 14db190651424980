"""Bring a model into a form that PyTorch's exporters can trace, and back."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from cifarlab.lowering.model import LoweredModel

# Images in the example that a model is traced with. A size that is a multiple of it may depend on
# the number of images; 7 is seldom a factor of any other size.
EXAMPLE_IMAGES = 7

TALKATIVE = ("torch.onnx", "torch._subclasses.fake_tensor")
READING_SIZES = (torch.Tensor.shape.__get__, torch.Tensor.size)  # type: ignore[attr-defined]


class ConstantSizes(TorchFunctionMode):
    """Make the sizes of tensors numbers while a model is traced, but for the number of images.

    ONNX has operators whose settings must be constants, and the tracer takes every size that is
    read from a tensor for a variable.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        return _constant(result) if func in READING_SIZES else result


def _constant(size: Any) -> Any:
    if isinstance(size, torch.Size):
        return torch.Size([_constant(one) for one in size])
    return int(size) if int(size) % EXAMPLE_IMAGES else size


@contextmanager
def traceable(network: LoweredModel) -> Iterator[None]:
    """Let layers that Keras runs be traced: their weights become constants of the new file.

    The tracer takes no tensor that wants a gradient, unless it is a parameter of the module. Losses
    that layers add are of no use in the file, and Keras divides them by the number of images.
    """
    values = [b.variable.value for b in network.bindings if b.holder is b.variable]
    learnt: list[Tensor] = [value for value in values if value.requires_grad]
    layers = [layer for layer in _keras_layers(network) if layer.activity_regularizer is not None]
    regularizers = [layer.activity_regularizer for layer in layers]
    for value in learnt:
        value.requires_grad_(False)
    for layer in layers:
        layer.activity_regularizer = None
    try:
        yield
    finally:
        for value in learnt:
            value.requires_grad_(True)
        for layer, regularizer in zip(layers, regularizers, strict=True):
            layer.activity_regularizer = regularizer


@contextmanager
def unrolled(network: LoweredModel) -> Iterator[None]:
    """Let recurrent layers run step by step: Keras's own loop fixes the number of images."""
    layers = [layer for layer in _keras_layers(network) if getattr(layer, "unroll", None) is False]
    for layer in layers:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in layers:
            layer.unroll = False


def _keras_layers(network: LoweredModel) -> list[Any]:
    outer = [m.operation[0] for m in network.keras_modules if m.is_layer]
    return list({id(one): one for layer in outer for one in layer._flatten_layers()}.values())


@contextmanager
def quiet() -> Iterator[None]:
    """Drop warnings and listings meant for developers of exporters."""
    # It prints the whole graph to stdout when an operator is missing, whatever it is asked.
    listing = torch._C._jit_onnx_log
    torch._C._jit_onnx_log = lambda *_: None
    loggers = [logging.getLogger(name) for name in TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            torch._C._jit_onnx_log = listing
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
