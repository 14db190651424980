"""The order of things in training; the work is in ``steps.py``, what resumes in ``state.py``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifarlab.backend import KerasModel
from cifarlab.data.dataset import Split
from cifarlab.errors import DivergedError, RunInterruptedError
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import deterministic_kernels
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.runtime.randomness import derive, generator, seed_global
from cifarlab.training.batch import batches
from cifarlab.training.beginning import (
    LoopOptions,
    checked_names,
    class_weights_of,
    on_device,
    steps_for,
)
from cifarlab.training.callback_checks import check_what_came
from cifarlab.training.callbacks import (
    append_to_logs,
    as_list,
    without_averaging,
    without_backups,
)
from cifarlab.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from cifarlab.training.hooks import Hooks
from cifarlab.training.signals import Interrupts, catching_signals
from cifarlab.training.state import Totals, TrainState
from cifarlab.training.steps import Steps

Record = Callable[[Sequence[Mapping[str, float]]], None]


def keep_no_record(_: Sequence[Mapping[str, float]]) -> None:
    """Do nothing with the history."""


def fit(
    model: KerasModel,
    train: Split,
    validation: Split,
    recipe: Recipe,
    options: LoopOptions,
    callbacks: Any = (),
    progress: Progress = SILENT,
    record: Record = keep_no_record,
    measured: KerasModel | None = None,
) -> list[dict[str, float]]:
    """Train a compiled Keras model, going on from the newest checkpoint if there is one.

    The model's weights are current whenever a callback runs, and at the end.

    Args:
        model: compiled; ends in a softmax unless the recipe trains it as it was compiled. Where a
            callback changes its optimizer's learning rate, all rates change by the same factor.
        validation: may be empty; the history then has no columns that begin with ``val_``.
        callbacks: what Keras's ``fit`` takes: callbacks, one callback, or a ``CallbackList``.
        record: is given the whole history after each epoch.
        measured: a model of the same layers that ends in a softmax, where ``model`` does not.

    Returns:
        The history: one row per epoch with ``epoch`` (from 1), ``loss``, ``accuracy``,
        ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy``, ``val_macro_f1``,
        ``learning_rate`` and ``seconds``; also all metrics of a model that is trained as it was
        compiled, whose losses and accuracies are Keras's then. ``loss`` is weighted by class
        where the recipe says so, ``val_loss`` never is.

    Raises:
        DivergedError: the loss became infinite or not a number.
        UsageError: class weights for a class that does not exist; a callback that cannot work.
        RunInterruptedError: SIGINT or SIGTERM; a checkpoint was saved first.
        ResourceError: a checkpoint could not be written.
    """
    callbacks = without_backups(as_list(callbacks), progress)
    measured = model if measured is None else measured
    classes = measured.output_shape[-1]
    trained_on = on_device(train, options.device)
    held_out = on_device(validation, options.device)
    weights = class_weights_of(recipe, train, classes, options)
    steps = steps_for(model, measured, recipe, options, weights)
    names = checked_names(callbacks, model, validation)
    callbacks = without_averaging(callbacks, progress)
    state = steps.state
    steps.say(progress)
    count = -(-len(train) // recipe.batch_size)
    hooks = Hooks(
        model,
        state,
        callbacks,
        # Another one may take its place, below.
        to_keras=lambda: steps.to_keras(state.epoch * count + state.step),
        from_keras=lambda: steps.from_keras(),
        rate=lambda: steps.keras_rate,
        epochs=recipe.epochs,
        steps=count,
        batch_size=recipe.batch_size,
    )
    with (
        torch.random.fork_rng(devices=[]),
        deterministic_kernels(options.deterministic),
        keeping_freed_memory(),
        catching_signals() as interrupts,
    ):
        if has_checkpoint(options.checkpoints):
            append_to_logs(callbacks)
        hooks.train_begin()
        if steps.out_of_date():
            # A layer was frozen, say.
            steps = steps_for(model, measured, recipe, options, weights)
            state = steps.state
        steps.from_keras()
        _resume(steps, options, callbacks)
        hooks.resumed(state)
        while state.epoch < recipe.epochs and not state.stopped:
            hooks.epoch_begin()
            progress.started(f"epoch {state.epoch + 1}/{recipe.epochs}", count, state.step)
            began = time.perf_counter()
            steps.begin_epoch(at_batches=hooks.at_batches)
            losses = run_steps(steps, *trained_on, recipe, options, classes)
            seen = hooks.around(losses, steps.so_far)
            try:
                _finish_epoch(steps, seen, count, options, progress, interrupts)
            except RunInterruptedError:
                steps.interrupted()
                _save(steps, options, callbacks)
                raise
            row = _row(steps, held_out, hooks, began)
            hooks.epoch_end(row)
            check_what_came(callbacks, names, hooks.history.history)
            steps.go_on()
            state.history.append(row)
            record(state.history)
            state.stopped = bool(model.stop_training)
            state.epoch, state.step = state.epoch + 1, 0
            state.totals = Totals.zero(options.device)
            _save(steps, options, callbacks)
            progress.epoch_ended(row, recipe.epochs)
        steps.end()
        hooks.train_end()
    return state.history


def run_steps(
    steps: Steps,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    options: LoopOptions,
    classes: int,
) -> Iterator[Tensor]:
    """Do the steps of the epoch that are not done yet; yield each one's mean loss.

    Args:
        images: uint8 ``[N, H, W, C]`` on the device.
        labels: int64 ``[N]`` on the device.
    """
    state = steps.state
    count = -(-len(labels) // recipe.batch_size)
    order = (options.seed, state.epoch, state.step, recipe.sampler)
    for step, batch in batches(images, labels, classes, recipe.batch_size, *order):
        # Dropout, and layers that Keras runs, draw from the global generator.
        seed_global(derive(options.seed, "step", state.epoch, step), options.device)
        draws = generator(options.seed, "augment", state.epoch, step)
        loss = steps.train(batch, state.epoch * count + step, recipe.epochs * count, draws)
        state.step = step + 1
        yield loss


def _resume(steps: Steps, options: LoopOptions, callbacks: Sequence[Any]) -> None:
    if options.checkpoints is None:
        return
    rate = load_checkpoint(options.checkpoints, steps.state, callbacks)
    if rate is not None:
        steps.restored(rate)


def _save(steps: Steps, options: LoopOptions, callbacks: Sequence[Any]) -> None:
    if options.checkpoints is not None:
        save_checkpoint(options.checkpoints, steps.state, callbacks, steps.keras_rate)


def _finish_epoch(
    steps: Steps,
    losses: Iterator[Tensor],
    count: int,
    options: LoopOptions,
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    """Do what is left of an epoch's ``count`` steps, each of which gives one of ``losses``."""
    state = steps.state
    unchecked: list[Tensor] = []
    for loss in losses:
        unchecked.append(loss)
        # Looking at a loss waits for the device: cheap on a CPU, expensive on a GPU.
        if options.device.type == "cpu":
            _check_finite(steps, unchecked)
            unchecked.clear()
        progress.advanced()
        if interrupts.signal_number is not None:
            raise _interrupted(state, count, options.checkpoints, interrupts.signal_number)
    if unchecked:
        _check_finite(steps, unchecked)


def _row(
    steps: Steps, held_out: tuple[Tensor, Tensor], hooks: Hooks, began: float
) -> dict[str, float]:
    """Return the history's row of the epoch that has just been trained."""
    row = {"epoch": steps.state.epoch + 1, **steps.so_far()}
    steps.finish_epoch()
    if len(held_out[1]):
        measured = hooks.measuring(steps.validate, *held_out)
        row |= {f"val_{name}": value for name, value in measured.items()}
    row["learning_rate"] = steps.rate
    row["seconds"] = time.perf_counter() - began
    return row


def _check_finite(steps: Steps, losses: Sequence[Tensor]) -> None:
    finite = torch.stack(list(losses)).isfinite()
    if bool(finite.all()):
        return
    state = steps.state
    first = state.step - len(losses) + int(finite.logical_not().nonzero()[0])
    raise DivergedError(
        f"the loss is no longer a finite number at epoch {state.epoch + 1}, "
        f"step {first + 1}, learning rate {steps.rate:g}; the checkpoint before it is "
        "kept: start again with a lower learning rate"
    )


def _interrupted(
    state: TrainState, count: int, checkpoints: Path | None, signal_number: int
) -> RunInterruptedError:
    where = f"stopped at epoch {state.epoch + 1}, step {state.step} of {count}"
    if checkpoints is None:
        return RunInterruptedError(f"{where}; nothing was saved", signal_number)
    return RunInterruptedError(
        f"{where}; all is saved, go on with: cifarlab train --resume {checkpoints.parent}",
        signal_number,
    )
