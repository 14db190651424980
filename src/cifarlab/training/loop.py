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

from cifarlab.backend import KerasModel
from cifarlab.data.dataset import Split
from cifarlab.errors import DivergedError, InputError, RunInterruptedError
from cifarlab.lowering.model import lower
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import deterministic_kernels
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.runtime.randomness import derive, generator, seed_global
from cifarlab.training.averaging import look_ahead, start_average
from cifarlab.training.balance import weights_of_classes
from cifarlab.training.batch import batches
from cifarlab.training.callback_checks import check_callbacks, check_what_came, names_in_logs
from cifarlab.training.callbacks import append_to_logs, as_list, give_directions, without_backups
from cifarlab.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from cifarlab.training.fixed_layers import FixedLayers
from cifarlab.training.hooks import Hooks
from cifarlab.training.optimizers import build_optimizers, freeze, set_rates
from cifarlab.training.resize import check_resolutions
from cifarlab.training.signals import Interrupts, catching_signals
from cifarlab.training.state import Totals, TrainState
from cifarlab.training.step import evaluate, train_step


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Where and how a run computes: everything that is not the recipe.

    Attributes:
        checkpoints: the folder that they are kept in, or ``None`` to keep none.
        deterministic: allow reproducible kernels only.
        compiled: have PyTorch compile the network, forwards and backwards.
        class_names: in label order, for class weights by name.
    """

    device: torch.device
    precision: torch.dtype
    seed: int
    checkpoints: Path | None = None
    deterministic: bool = False
    compiled: bool = False
    class_names: tuple[str, ...] = ()


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
) -> list[dict[str, float]]:
    """Train a compiled Keras model, going on from the newest checkpoint if there is one.

    The model's weights are current whenever a callback runs, and at the end.

    Args:
        model: compiled, ends in a softmax; where a callback changes its optimizer's learning
            rate, all rates of the recipe change by the same factor.
        validation: may be empty; the history then has no columns that begin with ``val_``.
        callbacks: what Keras's ``fit`` takes: callbacks, one callback, or a ``CallbackList``.
        record: is given the whole history after each epoch.

    Returns:
        The history: one row per epoch with ``epoch`` (from 1), ``loss``, ``accuracy``,
        ``val_loss``, ``val_accuracy``, ``val_balanced_accuracy``, ``val_macro_f1``,
        ``learning_rate`` and ``seconds``. ``loss`` is weighted by class where the recipe says so,
        ``val_loss`` never is.

    Raises:
        DivergedError: the loss became infinite or not a number.
        UsageError: class weights for a class that does not exist; a callback that cannot work.
        RunInterruptedError: SIGINT or SIGTERM; a checkpoint was saved first.
        ResourceError: a checkpoint could not be written.
    """
    callbacks = without_backups(as_list(callbacks), progress)
    give_directions(callbacks)
    names = names_in_logs(model, validated=len(validation) > 0)
    check_callbacks(callbacks, model, names)
    state = start(model, recipe, options)
    if state.lowered.not_lowered:
        slow = ", ".join(state.lowered.not_lowered)
        progress.message(f"no native version, run by Keras (slower): {slow}")
    recipe_rate, classes = _keras_rate(model), model.output_shape[-1]
    steps = -(-len(train) // recipe.batch_size)
    layers = FixedLayers(model)

    def take_over() -> None:
        layers.check()
        state.lowered.read_in()

    hooks = Hooks(
        model,
        state,
        callbacks,
        to_keras=lambda: state.lowered.write_back(),
        from_keras=take_over,
        epochs=recipe.epochs,
        steps=steps,
        batch_size=recipe.batch_size,
    )
    with (
        torch.random.fork_rng(devices=[]),
        deterministic_kernels(options.deterministic),
        keeping_freed_memory(),
        catching_signals() as interrupts,
    ):
        trained_on = on_device(train, options.device)
        held_out = on_device(validation, options.device)
        if has_checkpoint(options.checkpoints):
            append_to_logs(callbacks)
        hooks.train_begin()
        if layers.changed():
            # One was frozen, say: what was made from the layers before is out of date.
            state, layers = start(model, recipe, options), FixedLayers(model)
        state.lowered.read_in()
        _resume(model, state, options, callbacks)
        hooks.resumed(state)
        while state.epoch < recipe.epochs and not state.stopped:
            hooks.epoch_begin()
            progress.started(f"epoch {state.epoch + 1}/{recipe.epochs}", steps, state.step)
            began = time.perf_counter()
            scale = _scale(model, recipe_rate, at_batches=hooks.at_batches)
            losses = run_steps(state, *trained_on, recipe, options, classes, scale)
            seen = hooks.around(losses, lambda: _so_far(state))
            try:
                _finish_epoch(state, seen, steps, options, progress, interrupts)
            except RunInterruptedError:
                state.lowered.write_back()
                _save(model, state, options, callbacks)
                raise
            row = _row(state, held_out, hooks, began)
            hooks.epoch_end(row)
            check_what_came(callbacks, names, hooks.history.history)
            state.history.append(row)
            record(state.history)
            state.stopped = bool(model.stop_training)
            state.epoch, state.step = state.epoch + 1, 0
            state.totals = Totals.zero(options.device)
            _save(model, state, options, callbacks)
            progress.epoch_ended(row, recipe.epochs)
        hooks.train_end()
    return state.history


def start(model: KerasModel, recipe: Recipe, options: LoopOptions) -> TrainState:
    """Return the state before the first step.

    Raises:
        InputError: the model does not end in a softmax, or takes no images of a resolution of the
            recipe.
    """
    lowered = lower(model, options.device)
    if not lowered.strip_softmax():
        raise InputError(
            f"model {model.name!r} does not end in a softmax layer used once; "
            'make its last layer keras.layers.Softmax() or a Dense with activation="softmax"'
        )
    check_resolutions(lowered, recipe, model.input_shape[1:])
    if options.compiled:
        # One graph for each size of image; evaluation has sizes of its own and is not compiled.
        lowered.compile(dynamic=False)
    free = freeze(lowered.trained_bindings, recipe.frozen)
    groups = build_optimizers(free, recipe.optimizers, options.precision)
    average = None
    if recipe.lookahead is not None:
        average = start_average(recipe.lookahead, [b.tensor for b in lowered.bindings])
    return TrainState(
        lowered=lowered, groups=groups, totals=Totals.zero(options.device), average=average
    )


def run_steps(
    state: TrainState,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    options: LoopOptions,
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
    weights = _class_weights(recipe, labels, classes, options)
    order = (options.seed, state.epoch, state.step, recipe.sampler)
    for step, batch in batches(images, labels, classes, recipe.batch_size, *order):
        done, planned = state.epoch * steps + step, recipe.epochs * steps
        set_rates(state.groups, recipe.schedule, done / planned, scale())
        # Dropout, and layers that Keras runs, draw from the global generator.
        seed_global(derive(options.seed, "step", state.epoch, step), options.device)
        draws = generator(options.seed, "augment", state.epoch, step)
        loss = train_step(state, batch, recipe, options.precision, draws, weights)
        if state.average is not None:
            look_ahead(state.average, done + 1, planned)
        state.step = step + 1
        yield loss


def on_device(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a split's images, uint8 ``[N, H, W, C]``, and labels, int64 ``[N]``, on a device."""
    # PyTorch warns about read-only memory maps, and nothing here writes to them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        images = torch.from_numpy(split.images)
    labels = torch.from_numpy(split.labels.astype("int64"))
    return images.to(device), labels.to(device)


def _class_weights(
    recipe: Recipe, labels: Tensor, classes: int, options: LoopOptions
) -> Tensor | None:
    """Return the weight of each class on the device, float32 ``[K]``, where the recipe has any."""
    if recipe.class_weights is None:
        return None
    names = options.class_names or tuple(map(str, range(classes)))
    weights = weights_of_classes(recipe.class_weights, labels.cpu().numpy(), names)
    return None if weights is None else torch.from_numpy(weights).to(options.device)


def _resume(
    model: KerasModel, state: TrainState, options: LoopOptions, callbacks: Sequence[Any]
) -> None:
    if options.checkpoints is None:
        return
    rate = load_checkpoint(options.checkpoints, state, callbacks)
    if rate is not None:
        model.optimizer.learning_rate = rate
        state.lowered.write_back()


def _save(
    model: KerasModel, state: TrainState, options: LoopOptions, callbacks: Sequence[Any]
) -> None:
    if options.checkpoints is not None:
        save_checkpoint(options.checkpoints, state, callbacks, _keras_rate(model))


def _finish_epoch(
    state: TrainState,
    losses: Iterator[Tensor],
    steps: int,
    options: LoopOptions,
    progress: Progress,
    interrupts: Interrupts,
) -> None:
    """Do what is left of an epoch's ``steps``, each of which gives one of ``losses``."""
    unchecked: list[Tensor] = []
    for loss in losses:
        unchecked.append(loss)
        # Looking at a loss waits for the device: cheap on a CPU, expensive on a GPU.
        if options.device.type == "cpu":
            _check_finite(state, unchecked)
            unchecked.clear()
        progress.advanced()
        if interrupts.signal_number is not None:
            raise _interrupted(state, steps, options.checkpoints, interrupts.signal_number)
    if unchecked:
        _check_finite(state, unchecked)


def _so_far(state: TrainState) -> dict[str, float]:
    """Return what the steps of the epoch have measured until now."""
    loss, accuracy = state.totals.means()
    return {"loss": loss, "accuracy": accuracy}


def _row(
    state: TrainState, held_out: tuple[Tensor, Tensor], hooks: Hooks, began: float
) -> dict[str, float]:
    """Return the history's row of the epoch that has just been trained."""
    row = {"epoch": state.epoch + 1, **_so_far(state)}
    if len(held_out[1]):
        measured = hooks.measuring(lambda *split: evaluate(state.lowered, *split), *held_out)
        row |= {f"val_{name}": value for name, value in measured.items()}
    row["learning_rate"] = state.groups[0].rate
    row["seconds"] = time.perf_counter() - began
    return row


def _scale(model: KerasModel, recipe_rate: float, *, at_batches: bool) -> Callable[[], float]:
    """Return what tells the factor by which callbacks have changed the Keras optimizer's rate.

    Asked once per epoch where no callback runs in between: Keras keeps the rate on the device,
    where reading it waits for all that is queued.
    """
    if at_batches:
        return lambda: _keras_rate(model) / recipe_rate
    value = _keras_rate(model) / recipe_rate
    return lambda: value


def _keras_rate(model: KerasModel) -> float:
    return float(model.optimizer.learning_rate)


def _check_finite(state: TrainState, losses: Sequence[Tensor]) -> None:
    finite = torch.stack(list(losses)).isfinite()
    if bool(finite.all()):
        return
    first = state.step - len(losses) + int(finite.logical_not().nonzero()[0])
    raise DivergedError(
        f"the loss is no longer a finite number at epoch {state.epoch + 1}, "
        f"step {first + 1}, learning rate {state.groups[0].rate:g}; the checkpoint before it is "
        "kept: start again with a lower learning rate"
    )


def _interrupted(
    state: TrainState, steps: int, checkpoints: Path | None, signal_number: int
) -> RunInterruptedError:
    where = f"stopped at epoch {state.epoch + 1}, step {state.step} of {steps}"
    if checkpoints is None:
        return RunInterruptedError(f"{where}; nothing was saved", signal_number)
    return RunInterruptedError(
        f"{where}; all is saved, go on with: cifarlab train --resume {checkpoints.parent}",
        signal_number,
    )
