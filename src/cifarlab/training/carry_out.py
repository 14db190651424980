"""A run that has been prepared: train, keep the best weights, and write it all down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Dataset
from cifarlab.errors import ResourceError
from cifarlab.recipes.recipe import Recipe, to_json
from cifarlab.runs.directory import RunDirectory, write_history
from cifarlab.runs.record import trained_on
from cifarlab.runs.tracking import Tracking
from cifarlab.runtime.progress import Progress
from cifarlab.saving.model_file import save_model
from cifarlab.training.beginning import LoopOptions, check_beginning
from cifarlab.training.callbacks import SaveBest
from cifarlab.training.compiled import as_compiled_before, inner_uncompiled, rate_as_before
from cifarlab.training.loop import fit
from cifarlab.training.results import write_results
from cifarlab.training.run import Run
from cifarlab.training.setup import compile_finished, compile_model


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained, on what, how, and where it is written; the recipe is fitted to the data.

    Attributes:
        h5: whether an ``.h5`` file can hold the model.
    """

    run: RunDirectory
    data: Dataset
    recipe: Recipe
    options: LoopOptions
    h5: bool = True


def check_job(
    data: Dataset,
    recipe: Recipe,
    options: LoopOptions,
    model: KerasModel,
    finished: KerasModel,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Raise what ``carry_out`` would raise before its first step; nothing is written for it."""
    with _compiled(recipe, model, finished):
        check_beginning(
            _trained(recipe, model, finished),
            finished,
            data.train,
            data.validation,
            recipe,
            options,
            [*_own_callbacks(recipe, lambda: None), *callbacks],
        )


def carry_out(
    job: Job,
    model: KerasModel,
    finished: KerasModel,
    callbacks: Sequence[keras.callbacks.Callback],
    progress: Progress,
    tracking: Tracking,
) -> Run:
    """Train, or go on with it, and write the results; the model's compilation is as before then.

    Args:
        finished: a model of the layers of ``model`` that gives probabilities, which is saved.

    Raises:
        As ``train``.
    """
    run, data, recipe = job.run, job.data, job.recipe
    with inner_uncompiled(model, finished), _compiled(recipe, model, finished):
        own = _own_callbacks(recipe, lambda: _save_best(job, finished))

        def record(rows: Sequence[Mapping[str, float]]) -> None:
            write_history(run.history, rows)
            tracking.record(rows)

        with _memory_errors(recipe):
            history = fit(
                _trained(recipe, model, finished),
                data.train,
                data.validation,
                recipe,
                job.options,
                [*own, *callbacks],
                progress,
                record,
                finished,
            )
        if recipe.keep == "best":
            finished.load_weights(run.best_keras)
        progress.started("measuring")
        device = str(job.options.device)
        result = write_results(run, finished, data, recipe, history, device, h5=job.h5)
        tracking.finish(history, result.metrics.test)
    return result


def _trained(recipe: Recipe, model: KerasModel, finished: KerasModel) -> KerasModel:
    # A model that only lacks a softmax is trained with it by a recipe.
    return model if recipe.as_compiled is not None else finished


@contextmanager
def _compiled(recipe: Recipe, model: KerasModel, finished: KerasModel) -> Iterator[None]:
    """Have both models compiled for the run inside the block."""
    if recipe.as_compiled is None:
        with as_compiled_before(model):
            compile_model(finished, recipe)
            yield
        return
    if finished is not model:
        compile_finished(finished, model.optimizer)
    with rate_as_before(model, recipe.as_compiled):
        yield


def _own_callbacks(recipe: Recipe, save: Callable[[], None]) -> list[keras.callbacks.Callback]:
    own: list[keras.callbacks.Callback] = []
    if recipe.keep == "best":
        own.append(SaveBest(save, recipe.monitor))
    if recipe.stop is not None:
        # It restores nothing: the best weights are in the file that SaveBest writes.
        stop = recipe.stop
        own.append(keras.callbacks.EarlyStopping(stop.monitor, patience=stop.patience))
    return own


def _save_best(job: Job, model: KerasModel) -> None:
    data = job.data
    save_model(
        model,
        job.run.best_keras,
        class_names=data.class_names,
        recipe=to_json(job.recipe),
        resize_mode=data.image_format.resize_mode,
        bits=data.image_format.bits,
        trained_on=trained_on(data),
    )


@contextmanager
def _memory_errors(recipe: Recipe) -> Iterator[None]:
    """Raise ``ResourceError`` with a remedy where memory runs out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory ran out at batch size {recipe.batch_size}; go on with a smaller one "
            f"(--batch-size {max(1, recipe.batch_size // 2)}) in a new run"
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    # PyTorch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(
        error
    )
