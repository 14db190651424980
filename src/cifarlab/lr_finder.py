"""Which learning rate: train with ever higher ones, and watch the validation loss.

The range test of Smith ("Cyclical learning rates for training neural networks", 2017), with
rates that grow exponentially from step to step. The loss is taken on held-out pictures and not
on the batch just trained on. The suggestion is the rate at which it falls fastest, once it is
below that of guessing: before that, a network only unlearns the certainty of its random start.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarlab.data.catalog import load
from cifarlab.data.dataset import Dataset, Split
from cifarlab.engine.device import choose_device, choose_precision, computing_in
from cifarlab.engine.loop import Setting, on_device, run_steps, start
from cifarlab.engine.memory import keeping_freed_memory
from cifarlab.engine.state import TrainState
from cifarlab.engine.step import evaluate
from cifarlab.errors import InputError, UsageError
from cifarlab.preparation import build_model, check_fit, override, resolve
from cifarlab.recipes.parts import Constant
from cifarlab.recipes.recipe import Recipe

FEWEST_STEPS = 10
# More pictures to measure with, or more measurements, cost time and change no suggestion.
MOST_PICTURES, MOST_MEASUREMENTS = 1000, 100
# A loss this many times the lowest one will not come down again.
HOPELESS = 4.0
# Forward passes before the first step, and pictures in each. Without them the loss would rise and
# fall while batch normalisation gathers its statistics, whatever the rate. With Keras's momentum
# of 0.99 they leave an eighth of its first guess.
PASSES, PASS = 200, 64
# By default from a thousandth of the recipe's rate to a hundred times it.
BELOW, ABOVE = 1e-3, 1e2
# Width (standard deviation) of what the losses are smoothed with, in powers of ten of the rate.
SMOOTHING = 0.15

Floats = Sequence[float]


@dataclass(frozen=True)
class RangeTest:
    """The losses over the learning rates, and what follows from them.

    Rates are those of the recipe's first optimizer; the others' grow by the same factor.

    Attributes:
        recipe: its name.
        rates: ascending, one a measurement: the rate of the step before it.
        losses: mean cross-entropy on held-out pictures, all finite.
        suggestion: the rate at which the smoothed loss falls fastest, among those where it is
            below ln K, if any, for K classes.
        at_minimum: the rate at which the smoothed loss is lowest; a tenth of it is the other
            common choice.
        recipe_rate: what the recipe says.
        stopped_early: whether the loss had exploded before the highest rate.
    """

    recipe: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float
    at_minimum: float
    recipe_rate: float
    stopped_early: bool

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses without their noise."""
        return smooth(self.rates, self.losses)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        fields = dataclasses.asdict(self)
        for name in ("rates", "losses"):
            fields[name] = list(fields[name])
        return {**fields, "tenth_of_minimum": self.at_minimum / 10}


def nothing(_: int) -> None:
    """Do nothing."""


def find_rate(
    what: str | Recipe | Any,
    data: Dataset | str | os.PathLike[str] = "cifar10",
    *,
    low: float | None = None,
    high: float | None = None,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    stepped: Callable[[int], None] = nothing,
) -> RangeTest:
    """Train from the starting weights at rates from ``low`` to ``high``; suggest one.

    The recipe's schedule and averaging are off, pictures have their full size, and all else is
    as in training. A model of the user's is as before when this returns.

    Args:
        what: a recipe, its name, a Keras model, or the path of a ``.keras`` file.
        data: a dataset with a validation split, or what ``cifarlab.load`` takes.
        low, high: rates of the first optimizer; by default 1/1000 and 100 times the recipe's.
        steps: at most this many; the loss is measured up to a hundred times.
        batch_size: instead of the recipe's.
        stepped: is told the number of steps done.

    Raises:
        UsageError: an unknown name, too few steps, bounds in the wrong order, or between which
            the loss never falls.
        InputError: model and data do not fit, or there is nothing to measure with.
    """
    if steps < FEWEST_STEPS:
        raise UsageError(f"steps {steps}: a range test needs at least {FEWEST_STEPS}; try 100")
    recipe, model = resolve(what)
    recipe = override(recipe, batch_size=batch_size)
    rate = recipe.optimizers[0].lr
    low, high = low or rate * BELOW, high or rate * ABOVE
    if not (0 < low < high < math.inf):
        raise UsageError(
            f"rates from {low:g} to {high:g}: the low one must be above 0 and below the high "
            f"one; try --low {rate * BELOW:g} --high {rate * ABOVE:g}"
        )
    chosen = choose_device(device)
    setting = Setting(chosen, choose_precision("auto", chosen), seed, Path("unused"))
    dataset = data if isinstance(data, Dataset) else load(data)
    if not len(dataset.validation):
        raise InputError(
            f"{dataset.name}: has no validation pictures to measure with; "
            "give a dataset that has some"
        )
    net = model if model is not None else build_model(recipe, dataset, seed)
    check_fit(net, dataset)
    planned = np.geomspace(low, high, steps)
    with _left_as_it_is(net):
        rates, losses = _measure(net, dataset, recipe, setting, planned, stepped)
    stopped_early = rates[-1:] != [float(planned[-1])]
    return judge(recipe, rates, losses, len(dataset.class_names), stopped_early)


def judge(
    recipe: Recipe, rates: Floats, losses: Floats, classes: int, stopped_early: bool
) -> RangeTest:
    """Return the finished test.

    Raises:
        UsageError: there are fewer than three losses, or the first one is the lowest.
    """
    smoothed = smooth(rates, losses)
    lowest = int(np.argmin(smoothed)) if len(losses) >= 3 else 0
    if lowest == 0 or np.argmin(losses) == 0:
        tried = f"from {rates[0]:.2g} to {rates[-1]:.2g}" if rates else "at the lowest rate"
        raise UsageError(
            f"{recipe.name}: the validation loss never fell {tried}; "
            "try lower rates (--low, --high), or look whether pictures and labels belong together"
        )
    slopes = np.gradient(smoothed, np.log10(rates))
    falling = range(lowest + 1)
    learnt = [i for i in falling if smoothed[i] < math.log(classes)] or falling
    return RangeTest(
        recipe.name,
        tuple(rates),
        tuple(losses),
        suggestion=rates[min(learnt, key=lambda i: slopes[i])],
        at_minimum=rates[lowest],
        recipe_rate=recipe.optimizers[0].lr,
        stopped_early=stopped_early,
    )


def smooth(rates: Floats, losses: Floats) -> tuple[float, ...]:
    """Average each loss with its neighbours, weighted by a bell curve over the log of the rate.

    After the lowest loss none counts as worse than the worst before it, so that an explosion
    does not reach far back.
    """
    if not len(losses):
        return ()
    capped = np.minimum(losses, max(losses[: int(np.argmin(losses)) + 1]))
    places = np.log10(rates)
    apart = (places[:, None] - places[None, :]) / SMOOTHING
    weights = np.exp(-0.5 * apart**2)
    return tuple(float(x) for x in weights @ capped / weights.sum(axis=1))


def _measure(
    model: Any,
    data: Dataset,
    recipe: Recipe,
    setting: Setting,
    planned: np.ndarray[Any, Any],
    stepped: Callable[[int], None],
) -> tuple[list[float], list[float]]:
    """Return the rates and losses up to the explosion, if there is one."""
    trial = _trial(recipe, len(planned), len(data.train))
    held_out = on_device(_sample(data.validation), setting.device)
    every = math.ceil(len(planned) / MOST_MEASUREMENTS)
    scales = iter(planned / trial.optimizers[0].lr)
    rates: list[float] = []
    losses: list[float] = []
    with torch.random.fork_rng(devices=[]), keeping_freed_memory():
        state = start(model, trial, setting)
        _settle(state, data.train, setting)
        walk = _walk(state, data, trial, setting, lambda: float(next(scales)))
        for step, _ in enumerate(islice(walk, len(planned)), start=1):
            stepped(step)
            if step % every and step < len(planned):
                continue
            loss = evaluate(state.lowered, *held_out)[0]
            if not math.isfinite(loss):
                break
            rates.append(float(planned[step - 1]))
            losses.append(loss)
            if loss > HOPELESS * min(losses):
                break
    return rates, losses


def _trial(recipe: Recipe, steps: int, pictures: int) -> Recipe:
    """The recipe with nothing in it that changes along a run, long enough for all steps."""
    return dataclasses.replace(
        recipe,
        epochs=math.ceil(steps / math.ceil(pictures / recipe.batch_size)),
        schedule=Constant(),
        optimizers=tuple(dataclasses.replace(o, schedule=None) for o in recipe.optimizers),
        resolution=(),
        lookahead=None,
    )


def _walk(
    state: TrainState,
    data: Dataset,
    recipe: Recipe,
    setting: Setting,
    scale: Callable[[], float],
) -> Iterator[Tensor]:
    train = on_device(data.train, setting.device)
    for epoch in range(recipe.epochs):
        state.epoch, state.step = epoch, 0
        yield from run_steps(state, *train, recipe, setting, len(data.class_names), scale)


@torch.no_grad()
def _settle(state: TrainState, train: Split, setting: Setting) -> None:
    """Let statistics come to those of the starting weights, which stay as they are."""
    lowered = state.lowered
    if len(lowered.bindings) == len(lowered.trained_bindings):
        return
    torch.manual_seed(setting.seed)
    order = np.resize(np.random.default_rng(0).permutation(len(train)), PASSES * PASS)
    lowered.train()
    for chosen in np.split(order, PASSES):
        images = torch.from_numpy(train.images[np.sort(chosen)]).to(setting.device)
        with computing_in(setting.precision, setting.device):
            lowered(images)


def _sample(split: Split) -> Split:
    """The same pictures whatever the seed, so that tests can be compared."""
    order = np.random.default_rng(0).permutation(len(split))
    return split.subset(np.sort(order[:MOST_PICTURES]))


@contextmanager
def _left_as_it_is(model: Any) -> Iterator[None]:
    """Give the model its weights and states back after the block.

    Layers that run as themselves are trained in place, and draw from generators of their own.
    """
    before = [(v.value, v.value.detach().clone(), v.value.grad) for v in model.variables]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value, gradient in before:
                tensor.copy_(value)
                tensor.grad = gradient
