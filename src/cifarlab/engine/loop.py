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
from cifarlab.engine.callbacks import check_callbacks
from cifarlab.engine.checkpoint import load_checkpoint, save_checkpoint
from cifarlab.engine.device import deterministic_kernels
from cifarlab.engine.interrupts import Interrupts, catching_signals
from cifarlab.engine.lowering import lower
from cifarlab.engine.memory import keeping_freed_memory
from cifarlab.engine.optim import build_optimizer, set_learning_rate
from cifarlab.engine.randomness import derive, generator, permutation
from cifarlab.engine.reporter import Reporter
from cifarlab.engine.schedule import factor
from cifarlab.engine.state import Totals, TrainState
from cifarlab.engine.step import evaluate, train_step
from cifarlab.errors import DivergedError, InputError, RunInterruptedError
from cifarlab.recipes.recipe import Recipe


@dataclass(frozen=True)
class Setting:
    """Where and how a run computes: everything that is not the recipe."""

    device: torch.device
    precision: torch.dtype
    seed: int
    checkpoints: Path
    deterministic: bool = False


def fit(
    model: Any,
    train: Split,
    validation: Split,
    recipe: Recipe,
    setting: Setting,
    callbacks: Sequence[Any],
    reporter: Reporter,
    record: Callable[[Sequence[Mapping[str, float]]], None],
) -> list[dict[str, float]]:
    """Train a compiled Keras model, going on from the newest checkpoint if there is one.

    The model's weights are current whenever a callback runs, and at the end.

    Args:
        model: compiled, ends in a softmax; its optimizer's learning rate is the base rate.
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
    job = _Job(model, state, train, validation, recipe, setting, callbacks, reporter, record)
    with (
        torch.random.fork_rng(devices=[]),
        deterministic_kernels(setting.deterministic),
        keeping_freed_memory(),
        catching_signals() as interrupts,
    ):
        _train(job, interrupts)
    return state.history


def start(model: Any, recipe: Recipe, setting: Setting) -> TrainState:
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
    optimizer = build_optimizer(lowered.trained(), recipe.optimizer)
    return TrainState(lowered, optimizer, Totals.zero(setting.device))


def batches(
    images: Tensor, labels: Tensor, batch_size: int, seed: int, epoch: int, first: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield ``(step, images, labels)`` of an epoch from step ``first`` on, every picture once."""
    order = permutation(len(labels), seed, epoch).to(images.device)
    for step, index in enumerate(torch.split(order, batch_size)):
        if step >= first:
            yield step, images[index], labels[index]


@dataclass(frozen=True)
class _Job:
    """What ``fit`` was given, in one piece."""

    model: Any
    state: TrainState
    train: Split
    validation: Split
    recipe: Recipe
    setting: Setting
    callbacks: Sequence[Any]
    reporter: Reporter
    record: Callable[[Sequence[Mapping[str, float]]], None]

    @property
    def steps(self) -> int:
        """Steps in an epoch."""
        return -(-len(self.train) // self.recipe.batch_size)


def _train(job: _Job, interrupts: Interrupts) -> None:
    model, state, device = job.model, job.state, job.setting.device
    data = _on_device(job.train, device), _on_device(job.validation, device)
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


def _on_device(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    # PyTorch warns about read-only memory maps, and nothing here writes to them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        images = torch.from_numpy(split.images)
    labels = torch.from_numpy(split.labels.astype("int64"))
    return images.to(device), labels.to(device)


def _run_epoch(
    job: _Job, data: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], interrupts: Interrupts
) -> dict[str, float]:
    state, recipe, setting = job.state, job.recipe, job.setting
    began = time.perf_counter()
    losses: list[Tensor] = []
    for step, images, labels in batches(
        *data[0], recipe.batch_size, setting.seed, state.epoch, state.step
    ):
        _set_rate(job, step)
        # Dropout, and layers that run as themselves, draw from the global generator.
        torch.manual_seed(derive(setting.seed, "step", state.epoch, step))
        draws = generator(setting.seed, "augment", state.epoch, step)
        losses.append(train_step(state, images, labels, recipe, setting.precision, draws))
        state.step = step + 1
        # Looking at a loss waits for the device: cheap on a CPU, dear on a GPU.
        if setting.device.type == "cpu" or state.step == job.steps:
            _check_finite(job, losses)
            losses.clear()
        job.reporter.stepped(state.step)
        if interrupts.signal_number is not None:
            _stop(job, interrupts.signal_number)
    loss, accuracy = state.totals.means()
    val_loss, val_accuracy = evaluate(state.lowered, *data[1])
    return {
        "epoch": state.epoch + 1,
        "loss": loss,
        "accuracy": accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "learning_rate": float(state.optimizer.param_groups[0]["lr"]),
        "seconds": time.perf_counter() - began,
    }


def _set_rate(job: _Job, step: int) -> None:
    progress = (job.state.epoch * job.steps + step) / (job.recipe.epochs * job.steps)
    rate = _keras_rate(job.model) * factor(job.recipe.schedule, progress)
    set_learning_rate(job.state.optimizer, rate)


def _keras_rate(model: Any) -> float:
    # Stock callbacks such as ReduceLROnPlateau act on the Keras optimizer.
    return float(model.optimizer.learning_rate)


def _check_finite(job: _Job, losses: Sequence[Tensor]) -> None:
    finite = torch.stack(list(losses)).isfinite()
    if bool(finite.all()):
        return
    first = job.state.step - len(losses) + int(finite.logical_not().nonzero()[0])
    rate = job.state.optimizer.param_groups[0]["lr"]
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
