"""``train`` ties data, recipe, engine, callbacks and run directory together; ``resume`` goes on."""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarlab.backend import KerasModel
from cifarlab.data import catalog
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.memory.from_memory import dataset_from, is_in_memory
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.split_overlap import warn_of_near_duplicates
from cifarlab.files import check_writable, printable, write_json
from cifarlab.finetuning.build import load_options_for
from cifarlab.lowering.plain_form import AS_THEY_ARE
from cifarlab.recipes.recipe import Recipe, differences, to_json
from cifarlab.runs.directory import (
    RUNS,
    RunDirectory,
    check_unused,
    find_run,
    lock,
    new_run_directory,
    read_json,
    use_directory,
)
from cifarlab.runs.record import (
    data_for,
    dataset_of,
    describe_data,
    describe_loading,
    read_recipe,
)
from cifarlab.runs.trackers import check_tracker
from cifarlab.runs.tracking import tracked
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.runtime.environment import describe_environment
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.brought import make_ready
from cifarlab.training.callbacks import as_list
from cifarlab.training.carry_out import Job, carry_out, check_job
from cifarlab.training.endings import Finished
from cifarlab.training.keras_arguments import refuse_arguments
from cifarlab.training.own_model import (
    CUSTOM,
    check_compiled_alike,
    check_options,
    check_range,
    for_model,
    rebuild_model,
    resolve,
    save_start,
)
from cifarlab.training.remarks import opening_lines
from cifarlab.training.run import Run
from cifarlab.training.saving_check import Saving, check_saving
from cifarlab.training.setup import build_model, check_fit, fit_recipe, override

# What can be trained: a recipe, its name, the path of a model file, or a Keras model.
Trainable = str | Recipe | KerasModel


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How and where to train: everything that is neither recipe nor data.

    Attributes:
        seed: random seed of the starting weights, the order of images and their augmentation.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        precision: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        deterministic: allow only reproducible kernels (a GPU's others are faster).
        compile: have PyTorch compile the network first, which takes about a minute and pays on a
            GPU for long runs.

    Example:
        >>> from cifarlab import TrainOptions
        >>> TrainOptions(seed=3).device
        'auto'
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    deterministic: bool = False
    compile: bool = False


DEFAULTS = TrainOptions()
LOAD_DEFAULTS = LoadOptions()


def train(
    what: Trainable,
    data: Any = "cifar10",
    *,
    model: KerasModel | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    class_weights: str | Mapping[Any, float] | None = None,
    sampler: str | None = None,
    monitor: str | None = None,
    start: str | None = None,
    unfreeze: str | None = None,
    options: TrainOptions = DEFAULTS,
    directory: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    load: LoadOptions = LOAD_DEFAULTS,
    skip_bad: bool = False,
    track: str | None = None,
    callbacks: Any = (),
    pixels: str | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
    **unknown: object,
) -> Run:
    """Train, keep the best weights, read the test split once, and write it all down.

    Everything that was chosen is checked before data are loaded. What is trained and recorded is
    the recipe fitted to the size of the images; see ``recipes.fitting.fitted``.

    Args:
        what: a recipe, its name, the path of a model file, or any Keras model of one image. A model
            that is compiled is trained with what it was compiled with, one that is not with Adam.
        data: a dataset, what ``cifarlab.load_dataset`` takes, or what holds images and labels in
            memory: ``(x, y)``, arrays by split, a PyTorch, ``tf.data`` or Hugging Face dataset.
        model: a Keras model to train by the recipe ``what`` instead of the recipe's own.
        epochs, batch_size, learning_rate: instead of the recipe's, or of the optimizer's that the
            model was compiled with.
        class_weights: ``"balanced"``, or numbers for names or labels of classes; see ``Recipe``.
        sampler: ``"balanced"`` shows equally many images of each class, ``"shuffled"`` each once.
        monitor: what to keep the best epoch and stop early by: ``"val_loss"``, ``"val_accuracy"``,
            ``"val_balanced_accuracy"`` or ``"val_macro_f1"``.
        start: what ``"finetune"`` starts from; see ``finetuning.starts.find_start``.
        unfreeze: which layers ``"finetune"`` trains: ``"all"``, ``"none"`` but the last, or all
            from the first whose name begins so, such as ``"block5"``.
        directory: where to write; by default ``runs/<recipe>-<n>`` in the current directory.
        overwrite: replace an earlier run in ``directory``.
        load: how ``data`` is read, where it is a name or a path.
        skip_bad: leave out images that cannot be read, as ``load.skip_bad`` does.
        track: ``"tensorboard"``, ``"mlflow"`` or ``"wandb"``, written into the run directory
            unless the client's own settings say otherwise.
        callbacks: what ``callbacks`` of Keras's ``fit`` takes: stock ones or your own, in a list
            or one alone. Whatever they monitor is checked before the first epoch.
        pixels: the range that a model of your own was made for, ``"0..255"``, ``"0..1"`` or
            ``"-1..1"``; for another than 0 to 255 a ``Rescaling`` layer is put first. ``None``
            measures it, see ``training.pixel_range``.
        custom_objects: your classes by name, which a model file may ask for.
        progress: receives messages, progress bars and epochs.
        unknown: none; a name that Keras's ``fit`` has is refused with what to write instead.

    Raises:
        UsageError: unknown names, a directory that is in use or not empty, or a learning rate
            instead of a schedule.
        InputError: model and data do not fit, or ending and loss of the model contradict.
        DivergedError: the loss became infinite or not a number.
        RunInterruptedError: SIGINT or SIGTERM; ``resume`` goes on from there.
        ResourceError: disk or memory ran out.

    Example:
        >>> run = train("baseline", "cifar10", epochs=3)  # doctest: +SKIP
        >>> run.metrics.test.accuracy  # doctest: +SKIP
        0.7012
    """
    refuse_arguments(unknown, [*inspect.signature(train).parameters][:-1])
    if track is not None:
        check_tracker(track)
    callbacks = as_list(callbacks)
    recipe, own_model = resolve(what, custom_objects)
    check_range(pixels, own=own_model is not None or model is not None)
    if model is not None:
        recipe, own_model = for_model(recipe, model), model
    recipe = override(
        recipe,
        epochs,
        batch_size,
        learning_rate,
        class_weights=class_weights,
        sampler=sampler,
        monitor=monitor,
        start=start,
        unfreeze=unfreeze,
    )
    check_options(recipe, own_model, compile_network=options.compile)
    choose_precision(options.precision, choose_device(options.device))
    if directory is not None:
        check_unused(Path(directory), overwrite=overwrite)
    if data is None:
        raise UsageError("data is None: give a dataset, a name, a path, or arrays (x, y)")
    if is_in_memory(data):
        progress.started("reading the arrays")
        data = dataset_from(data)
    elif not isinstance(data, Dataset):
        progress.started(f"loading {printable(str(data))}")
        load = load_options_for(recipe, load)
        data = catalog.load(
            data,
            dataclasses.replace(
                load, skip_bad=load.skip_bad or skip_bad, progress=progress.message
            ),
        )
        if data.name not in catalog.NAMES:
            warn_of_near_duplicates(data)
    dataset = data_for(recipe, data)
    planned, recipe = recipe, fit_recipe(recipe, dataset)
    if own_model is None:
        net = build_model(recipe, dataset, options.seed)
        check_fit(net, dataset)
        finished, saving = Finished(model=net), Saving()
    else:
        ready = make_ready(own_model, recipe, dataset, options.seed, pixels, progress.message)
        net, finished, pixels = ready.model, ready.finished, ready.pixels
        saving = check_saving(finished.model)
        for note in saving.notes:
            progress.message(note)
    loop_options = _loop_options(options, dataset)
    check_job(dataset, recipe, loop_options, net, finished.model, callbacks)
    if finished.added:
        progress.message(f"added to the saved model, which gives probabilities: {finished.added}")
    for line in opening_lines(planned, recipe, dataset):
        progress.message(line)
    if directory is None:
        run = new_run_directory(RUNS, recipe.name)
    else:
        run = use_directory(Path(directory), overwrite=overwrite)
    with lock(run):
        write_json(run.recipe, to_json(recipe))
        write_json(run.environment, _record(options, dataset, pixels))
        save_start(net, recipe, run)
        loop_options = dataclasses.replace(loop_options, checkpoints=run.checkpoint)
        with tracked(track, run) as tracking:
            job = Job(run=run, data=dataset, recipe=recipe, options=loop_options, h5=saving.h5)
            return carry_out(job, net, finished.model, callbacks, progress, tracking)


def resume(
    directory: str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str] | None = None,
    *,
    model: KerasModel | None = None,
    recipe: Recipe | None = None,
    callbacks: Any = (),
    custom_objects: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> Run:
    """Go on with an interrupted run as if it had never stopped.

    Args:
        directory: the run's.
        data: needed only where the run's own data is no longer where it was.
        model: needed only for a model with layers of your own, or that was compiled with a
            function or a class of your own.
        recipe: what you believe the run trains; checked against what it does.
        callbacks: the same ones as at the start.
        custom_objects: your classes by name, for a model with layers of your own that the run has
            saved already.
        progress: receives messages, progress bars and epochs.

    Raises:
        UsageError: ``recipe`` is not the run's, or ``model`` was compiled otherwise.
        InputError: not a run, other data, or no checkpoint that can be used.

    Example:
        >>> run = resume("runs/baseline-1")  # doctest: +SKIP
        >>> len(run.history)  # doctest: +SKIP
        30
    """
    callbacks = as_list(callbacks)
    run = find_run(Path(directory))
    saved = read_recipe(directory)
    if run.metrics.exists():
        raise UsageError(f"{run.path} is complete: {run.metrics.name} has its numbers; train anew")
    options = _read_options(run)
    choose_precision(options.precision, choose_device(options.device))
    progress.started("loading the run's data")
    dataset = dataset_of(run.path, data, progress=progress.message)
    if recipe is not None and (changes := differences(saved, fit_recipe(recipe, dataset))):
        raise UsageError(
            f"{run.path} trains another recipe ({'; '.join(changes)}); "
            "resume without changes, or start a new run"
        )
    pixels = AS_THEY_ARE
    own = saved.model.name == CUSTOM or model is not None
    if model is None:
        model = rebuild_model(run, saved, dataset, options.seed, custom_objects)
    else:
        check_compiled_alike(model, saved)
        pixels = read_json(run.environment).get("pixels") or AS_THEY_ARE
    finished, h5 = Finished(model=model), True
    if own:
        ready = make_ready(model, saved, dataset, options.seed, pixels, progress.message)
        model, finished = ready.model, ready.finished
        h5 = check_saving(finished.model).h5
    with lock(run):
        check_writable(run.path)
        loop_options = dataclasses.replace(
            _loop_options(options, dataset), checkpoints=run.checkpoint
        )
        with tracked(None, run) as tracking:
            job = Job(run=run, data=dataset, recipe=saved, options=loop_options, h5=h5)
            return carry_out(job, model, finished.model, callbacks, progress, tracking)


def _read_options(run: RunDirectory) -> TrainOptions:
    try:
        return TrainOptions(**read_json(run.environment)["options"])
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{run.environment}: holds no options of a run ({error}); start a new run"
        ) from error


def _record(options: TrainOptions, data: Dataset, pixels: str | None) -> dict[str, Any]:
    device = choose_device(options.device)
    reproducible = device.type == "cpu" or options.deterministic
    return {
        **describe_environment(device, choose_precision(options.precision, device)),
        "command": sys.argv,
        "options": dataclasses.asdict(options),
        "reproducible": "deterministic" if reproducible else "nondeterministic",
        "dataset": describe_data(data),
        "load": describe_loading(data),
        "pixels": pixels,
    }


def _loop_options(options: TrainOptions, data: Dataset) -> LoopOptions:
    device = choose_device(options.device)
    return LoopOptions(
        device=device,
        precision=choose_precision(options.precision, device),
        seed=options.seed,
        deterministic=options.deterministic,
        compiled=options.compile,
        class_names=data.class_names,
    )
