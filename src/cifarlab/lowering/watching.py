"""Looking into a lowered model while it computes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from cifarlab.lowering.binding import LoweredLayer
from cifarlab.lowering.model import LoweredModel


@contextmanager
def watched(lowered: LoweredModel, look: Callable[[nn.Module, int, Any], Any]) -> Iterator[None]:
    """In evaluation mode, show each layer's output to ``look``; then put everything back.

    ``look`` gets the layer, the number of the call and the output, and may return another output
    to go on with.
    """
    numbers = itertools.count()
    modes = {module: module.training for module in lowered.modules()}
    layers = [module for module in modes if isinstance(module, LoweredLayer)]
    losses = [list(module.added_losses) for module in lowered.foreign]

    def hook(layer: nn.Module, _: Any, output: Any) -> Any:
        return look(layer, next(numbers), output)

    handles = [layer.register_forward_hook(hook) for layer in layers]
    lowered.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
        for foreign, before in zip(lowered.foreign, losses, strict=True):
            foreign.added_losses[:] = before
