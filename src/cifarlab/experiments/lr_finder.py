"""Which learning rate: train with ever higher ones, and watch the validation loss.

The range test of Smith ("Cyclical learning rates for training neural networks", 2017), with
rates that grow exponentially from step to step. The loss is taken on held-out images and not
on the batch just trained on. The suggestion is the rate at which it falls fastest, once it is
below that of guessing: before that, a network only unlearns the certainty of its random start.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarlab.backend import KerasModel
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.lr_range import RangeTest, judge
from cifarlab.recipes.parts import Constant
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_device, choose_precision, computing_in
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.training.beginning import LoopOptions, on_device, start
from cifarlab.training.brought import make_ready
from cifarlab.training.loop import run_steps
from cifarlab.training.own_model import check_range, resolve
from cifarlab.training.setup import build_model, check_fit, fit_recipe, override
from cifarlab.training.state import TrainState
from cifarlab.training.step import evaluate
from cifarlab.training.steps import RecipeSteps
from cifarlab.training.train import Trainable
from cifarlab.training.translated import translated

FEWEST_STEPS = 10
# More images to measure with, or more measurements, cost time and change no suggestion.
MOST_IMAGES, MOST_MEASUREMENTS = 1000, 100
# A loss this many times the lowest one will not come down again.
HOPELESS = 4.0
# Forward passes before the first step, and images in each. Without them the loss would rise and
# fall while batch normalisation gathers its statistics, whatever the rate. With Keras's momentum
# of 0.99 they leave an eighth of its first guess.
PASSES, PASS = 200, 64
# By default from a thousandth of the recipe's rate to a hundred times it.
BELOW, ABOVE = 1e-3, 1e2


def find_learning_rate(
    what: Trainable,
    data: Dataset | str | os.PathLike[str] = "cifar10",
    *,
    low: float | None = None,
    high: float | None = None,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    skip_bad: bool = False,
    pixels: str | None = None,
    progress: Progress = SILENT,
) -> RangeTest:
    """Train from the starting weights at rates from ``low`` to ``high``; suggest one.

    The recipe's schedule and averaging are off, images have their full size, and all else is
    as in training. A model of the user's is as before when this returns.

    Args:
        what: a recipe, its name, a Keras model, or the path of a ``.keras`` file.
        data: a dataset with a validation split, or what ``cifarlab.load_dataset`` takes.
        low, high: rates of the first optimizer; by default 1/1000 and 100 times the recipe's.
        steps: at most this many; the loss is measured up to a hundred times.
        batch_size: instead of the recipe's.
        seed: random seed.
        skip_bad: leave out images that cannot be read.
        pixels: the range that a model of the user's was made for, as ``train`` takes it.
        progress: receives messages, progress bars and epochs.

    Returns:
        The losses over the rates, and the suggestion.

    Raises:
        UsageError: an unknown name, too few steps, bounds in the wrong order, or between which
            the loss never falls.
        InputError: model and data do not fit, or there is nothing to measure with.

    Example:
        >>> test = find_learning_rate("baseline", "cifar10")  # doctest: +SKIP
        >>> test.suggestion, test.at_minimum  # doctest: +SKIP
        (0.0021, 0.011)
        >>> train("baseline", learning_rate=test.suggestion)  # doctest: +SKIP
    """
    if steps < FEWEST_STEPS:
        raise UsageError(f"steps {steps}: a range test needs at least {FEWEST_STEPS}; try 100")
    compiled, model = resolve(what)
    check_range(pixels, own=model is not None)
    recipe = override(translated(compiled), batch_size=batch_size)
    rate = recipe.optimizers[0].lr
    low, high = low or rate * BELOW, high or rate * ABOVE
    if not (0 < low < high < math.inf):
        raise UsageError(
            f"rates from {low:g} to {high:g}: the low one must be above 0 and below the high "
            f"one; try --low {rate * BELOW:g} --high {rate * ABOVE:g}"
        )
    chosen = choose_device(device)
    if isinstance(data, Dataset):
        dataset = data
    else:
        progress.started("loading data")
        dataset = load_dataset(data, skip_bad=skip_bad, progress=progress.message)
    if not len(dataset.validation):
        raise InputError(
            f"{dataset.name}: has no validation images to measure with; "
            "give a dataset that has some"
        )
    recipe = fit_recipe(recipe, dataset)
    options = LoopOptions(
        device=chosen,
        precision=choose_precision("auto", chosen),
        seed=seed,
        class_names=dataset.class_names,
    )
    planned = np.geomspace(low, high, steps)
    with ExitStack() as restored:
        if model is None:
            net = build_model(recipe, dataset, seed)
            check_fit(net, dataset)
        else:
            # Its random layers are given a seed.
            restored.enter_context(_left_as_it_is(model))
            ready = make_ready(model, compiled, dataset, seed, pixels, progress.message)
            net = ready.finished.model
        restored.enter_context(_left_as_it_is(net))
        rates, losses = _measure(net, dataset, recipe, options, planned, progress)
    stopped_early = rates[-1:] != [float(planned[-1])]
    return judge(recipe, rates, losses, len(dataset.class_names), stopped_early=stopped_early)


def _measure(
    model: KerasModel,
    data: Dataset,
    recipe: Recipe,
    options: LoopOptions,
    planned: np.ndarray[Any, Any],
    progress: Progress,
) -> tuple[list[float], list[float]]:
    """Return the rates and losses up to the explosion, if there is one."""
    trial = _trial(recipe, len(planned), len(data.train))
    progress.started("trying rates", len(planned))
    held_out = on_device(_sample(data.validation), options.device)
    every = math.ceil(len(planned) / MOST_MEASUREMENTS)
    scales = iter(planned / trial.optimizers[0].lr)
    rates: list[float] = []
    losses: list[float] = []
    with torch.random.fork_rng(devices=[]), keeping_freed_memory():
        state = start(model, trial, options)
        _settle(state, data.train, options)
        way = RecipeSteps(model, state, trial, options.precision, scale=lambda: float(next(scales)))
        walk = _walk(way, data, trial, options)
        for step, _ in enumerate(islice(walk, len(planned)), start=1):
            progress.advanced()
            if step % every and step < len(planned):
                continue
            loss = evaluate(state.lowered, *held_out)["loss"]
            if not math.isfinite(loss):
                break
            rates.append(float(planned[step - 1]))
            losses.append(loss)
            if loss > HOPELESS * min(losses):
                break
    return rates, losses


def _trial(recipe: Recipe, steps: int, images: int) -> Recipe:
    """The recipe with nothing in it that changes along a run, long enough for all steps."""
    return dataclasses.replace(
        recipe,
        epochs=math.ceil(steps / math.ceil(images / recipe.batch_size)),
        schedule=Constant(),
        optimizers=tuple(dataclasses.replace(o, schedule=None) for o in recipe.optimizers),
        resolution=(),
        lookahead=None,
    )


def _walk(
    steps: RecipeSteps, data: Dataset, recipe: Recipe, options: LoopOptions
) -> Iterator[Tensor]:
    train = on_device(data.train, options.device)
    for epoch in range(recipe.epochs):
        steps.state.epoch, steps.state.step = epoch, 0
        yield from run_steps(steps, *train, recipe, options, len(data.class_names))


@torch.no_grad()
def _settle(state: TrainState, train: Split, options: LoopOptions) -> None:
    """Let statistics come to those of the starting weights, which stay as they are."""
    lowered = state.lowered
    if len(lowered.bindings) == len(lowered.trained_bindings):
        return
    torch.manual_seed(options.seed)
    order = np.resize(np.random.default_rng(0).permutation(len(train)), PASSES * PASS)
    lowered.train()
    for chosen in np.split(order, PASSES):
        images = torch.from_numpy(train.images[np.sort(chosen)]).to(options.device)
        with computing_in(options.precision, options.device):
            lowered(images)


def _sample(split: Split) -> Split:
    """The same images whatever the seed, so that tests can be compared."""
    order = np.random.default_rng(0).permutation(len(split))
    return split.subset(np.sort(order[:MOST_IMAGES]))


@contextmanager
def _left_as_it_is(model: KerasModel) -> Iterator[None]:
    """Give the model its weights and states back after the block.

    Layers that Keras runs are trained in place, and draw from generators of their own.
    """
    before = [(v.value, v.value.detach().clone(), v.value.grad) for v in model.variables]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value, gradient in before:
                tensor.copy_(value)
                tensor.grad = gradient
