"""What the loop asks of a way to train: by a recipe, or as a model was compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from cifarlab.backend import KerasModel
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.progress import Progress
from cifarlab.training.averaging import look_ahead
from cifarlab.training.batch import Batch
from cifarlab.training.fixed_layers import FixedLayers
from cifarlab.training.optimizers import set_rates
from cifarlab.training.state import TrainState
from cifarlab.training.step import evaluate, train_step


class Steps(Protocol):
    """The work of a loop on batches and epochs; what resumes is in ``state``."""

    state: TrainState

    @property
    def rate(self) -> float:
        """The learning rate now, the first where there are several."""

    @property
    def keras_rate(self) -> float:
        """The learning rate of the Keras optimizer, which callbacks may change."""

    def say(self, progress: Progress) -> None:
        """Say how it is trained, before the first batch."""

    def out_of_date(self) -> bool:
        """Whether a callback has changed layers that were read before."""

    def begin_epoch(self, *, at_batches: bool) -> None:
        """Prepare for the rest of the epoch in ``state``.

        Args:
            at_batches: whether callbacks run between its steps.
        """

    def train(self, batch: Batch, done: int, planned: int, generator: torch.Generator, /) -> Tensor:
        """Do a step, the number ``done`` of all that are ``planned``; return its loss.

        Args:
            batch: as it was drawn, not augmented.
            generator: what augmentation draws from.
        """

    def so_far(self) -> dict[str, float]:
        """Return what the steps of the epoch have measured until now."""

    def validate(self, images: Tensor, labels: Tensor, /) -> dict[str, float]:
        """Return what is measured on held-out images, by names without ``val_``."""

    def to_keras(self, done: int, /) -> None:
        """Bring the weights, after ``done`` steps, to the Keras model, where callbacks look."""

    def from_keras(self) -> None:
        """Go on with the weights of the Keras model, which callbacks may have changed.

        Raises:
            UsageError: they changed what cannot be followed.
        """

    def finish_epoch(self) -> None:
        """Give the Keras model the weights that training would end with now."""

    def go_on(self) -> None:
        """Go back to the weights that training goes on with."""

    def interrupted(self) -> None:
        """Note in ``state`` what the rest of the epoch must know."""

    def restored(self, keras_rate: float, /) -> None:
        """Go on from a checkpoint, which has been read into ``state``."""

    def end(self) -> None:
        """Bring the Keras model to what it is after the last epoch."""


class RecipeSteps:
    """Steps with the optimizers, the schedule and the loss of a recipe.

    Args:
        model: compiled; where a callback changes its optimizer's learning rate, all rates of the
            recipe change by the same factor.
        class_weights: float32 ``[K]`` on the device.
        scale: what all learning rates are multiplied by, asked for before each step, instead of
            by what callbacks have multiplied the Keras optimizer's.
    """

    def __init__(
        self,
        model: KerasModel,
        state: TrainState,
        recipe: Recipe,
        precision: torch.dtype,
        class_weights: Tensor | None = None,
        scale: Callable[[], float] | None = None,
    ) -> None:
        self.model, self.state, self.recipe, self.precision = model, state, recipe, precision
        self.class_weights = class_weights
        self.layers = FixedLayers(model)
        # Where it is given, the Keras optimizer is not asked: there may be none.
        self.recipe_rate = self.keras_rate if scale is None else 1.0
        self.scale: Callable[[], float] = scale or (lambda: 1.0)

    @property
    def rate(self) -> float:
        return self.state.groups[0].rate

    @property
    def keras_rate(self) -> float:
        return float(self.model.optimizer.learning_rate)

    def say(self, progress: Progress) -> None:
        if self.state.lowered.not_lowered:
            layers = ", ".join(self.state.lowered.not_lowered)
            progress.message(f"no native version, run by Keras (slower): {layers}")

    def out_of_date(self) -> bool:
        return self.layers.changed()

    def begin_epoch(self, *, at_batches: bool) -> None:
        # Stock callbacks such as ReduceLROnPlateau act on the Keras optimizer. Asked once per
        # epoch where no callback runs in between: Keras keeps the rate on the device, where
        # reading it waits for all that is queued.
        scale = self.keras_rate / self.recipe_rate
        self.scale = lambda: self.keras_rate / self.recipe_rate if at_batches else scale

    def train(self, batch: Batch, done: int, planned: int, generator: torch.Generator) -> Tensor:
        state, recipe = self.state, self.recipe
        set_rates(state.groups, recipe.schedule, done / planned, self.scale())
        loss = train_step(state, batch, recipe, self.precision, generator, self.class_weights)
        if state.average is not None:
            look_ahead(state.average, done + 1, planned)
        return loss

    def so_far(self) -> dict[str, float]:
        loss, accuracy = self.state.totals.means()
        return {"loss": loss, "accuracy": accuracy}

    def validate(self, images: Tensor, labels: Tensor) -> dict[str, float]:
        return evaluate(self.state.lowered, images, labels)

    def to_keras(self, done: int) -> None:
        self.state.lowered.write_back()
        # The Keras optimizer, which callbacks ask, has done none of the steps itself.
        self.model.optimizer.iterations.assign(done)

    def from_keras(self) -> None:
        self.layers.check()
        self.state.lowered.read_in()

    def finish_epoch(self) -> None:
        """The weights are those that it would end with."""

    def go_on(self) -> None:
        """They are those that it goes on with."""

    def interrupted(self) -> None:
        self.state.lowered.write_back()

    def restored(self, keras_rate: float) -> None:
        self.model.optimizer.learning_rate = keras_rate
        self.state.lowered.write_back()

    def end(self) -> None:
        """Nothing is left to do."""
