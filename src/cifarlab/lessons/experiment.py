"""What the lessons share: arms, each trained with several seeds, and what came of it.

All arms start a seed with the same weights and see the images in the same order. Only
training and validation images are looked at; the test split is never read.
"""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.backend import keras
from cifarlab.data.dataset import Dataset, stratified_split
from cifarlab.errors import DivergedError, InputError, RunInterruptedError, UsageError
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.training.loop import LoopOptions, fit
from cifarlab.training.progress import SILENT
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
        history: a row an epoch, as the engine gives it. Where the loss stopped being a number,
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
    """What came of an arm: a trial a seed."""

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
    """All that was found, for words and images to be made of."""

    setup: ExperimentData
    outcomes: tuple[Outcome, ...]

    def of(self, variant: str) -> Outcome:
        """Return the outcome of the arm called ``variant``."""
        return next(outcome for outcome in self.outcomes if outcome.variant == variant)

    def to_json(self) -> dict[str, Any]:
        """Return every number of every seed as plain values; what is not finite is null."""
        return {
            "setup": dataclasses.asdict(self.setup),
            "arms": {o.variant: [_plain(t) for t in o.trials] for o in self.outcomes},
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


def sample(data: Dataset, plan: LessonOptions) -> Dataset:
    """Return ``data`` with as many training images as planned, the same ones every time.

    Raises:
        InputError: no validation images, or fewer to train on than classes.
    """
    classes, have = len(data.class_names), len(data.train)
    if not len(data.validation):
        raise InputError(f"{data.name} has no validation images to measure on; add a val folder")
    if plan.images < classes:
        raise UsageError(f"--images {plan.images}: {data.name} has {classes} classes; ask for more")
    chosen = np.arange(have)
    if plan.images < have:
        chosen = stratified_split(data.train.labels, plan.images / have, 0)[1]
    return dataclasses.replace(data, train=data.train.subset(chosen))


def setup_of(data: Dataset, plan: LessonOptions) -> ExperimentData:
    """Return what is about to be done on ``data``, which ``sample`` has given."""
    return ExperimentData(
        dataset=data.name,
        images=len(data.train),
        validation=len(data.validation),
        epochs=plan.epochs,
        seeds=plan.seeds,
    )


def build(variant: Variant, data: Dataset, seed: int) -> Any:
    """Return the arm's compiled Keras model, with the weights that the seed gives.

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
    """Train a compiled model in a temporary directory; a run that diverges is a result too.

    Raises:
        RunInterruptedError: SIGINT or SIGTERM.
        ResourceError: the disk for temporary files is full.
    """
    where = choose_device(device)
    rows: list[Mapping[str, float]] = []

    def record(history: Sequence[Mapping[str, float]]) -> None:
        rows[:] = history

    diverged = False
    with tempfile.TemporaryDirectory(prefix="cifarlab-") as scratch:
        setting = LoopOptions(
            device=where,
            precision=choose_precision("auto", where),
            seed=seed,
            checkpoints=Path(scratch),
        )
        try:
            fit(model, data.train, data.validation, variant.recipe, setting, (), SILENT, record)
        except DivergedError:
            diverged = True
        except RunInterruptedError as error:
            number = error.exit_code - 128
            message = "stopped in the middle of a lesson; nothing is saved: run it again"
            raise RunInterruptedError(message, number) from None
    if diverged:
        # Weights that are no numbers give every image the same class.
        rows += _guessing(len(data.class_names), len(rows), variant.recipe.epochs)
    return Trial(seed=seed, history=tuple(dict(row) for row in rows), diverged=diverged)


def report(say: Say, done: int, of: int, variant: Variant, trial: Trial) -> None:
    """Say in a line how a run went."""
    seconds = sum(row["seconds"] for row in trial.history)
    result = f"val acc {trial.history[-1]['val_accuracy']:6.1%}"
    width = len(str(of))
    say(
        f"run {done:>{width}}/{of}  seed {trial.seed}  {variant.name:<30.30}  "
        f"{'diverged' if trial.diverged else result:<14}  {seconds:5.1f} s"
    )


def compare_variants(
    variants: Sequence[Variant],
    data: Dataset,
    plan: LessonOptions,
    device: str,
    say: Say,
    before: Callable[[Any, Variant, Dataset, int], Mapping[str, float]] | None = None,
    after: Callable[[Any, Dataset, str], Mapping[str, float]] | None = None,
) -> Experiment:
    """Train every arm with every seed, the arms in turn so that all see the same machine.

    Args:
        before: measures a model before it is trained; is given arm, data and seed too.
        after: measures a trained model; is given data and device too.
    """
    setup = setup_of(data, plan)
    trials: dict[str, list[Trial]] = {variant.name: [] for variant in variants}
    jobs = [(seed, variant) for seed in range(plan.seeds) for variant in variants]
    for done, (seed, variant) in enumerate(jobs, start=1):
        model = build(variant, data, seed)
        measured = dict(before(model, variant, data, seed)) if before else {}
        trial = train(model, variant, data, seed, device)
        if after:
            measured |= after(model, data, device)
        trials[variant.name].append(dataclasses.replace(trial, measured=measured))
        report(say, done, len(jobs), variant, trial)
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
