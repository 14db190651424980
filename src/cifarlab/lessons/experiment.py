"""What the lessons share: variants, each trained with several seeds, and their results.

With one seed all variants start from the same weights and see the images in the same order. Only
training and validation images are used; the test split is never read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cifarlab.backend import keras
from cifarlab.data.dataset import Dataset
from cifarlab.data.split import stratified_split
from cifarlab.errors import DivergedError, InputError, RunInterruptedError, UsageError
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.loop import fit
from cifarlab.training.setup import build_model, check_fit, compile_model

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class LessonOptions:
    """How much to do.

    Attributes:
        images: to train on, evenly from all classes; all of them where there are fewer.
        epochs: of each run.
        seeds: how many; they are 0, 1, 2 and so on.
    """

    images: int
    epochs: int
    seeds: int = 3

    def __post_init__(self) -> None:
        for name in ("images", "epochs", "seeds"):
            if getattr(self, name) < 1:
                raise UsageError(f"--{name} is {getattr(self, name)}; it must be 1 or more")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the things compared.

    Attributes:
        recipe: what is trained.
        batch_norm: ``False`` leaves batch normalisation out of the recipe's network.
    """

    name: str
    recipe: Recipe
    batch_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class ExperimentData:
    """What an experiment was done on.

    Attributes:
        images: trained on in each epoch.
        validation: images that every number was measured on.
    """

    dataset: str
    images: int
    validation: int
    epochs: int
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run.

    Attributes:
        history: one row per epoch, as ``fit`` returns it. Where the loss stopped being a number,
            the rows from there on have the loss infinity and the accuracy of guessing.
        diverged: whether it did.
        measured: what the lesson measured besides.
    """

    seed: int
    history: tuple[Mapping[str, float], ...]
    diverged: bool = False
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of a variant: one trial per seed."""

    variant: str
    trials: tuple[Trial, ...]

    def final(self, column: str) -> tuple[float, ...]:
        """Return a column of the history at the last epoch, seed by seed."""
        return tuple(float(trial.history[-1][column]) for trial in self.trials)

    def measured(self, name: str) -> tuple[float, ...]:
        """Return what the lesson measured besides, seed by seed."""
        return tuple(trial.measured[name] for trial in self.trials)

    def courses(self, column: str) -> tuple[tuple[float, ...], ...]:
        """Return a column of the history, epoch by epoch for each seed."""
        return tuple(tuple(float(row[column]) for row in t.history) for t in self.trials)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All results, from which the sentences and the plot are made."""

    setup: ExperimentData
    outcomes: tuple[Outcome, ...]

    def of(self, variant: str) -> Outcome:
        """Return the outcome of the variant of that name."""
        return next(outcome for outcome in self.outcomes if outcome.variant == variant)

    def to_json(self) -> dict[str, Any]:
        """Return every number of every seed as plain values; what is not finite is null."""
        return {
            "setup": dataclasses.asdict(self.setup),
            "variants": {o.variant: [_plain(t) for t in o.trials] for o in self.outcomes},
        }


def finite(value: float) -> float | None:
    """Return ``value``, or ``None`` where JSON has no word for it."""
    return float(value) if math.isfinite(value) else None


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "seed": trial.seed,
        "diverged": trial.diverged,
        "measured": {name: finite(value) for name, value in trial.measured.items()},
        "history": [{name: finite(value) for name, value in row.items()} for row in trial.history],
    }


def sample(data: Dataset, options: LessonOptions) -> Dataset:
    """Return ``data`` with as many training images as wanted, the same ones every time.

    Raises:
        InputError: no validation images, or fewer to train on than classes.
    """
    classes, have = len(data.class_names), len(data.train)
    if not len(data.validation):
        raise InputError(f"{data.name} has no validation images to measure on; add a val folder")
    if options.images < classes:
        raise UsageError(
            f"--images {options.images}: {data.name} has {classes} classes; ask for more"
        )
    chosen = np.arange(have)
    if options.images < have:
        chosen = stratified_split(data.train.labels, options.images / have, 0)[1]
    return dataclasses.replace(data, train=data.train.subset(chosen))


def setup_of(data: Dataset, options: LessonOptions) -> ExperimentData:
    """Describe the experiment that is about to be done on ``data``, which ``sample`` returned."""
    return ExperimentData(
        dataset=data.name,
        images=len(data.train),
        validation=len(data.validation),
        epochs=options.epochs,
        seeds=options.seeds,
    )


def build(variant: Variant, data: Dataset, seed: int) -> Any:
    """Return the variant's compiled Keras model, with the weights that the seed gives.

    Raises:
        InputError: model and data do not fit.
    """
    model = build_model(variant.recipe, data, seed)
    if not variant.batch_norm:
        model = without_batch_norm(model)
    check_fit(model, data)
    compile_model(model, variant.recipe)
    return model


def without_batch_norm(model: Any) -> Any:
    """Return a copy of a ``keras.Sequential`` without that layer, other weights the same."""
    kept = [x for x in model.layers if not isinstance(x, keras.layers.BatchNormalization)]
    copies = [type(layer).from_config(layer.get_config()) for layer in kept]
    copy = keras.Sequential([keras.Input(model.input_shape[1:]), *copies], name=model.name)
    for old, new in zip(kept, copies, strict=True):
        new.set_weights(old.get_weights())
    return copy


def train(model: Any, variant: Variant, data: Dataset, seed: int, device: str = "auto") -> Trial:
    """Train a compiled model; a run that diverges is a result too.

    Raises:
        RunInterruptedError: SIGINT or SIGTERM.
    """
    chosen = choose_device(device)
    options = LoopOptions(device=chosen, precision=choose_precision("auto", chosen), seed=seed)
    rows: list[Mapping[str, float]] = []

    def record(history: Sequence[Mapping[str, float]]) -> None:
        rows[:] = history

    diverged = False
    try:
        fit(model, data.train, data.validation, variant.recipe, options, record=record)
    except DivergedError:
        diverged = True
    except RunInterruptedError as error:
        number = error.exit_code - 128
        message = "stopped in the middle of a lesson; nothing is saved: run it again"
        raise RunInterruptedError(message, number) from None
    if diverged:
        # Weights that are not numbers give every image the same class.
        rows += _guessing(len(data.class_names), len(rows), variant.recipe.epochs)
    return Trial(seed=seed, history=tuple(dict(row) for row in rows), diverged=diverged)


def result_line(done: int, of: int, variant: Variant, trial: Trial) -> str:
    """Return the result of a run in one line."""
    seconds = sum(row["seconds"] for row in trial.history)
    result = f"val acc {trial.history[-1]['val_accuracy']:6.1%}"
    width = len(str(of))
    return (
        f"run {done:>{width}}/{of}  seed {trial.seed}  {variant.name:<30.30}  "
        f"{'diverged' if trial.diverged else result:<14}  {seconds:5.1f} s"
    )


def compare_variants(
    variants: Sequence[Variant],
    data: Dataset,
    options: LessonOptions,
    device: str,
    say: Say,
    before: Callable[[Any, Variant, Dataset, int], Mapping[str, float]] | None = None,
    after: Callable[[Any, Dataset, str], Mapping[str, float]] | None = None,
) -> Experiment:
    """Train every variant with every seed, in turn, so that all are timed under the same load.

    Args:
        before: measures a model before it is trained; is given variant, data and seed too.
        after: measures a trained model; is given data and device too.
    """
    setup = setup_of(data, options)
    trials: dict[str, list[Trial]] = {variant.name: [] for variant in variants}
    jobs = [(seed, variant) for seed in range(options.seeds) for variant in variants]
    for done, (seed, variant) in enumerate(jobs, start=1):
        model = build(variant, data, seed)
        measured = dict(before(model, variant, data, seed)) if before else {}
        trial = train(model, variant, data, seed, device)
        if after:
            measured |= after(model, data, device)
        trials[variant.name].append(dataclasses.replace(trial, measured=measured))
        say(result_line(done, len(jobs), variant, trial))
    return Experiment(
        setup=setup,
        outcomes=tuple(
            Outcome(variant=variant.name, trials=tuple(trials[variant.name]))
            for variant in variants
        ),
    )


def _guessing(classes: int, done: int, epochs: int) -> list[dict[str, float]]:
    lost = {"loss": math.inf, "val_loss": math.inf, "seconds": 0.0}
    guess = {"accuracy": 1 / classes, "val_accuracy": 1 / classes}
    return [{"epoch": epoch, **lost, **guess} for epoch in range(done + 1, epochs + 1)]
