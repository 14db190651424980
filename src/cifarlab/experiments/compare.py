"""Recipes and runs side by side: every seed counts, and chance is named."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarlab.data import catalog
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.comparison import Comparison, PairedImages, compare_accuracies, same_images
from cifarlab.evaluation.metrics import Metrics
from cifarlab.predictions import Predictions, read_predictions
from cifarlab.recipes import RECIPES
from cifarlab.recipes.recipe import Recipe
from cifarlab.runs.directory import RunDirectory, find_run, read_json
from cifarlab.runs.record import read_recipe
from cifarlab.runtime.progress import SILENT, Progress
from cifarlab.training.run import Run
from cifarlab.training.train import DEFAULTS, LOAD_DEFAULTS, TrainOptions, train

# Of two copies of one recipe at most one comparison in a hundred says that they differ. At the
# usual 5% a bench of twenty such comparisons would often hold two false alarms.
ALPHA = 0.01


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One finished run in a comparison.

    Attributes:
        name: what it is an example of: its recipe's name.
        seed: what it was trained with.
        accuracy, balanced_accuracy, macro_f1: on the test split, 0 to 1.
        uneven: whether some classes have many more test images than others.
        directory: the run's.
        test: fingerprint of the test split, or ``None`` where it has none.
    """

    name: str
    seed: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    uneven: bool
    directory: Path
    test: str | None


@dataclass(frozen=True, kw_only=True)
class RunComparison:
    """Recipes compared by finished runs of each.

    Attributes:
        comparison: mean and spread for each recipe, and a verdict on each pair.
        runs: all of them, the seeds of a recipe together and in ascending order.
    """

    comparison: Comparison
    runs: tuple[ComparedRun, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers, and name, seed and directory of each run, as plain values."""
        runs = [
            {
                "name": run.name,
                "seed": run.seed,
                "directory": str(run.directory),
                "balanced_accuracy": run.balanced_accuracy,
                "macro_f1": run.macro_f1,
            }
            for run in self.runs
        ]
        return {**self.comparison.to_json(), "runs": runs}


def compare(
    what: Sequence[str | os.PathLike[str] | Recipe | Run],
    data: Dataset | str | os.PathLike[str] = "cifar10",
    *,
    seeds: int = 3,
    epochs: int | None = None,
    options: TrainOptions = DEFAULTS,
    load: LoadOptions = LOAD_DEFAULTS,
    progress: Progress = SILENT,
) -> RunComparison:
    """Train recipes with several seeds each and compare them, with finished runs too.

    What is compared is test accuracy. Everything is checked before anything is trained.

    Args:
        what: recipes or their names, which are trained with the seeds 0, 1, ..., and finished
            runs or their directories; runs of one recipe stand together as its seeds.
        data: what recipes are trained on: a dataset, or what ``cifarlab.load_dataset`` takes.
        seeds: how many to train each recipe with.
        epochs: instead of the recipes' own.
        options: where and how to train; its seed is not used.
        load: how ``data`` is read, where it is a name or a path.
        progress: receives messages, progress bars and epochs.

    Raises:
        UsageError: fewer than two recipes to compare, or recipes without the same seeds.
        InputError: a run that is not finished, or runs measured on other test images.

    Example:
        >>> compared = compare(["baseline", "baseline_unscaled"], seeds=5)  # doctest: +SKIP
        >>> print(compared.comparison.pairs[0].verdict)  # doctest: +SKIP
        baseline is better by 3.1 points (paired t-test, p=0.0004)
    """
    finished: dict[str, list[ComparedRun]] = {}
    recipes: dict[str, Recipe] = {}
    for item in what:
        if isinstance(item, str) and item in RECIPES:
            item = RECIPES[item]
        if isinstance(item, Recipe):
            name = _free(item.name, finished)
            recipes[name] = item
            finished[name] = []
        else:
            run = read_compared_run(item.directory if isinstance(item, Run) else Path(item))
            finished.setdefault(run.name, []).append(run)
    _check_seeds(finished, recipes, seeds)
    if recipes and not isinstance(data, Dataset):
        progress.started("loading data")
        data = catalog.load(data, dataclasses.replace(load, progress=progress.message))
    for name, recipe in recipes.items():
        for seed in range(seeds):
            progress.message(f"{name}, seed {seed}")
            chosen = dataclasses.replace(options, seed=seed)
            trained = train(recipe, data, epochs=epochs, options=chosen, progress=progress)
            finished[name].append(read_compared_run(trained.directory, name))
    return _side_by_side(finished)


def read_compared_run(directory: Path, name: str | None = None) -> ComparedRun:
    """Return what a finished run brings to a comparison.

    Raises:
        InputError: it is no finished run, or its files cannot be read.
    """
    run = find_run(directory)
    if not run.metrics.exists():
        raise InputError(f"{directory}: not finished; go on with cifarlab train --resume")
    metrics, record = read_json(run.metrics), read_json(run.environment)
    try:
        test = Metrics.from_json(metrics["test"])
        return ComparedRun(
            name=name or read_recipe(directory).name,
            seed=record["options"]["seed"],
            accuracy=test.accuracy,
            balanced_accuracy=test.balanced_accuracy,
            macro_f1=test.macro_f1,
            uneven=test.uneven,
            directory=run.path,
            test=metrics["dataset"]["test"]["fingerprint"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{directory}: its record cannot be read ({error}); train again"
        ) from error


def on_the_same_images(first: ComparedRun, second: ComparedRun) -> PairedImages:
    """Compare two finished runs image by image.

    Raises:
        InputError: one of them has kept no predictions.
    """
    return same_images(_test_predictions(first), _test_predictions(second))


def _test_predictions(run: ComparedRun) -> Predictions:
    return read_predictions(RunDirectory(path=run.directory).predictions)["test"]


def _free(name: str, taken: Mapping[str, object]) -> str:
    """Return ``name``, with a number behind it where it is taken."""
    number = 2
    free = name
    while free in taken:
        free = f"{name} ({number})"
        number += 1
    return free


def _check_seeds(
    finished: Mapping[str, Sequence[ComparedRun]], recipes: Mapping[str, Recipe], seeds: int
) -> None:
    if len(finished) < 2:
        raise UsageError(
            f"{', '.join(finished) or 'nothing'}: a comparison takes two recipes or more, "
            "or runs of two recipes or more"
        )
    planned = {
        name: sorted([run.seed for run in runs] + (list(range(seeds)) if name in recipes else []))
        for name, runs in finished.items()
    }
    if len({tuple(numbers) for numbers in planned.values()}) > 1:
        listed = "; ".join(f"{name}: {', '.join(map(str, s))}" for name, s in planned.items())
        raise UsageError(f"seeds differ ({listed}); a paired test takes the same seeds of each")


def _side_by_side(finished: Mapping[str, Sequence[ComparedRun]]) -> RunComparison:
    ordered = {name: sorted(runs, key=lambda run: run.seed) for name, runs in finished.items()}
    runs = tuple(run for group in ordered.values() for run in group)
    if len({run.test for run in runs}) > 1:
        raise InputError(
            "these runs were measured on different test images; compare runs of one dataset"
        )
    accuracies = {name: [run.accuracy for run in group] for name, group in ordered.items()}
    return RunComparison(comparison=compare_accuracies(accuracies, ALPHA), runs=runs)
