"""The order of things in training; the maths is in ``step.py``, what resumes in ``state.py``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifarlab.backend import keras
from cifarlab.data.dataset import Split
from cifarlab.errors import DivergedError, InputError, RunInterruptedError
from cifarlab.lowering.model import lower
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import deterministic_kernels
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.runtime.randomness import derive, generator, seed_global
from cifarlab.training.averaging import look_ahead, start_average
from cifarlab.training.batch import batches
from cifarlab.training.callbacks import check_callbacks
from cifarlab.training.checkpoint import load_checkpoint, save_checkpoint
from cifarlab.training.optimizers import build_optimizers, freeze, set_rates
from cifarlab.training.progress import Reporter
from cifarlab.training.signals import Interrupts, catching_signals
from cifarlab.training.state import Totals, TrainState
from cifarlab.training.step import evaluate, train_step


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Where and how a run computes: everything that is not the recipe.

    Attributes:
        checkpoints: the folder that they are kept in.
        deterministic: allow reproducible kernels only.
        compiled: have PyTorch compile the network, forwards and backwards.
    """

    device: torch.device
    precision: torch.dtype
    seed: int
    checkpoints: Path
    deterministic: bool = False
    compiled: bool = False


def fit(
    model: Any,
    train: Split,
    validation: Split,
    recipe: Recipe,
    setting: LoopOptions,
    callbacks: Sequence[Any],
    reporter: Reporter,
    record: Callable[[Sequence[Mapping[str, float]]], None],
) -> list[dict[str, float]]:
    """Train a compiled Keras model, going on from the newest checkpoint if there is one.

    The model's weights are current whenever a callback runs, and at the end.

    Args:
        model: compiled, ends in a softmax; where a callback changes its optimizer's learning
            rate, all rates of the recipe change by the same factor.
        validation: may be empty; the history then has no ``val_loss`` and ``val_accuracy``.
        callbacks: Keras callbacks that work at epoch ends.
        record: is given the whole history after each epoch.

    Returns:
        The history: a row an epoch with ``epoch`` (from 1), ``loss``, ``accuracy``,
        ``val_loss``, ``val_accuracy``, ``learning_rate`` and ``seconds``.

    Raises:
        DivergedError: the loss became infinite or not a number.
        RunInterruptedError: SIGINT or SIGTERM; a checkpoint was saved first.
        ResourceError: a checkpoint could not be written.
    """
    check_callbacks(callbacks)
    state = start(model, recipe, setting)
    if state.lowered.not_lowered:
        reporter.message(f"these layers run as themselves: {', '.join(state.lowered.not_lowered)}")
    base_rate = _keras_rate(model)
    job = _Job(
        model=model,
        state=state,
        train=train,
        validation=validation,
        recipe=recipe,
        setting=setting,
        callbacks=callbacks,
        reporter=reporter,
        record=record,
        base_rate=base_rate,
    )
    with (
        torch.random.fork_rng(devices=[]),
        deterministic_kernels(setting.deterministic),
        keeping_freed_memory(),
        catching_signals() as interrupts,
    ):
        _train(job, interrupts)
    return state.history


def start(model: Any, recipe: Recipe, setting: LoopOptions) -> TrainState:
    """Return the state before the first step.

    Raises:
        InputError: the model does not end in a softmax.
    """
    lowered = lower(model, setting.device)
    if not lowered.strip_softmax():
        raise InputError(
            f"model {model.name!r} does not end in a softmax layer used once; "
            'make its last layer keras.layers.Softmax() or a Dense with activation="softmax"'
        )
    if setting.compiled:
        # One graph for each size of image; evaluation has sizes of its own and is not compiled.
        lowered.compile(dynamic=False)
    free = freeze(lowered.trained_bindings, recipe.frozen)
    groups = build_optimizers(free, recipe.optimizers, setting.precision)
    average = None
    if recipe.lookahead is not None:
        average = start_average(recipe.lookahead, [b.tensor for b in lowered.bindings])
    return TrainState(
        lowered=lowered, groups=groups, totals=Totals.zero(setting.device), average=average
    )


def run_steps(
    state: TrainState,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    setting: LoopOptions,
    classes: int,
    scale: Callable[[], float] = lambda: 1.0,
) -> Iterator[Tensor]:
    """Do the steps of the epoch that are not done yet; yield each one's mean loss.

    Args:
        images: uint8 ``[N, H, W, C]`` on the device.
        labels: int64 ``[N]`` on the device.
        scale: what all learning rates are multiplied by, asked for before each step.
    """
    steps = -(-len(labels) // recipe.batch_size)
    for step, batch in batches(
        images, labels, classes, recipe.batch_size, setting.seed, state.epoch, state.step
    ):
        done, planned = state.epoch * steps + step, recipe.epochs * steps
        set_rates(state.groups, recipe.schedule, done / planned, scale())
        # Dropout, and layers that run as themselves, draw from the global generator.
        seed_global(derive(setting.seed, "step", state.epoch, step), setting.device)
        draws = generator(setting.seed, "augment", state.epoch, step)
        loss = train_step(state, batch, recipe, setting.precision, draws)
        if state.average is not None:
            look_ahead(state.average, done + 1, planned)
        state.step = step + 1
        yield loss


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What ``fit`` was given, in one piece."""

    model: Any
    state: TrainState
    train: Split
    validation: Split
    recipe: Recipe
    setting: LoopOptions
    callbacks: Sequence[Any]
    reporter: Reporter
    record: Callable[[Sequence[Mapping[str, float]]], None]
    base_rate: float

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-len(self.train) // self.recipe.batch_size)


def _train(job: _Job, interrupts: Interrupts) -> None:
    model, state, device = job.model, job.state, job.setting.device
    data = on_device(job.train, device), on_device(job.validation, device)
    hooks = keras.callbacks.CallbackList(list(job.callbacks), add_history=True, model=model)
    model.stop_training = False
    hooks.on_train_begin()
    rate = load_checkpoint(job.setting.checkpoints, state, job.callbacks)
    if rate is not None:
        model.optimizer.learning_rate = rate
        state.lowered.write_back()
    while state.epoch < job.recipe.epochs and not state.stopped:
        hooks.on_epoch_begin(state.epoch)
        job.reporter.epoch_started(state.epoch, job.recipe.epochs, job.steps)
        row = _run_epoch(job, data, interrupts)
        state.lowered.write_back()
        hooks.on_epoch_end(state.epoch, _logs(row))
        # A callback may have changed the weights, as some averaging ones do.
        state.lowered.read_in()
        state.history.append(row)
        job.record(state.history)
        state.stopped = bool(model.stop_training)
        state.epoch, state.step = state.epoch + 1, 0
        state.totals = Totals.zero(device)
        save_checkpoint(job.setting.checkpoints, state, job.callbacks, _keras_rate(model))
        job.reporter.epoch_ended(row)
    hooks.on_train_end()


def on_device(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a split's images, uint8 ``[N, H, W, C]``, and labels, int64 ``[N]``, on a device."""
    # PyTorch warns about read-only memory maps, and nothing here writes to them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        images = torch.from_numpy(split.images)
    labels = torch.from_numpy(split.labels.astype("int64"))
    return images.to(device), labels.to(device)


def _run_epoch(
    job: _Job, data: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], interrupts: Interrupts
) -> dict[str, float]:
    state, setting = job.state, job.setting
    began = time.perf_counter()
    losses: list[Tensor] = []
    # Once an epoch: callbacks work between epochs, and Keras keeps the rate on the device, where
    # reading it waits for all that is queued.
    scale = _scale(job)
    for loss in run_steps(
        state, *data[0], job.recipe, setting, job.model.output_shape[-1], lambda: scale
    ):
        losses.append(loss)
        # Looking at a loss waits for the device: cheap on a CPU, dear on a GPU.
        if setting.device.type == "cpu" or state.step == job.steps:
            _check_finite(job, losses)
            losses.clear()
        job.reporter.stepped(state.step)
        if interrupts.signal_number is not None:
            _stop(job, interrupts.signal_number)
    loss_mean, accuracy = state.totals.means()
    row = {"epoch": state.epoch + 1, "loss": loss_mean, "accuracy": accuracy}
    if len(job.validation):
        row["val_loss"], row["val_accuracy"] = evaluate(state.lowered, *data[1])
    row["learning_rate"] = state.groups[0].rate
    row["seconds"] = time.perf_counter() - began
    return row


def _scale(job: _Job) -> float:
    # Stock callbacks such as ReduceLROnPlateau act on the Keras optimizer.
    return _keras_rate(job.model) / job.base_rate


def _keras_rate(model: Any) -> float:
    return float(model.optimizer.learning_rate)


def _check_finite(job: _Job, losses: Sequence[Tensor]) -> None:
    finite = torch.stack(list(losses)).isfinite()
    if bool(finite.all()):
        return
    first = job.state.step - len(losses) + int(finite.logical_not().nonzero()[0])
    rate = job.state.groups[0].rate
    raise DivergedError(
        f"the loss is no longer a finite number at epoch {job.state.epoch + 1}, "
        f"step {first + 1}, learning rate {rate:g}; the checkpoint before it is kept: "
        "start again with a lower learning rate"
    )


def _stop(job: _Job, signal_number: int) -> None:
    job.state.lowered.write_back()
    rate = _keras_rate(job.model)
    save_checkpoint(job.setting.checkpoints, job.state, job.callbacks, rate)
    raise RunInterruptedError(
        f"stopped at epoch {job.state.epoch + 1}, step {job.state.step} of {job.steps}; "
        f"all is saved, go on with: cifarlab train --resume {job.setting.checkpoints.parent}",
        signal_number,
    )


def _logs(row: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name not in ("epoch", "seconds")}
