"""``train``: the one place that ties data, recipe, engine, callbacks and run directory together."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cifarlab.backend import keras
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset
from cifarlab.errors import InputError, ResourceError, UsageError
from cifarlab.files import check_writable, write_json
from cifarlab.recipes.parts import ModelSpec
from cifarlab.recipes.recipe import Recipe, differences, to_json
from cifarlab.runs.directory import (
    RunDirectory,
    find_run,
    lock,
    new_run_directory,
    read_json,
    use_directory,
    write_history,
)
from cifarlab.runs.record import data_of, read_recipe
from cifarlab.runs.trackers import check_tracker
from cifarlab.runs.tracking import Tracking, tracked
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.runtime.environment import describe_environment
from cifarlab.saving.model_file import load_model, save_model
from cifarlab.training.callbacks import SaveBest
from cifarlab.training.loop import LoopOptions, fit
from cifarlab.training.progress import SILENT, Reporter
from cifarlab.training.results import RunMetrics, describe_data, write_results
from cifarlab.training.setup import (
    CUSTOM,
    build_model,
    check_fit,
    compile_model,
    data_for,
    override,
    resolve,
)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How and where to train: everything that is neither recipe nor data.

    Attributes:
        seed: of weights, order and augmentation.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        deterministic: allow only reproducible kernels (a GPU's others are faster).
        compile: have PyTorch compile the network first, which takes about a minute and pays on a
            GPU for long runs.
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    deterministic: bool = False
    compile: bool = False


DEFAULTS = TrainOptions()


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Attributes:
        directory: where everything about it lies, absolute.
        recipe: what was trained.
        dataset: the name of what it was trained on.
        metrics: test and validation numbers.
        history: a row an epoch, as in ``history.csv``.
    """

    directory: Path
    recipe: Recipe
    dataset: str
    metrics: RunMetrics
    history: tuple[dict[str, float], ...]


def train(
    what: str | Recipe | Any,
    data: Dataset | str | os.PathLike[str] = "cifar10",
    *,
    model: Any = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    options: TrainOptions = DEFAULTS,
    directory: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    track: str | None = None,
    callbacks: Sequence[Any] = (),
    reporter: Reporter = SILENT,
) -> Run:
    """Train, keep the best weights, read the test split once, and write it all down.

    Args:
        what: a recipe, its name, or any Keras model that ends in a softmax.
        data: a dataset, or what ``cifarlab.load`` takes.
        model: a Keras model to train by the recipe ``what`` instead of the recipe's own.
        epochs, batch_size, learning_rate: instead of the recipe's.
        directory: where to write; by default ``runs/<recipe>-<n>`` in the current directory.
        overwrite: replace an earlier run in ``directory``.
        track: ``"tensorboard"``, ``"mlflow"`` or ``"wandb"``, written into the run directory
            unless the client's own settings say otherwise.
        callbacks: stock Keras callbacks or your own, called at epoch ends.
        reporter: is told how it goes.

    Raises:
        UsageError: unknown names, or a directory that is in use or not empty.
        InputError: model and data do not fit.
        DivergedError: the loss became infinite or not a number.
        RunInterruptedError: SIGINT or SIGTERM; ``resume`` goes on from there.
        ResourceError: disk or memory ran out.

    Example:
        >>> run = train("baseline", "cifar10", epochs=3)  # doctest: +SKIP
        >>> run.metrics.test.accuracy  # doctest: +SKIP
        0.7012
    """
    if track is not None:
        check_tracker(track)
    recipe, own_model = resolve(what)
    if model is not None:
        recipe, own_model = dataclasses.replace(recipe, model=ModelSpec(name=CUSTOM)), model
    recipe = override(recipe, epochs, batch_size, learning_rate)
    choose_precision(options.precision, choose_device(options.device))
    dataset = data_for(recipe, data if isinstance(data, Dataset) else load_dataset(data))
    net = build_model(recipe, dataset, options.seed) if own_model is None else own_model
    check_fit(net, dataset)
    if directory is None:
        run = new_run_directory(Path("runs"), recipe.name)
    else:
        run = use_directory(Path(directory), overwrite=overwrite)
    with lock(run):
        write_json(run.recipe, to_json(recipe))
        write_json(run.environment, _record(options, dataset))
        with tracked(track, run) as tracking:
            return _train(run, net, dataset, recipe, options, callbacks, reporter, tracking)


def resume(
    directory: str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str] | None = None,
    *,
    model: Any = None,
    recipe: Recipe | None = None,
    callbacks: Sequence[Any] = (),
    reporter: Reporter = SILENT,
) -> Run:
    """Go on with an interrupted run as if it had never stopped.

    Args:
        directory: the run's.
        data: needed only where the run's own cannot be found again.
        model: needed only for a model of your own with layers of your own.
        recipe: what you believe the run trains; checked against what it does.
        callbacks: the same ones as at the start.

    Raises:
        UsageError: ``recipe`` is not the run's.
        InputError: not a run, other data, or no checkpoint that can be used.
    """
    run = find_run(Path(directory))
    saved = read_recipe(directory)
    if recipe is not None and differences(saved, recipe):
        raise UsageError(
            f"{run.path} trains another recipe ({'; '.join(differences(saved, recipe))}); "
            "resume without changes, or start a new run"
        )
    if run.metrics.exists():
        raise UsageError(f"{run.path} is complete: {run.metrics.name} has its numbers; train anew")
    record = read_json(run.environment)
    options = TrainOptions(**record["options"])
    found = data if isinstance(data, Dataset) else load_dataset(data or data_of(run.path))
    dataset = data_for(saved, found)
    if describe_data(dataset)["train"] != record["dataset"]["train"]:
        raise InputError(
            f"{dataset.source}: not the data that {run.path} was started on; "
            "name the same data with --data"
        )
    if model is None:
        model = _rebuild(run, saved, dataset, options)
    with lock(run):
        check_writable(run.path)
        with tracked(None, run) as tracking:
            return _train(run, model, dataset, saved, options, callbacks, reporter, tracking)


def _record(options: TrainOptions, data: Dataset) -> dict[str, Any]:
    device = choose_device(options.device)
    reproducible = device.type == "cpu" or options.deterministic
    return {
        **describe_environment(device, choose_precision(options.precision, device)),
        "command": sys.argv,
        "options": dataclasses.asdict(options),
        "reproducible": "deterministic" if reproducible else "nondeterministic",
        "dataset": describe_data(data),
    }


def _train(
    run: RunDirectory,
    model: Any,
    data: Dataset,
    recipe: Recipe,
    options: TrainOptions,
    callbacks: Sequence[Any],
    reporter: Reporter,
    tracking: Tracking,
) -> Run:
    device = choose_device(options.device)
    setting = LoopOptions(
        device=device,
        precision=choose_precision(options.precision, device),
        seed=options.seed,
        checkpoints=run.checkpoint,
        deterministic=options.deterministic,
        compiled=options.compile,
    )
    compile_model(model, recipe)

    def save_best() -> None:
        save_model(model, run.best_keras, class_names=data.class_names, recipe=to_json(recipe))

    def record(rows: Sequence[Mapping[str, float]]) -> None:
        write_history(run.history, rows)
        tracking.record(rows)

    own: list[Any] = [SaveBest(save_best)] if recipe.keep == "best" else []
    if recipe.stop is not None:
        own.append(
            keras.callbacks.EarlyStopping(
                recipe.stop.monitor,
                patience=recipe.stop.patience,
                restore_best_weights=recipe.keep == "best",
            )
        )
    try:
        history = fit(
            model,
            data.train,
            data.validation,
            recipe,
            setting,
            [*own, *callbacks],
            reporter,
            record,
        )
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory ran out at batch size {recipe.batch_size}; go on with a smaller one "
            f"(--batch-size {max(1, recipe.batch_size // 2)}) in a new run"
        ) from error
    if recipe.keep == "best":
        model.load_weights(run.best_keras)
    metrics = write_results(run, model, data, recipe, history)
    tracking.finish(history, metrics.test)
    return Run(
        directory=run.path,
        recipe=recipe,
        dataset=data.name,
        metrics=metrics,
        history=tuple(history),
    )


def _rebuild(run: RunDirectory, recipe: Recipe, data: Dataset, options: TrainOptions) -> Any:
    if recipe.model.name != CUSTOM:
        return build_model(recipe, data, options.seed)
    if run.best_keras.exists():
        return load_model(run.best_keras).model
    raise InputError(
        f"{run.path} trains a model of your own and has saved none yet; "
        "resume it from Python: cifarlab.resume(directory, model=model)"
    )


def _is_out_of_memory(error: Exception) -> bool:
    # PyTorch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(
        error
    )
