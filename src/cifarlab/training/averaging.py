"""Averages of the weights along the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cifarlab.recipes.parts import Lookahead


@dataclass(frozen=True, kw_only=True)
class Average:
    """A moving average of weights and statistics.

    Attributes:
        spec: when it is taken and how long it remembers.
        tensors: the weights themselves.
        means: their averages, in the same order.
    """

    spec: Lookahead
    tensors: Sequence[Tensor]
    means: Sequence[Tensor]


@torch.no_grad()
def start_average(spec: Lookahead, tensors: Sequence[Tensor]) -> Average:
    """Return an average that begins at the weights as they are."""
    return Average(
        spec=spec, tensors=tensors, means=[tensor.detach().clone() for tensor in tensors]
    )


@torch.no_grad()
def look_ahead(average: Average, steps: int, of: int) -> None:
    """Take the average after ``steps`` of ``of`` steps, if it is due, and go on from it."""
    progress = steps / of
    if progress < average.spec.start:
        return
    if (steps - 1) / of < average.spec.start:
        # The first step that counts: the weights as they are begin the average.
        torch._foreach_copy_(list(average.means), list(average.tensors))
    if steps < of and steps % average.spec.every:
        return
    if steps < of:
        decay = average.spec.decay * progress**average.spec.power
        torch._foreach_lerp_(list(average.means), list(average.tensors), 1.0 - decay)
    torch._foreach_copy_(list(average.tensors), list(average.means))
