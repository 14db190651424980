"""Observe the layers of a lowered model while it computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from cifarlab.lowering.binding import LoweredLayer
from cifarlab.lowering.model import LoweredModel


@contextmanager
def watched(lowered: LoweredModel, observe: Callable[[nn.Module, int, Any], Any]) -> Iterator[None]:
    """Call ``observe`` with each layer's output, in evaluation mode; restore all modes afterwards.

    ``observe`` gets the layer, the number of the call and the output, and may return another
    output to replace it.
    """
    numbers = itertools.count()
    modes = {module: module.training for module in lowered.modules()}
    layers = [module for module in modes if isinstance(module, LoweredLayer)]
    losses = [list(module.added_losses) for module in lowered.keras_modules]

    def hook(layer: nn.Module, _: Any, output: Any) -> Any:
        return observe(layer, next(numbers), output)

    handles = [layer.register_forward_hook(hook) for layer in layers]
    lowered.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
        for module, before in zip(lowered.keras_modules, losses, strict=True):
            module.added_losses[:] = before
