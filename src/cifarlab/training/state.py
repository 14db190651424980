"""All that a resumed run needs to go on as if it had never stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from cifarlab.lowering.binding import Binding
from cifarlab.lowering.model import LoweredModel
from cifarlab.training.averaging import Average
from cifarlab.training.optimizers import Group


@dataclass(kw_only=True)
class Totals:
    """Sums over the steps of the current epoch, kept on the device."""

    loss: torch.Tensor
    correct: torch.Tensor
    count: int = 0

    @staticmethod
    def zero(device: torch.device) -> Totals:
        """Sums over no steps."""
        return Totals(loss=torch.zeros((), device=device), correct=torch.zeros((), device=device))

    def add(self, loss: torch.Tensor, correct: torch.Tensor, count: int) -> None:
        """Add a step: its mean loss, its right predictions, its images."""
        self.loss += loss.detach() * count
        self.correct += correct
        self.count += count

    def means(self) -> tuple[float, float]:
        """Loss and accuracy so far; waits for the device."""
        return float(self.loss) / self.count, float(self.correct) / self.count


@dataclass(kw_only=True)
class TrainState:
    """Where training stands.

    Attributes:
        groups: the optimizers, each with the weights that it trains.
        average: the moving average of the weights, where the recipe has one.
        keras_variables: all of Keras's that change where a model is trained as it was compiled:
            weights, optimizer, metrics, seeds.
        logs: what Keras's last step said of its epoch.
        epoch: the epoch in progress, from 0.
        step: steps done in it.
        totals: sums over those steps.
        history: a row for each finished epoch.
        stopped: whether a callback has ended training.
    """

    lowered: LoweredModel
    groups: tuple[Group, ...]
    totals: Totals
    average: Average | None = None
    keras_variables: tuple[Any, ...] = ()
    logs: dict[str, float] = field(default_factory=dict)
    epoch: int = 0
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    stopped: bool = False

    @property
    def bindings(self) -> list[Binding]:
        """The native weights that resume; none where the Keras variables are what is trained."""
        return [] if self.keras_variables else self.lowered.bindings
