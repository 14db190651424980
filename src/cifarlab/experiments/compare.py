"""Recipes and runs side by side: every seed counts, and chance is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cifarlab.data.dataset import Dataset
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.comparison import Comparison, PairedImages, compare_accuracies, same_images
from cifarlab.predictions import read_predictions
from cifarlab.recipes import RECIPES
from cifarlab.runs.directory import RunDirectory, find_run, read_json
from cifarlab.runs.record import read_recipe
from cifarlab.training.progress import SILENT, Reporter
from cifarlab.training.train import DEFAULTS, TrainOptions, train

# Of two copies of one recipe at most one comparison in a hundred says that they differ. At the
# usual 5% a bench of twenty such comparisons would often hold two false alarms.
ALPHA = 0.01


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One finished run in a comparison.

    Attributes:
        name: what it is an example of: its recipe's name.
        seed: what it was trained with.
        accuracy: on the test split, 0 to 1.
        directory: the run's.
        test: fingerprint of the test split, or ``None`` where it has none.
    """

    name: str
    seed: int
    accuracy: float
    directory: Path
    test: str | None


def compare(
    what: Sequence[str],
    seeds: int,
    data: Dataset | str = "cifar10",
    *,
    epochs: int | None = None,
    options: TrainOptions = DEFAULTS,
    reporter: Reporter = SILENT,
    say: Callable[[str], object] = lambda _: None,
) -> tuple[Comparison, tuple[ComparedRun, ...]]:
    """Train recipes with seeds 0, 1, ... and compare them, with finished runs too.

    Args:
        what: names of recipes, which are trained, and directories of finished runs; runs of
            one recipe stand together as its seeds.
        seeds: how many to train each recipe with.

    Raises:
        UsageError: fewer than two things to compare, or samples without the same seeds.
        InputError: a run that is not finished, or runs measured on other test images.
    """
    entries: dict[str, list[ComparedRun]] = {}
    for item in what:
        if item in RECIPES:
            name = _free(item, entries)
            entries[name] = []
            for seed in range(seeds):
                say(f"{name}, seed {seed}")
                chosen = dataclasses.replace(options, seed=seed)
                run = train(item, data, epochs=epochs, options=chosen, reporter=reporter)
                entries[name].append(read_entry(run.directory, name))
        else:
            entry = read_entry(Path(item))
            entries.setdefault(entry.name, []).append(entry)
    if len(entries) < 2:
        raise UsageError(
            f"{', '.join(entries) or 'nothing'}: a comparison takes two recipes or more, "
            "or runs of two recipes or more"
        )
    _check(entries)
    ordered = {name: sorted(found, key=lambda e: e.seed) for name, found in entries.items()}
    samples = {name: [entry.accuracy for entry in found] for name, found in ordered.items()}
    return compare_accuracies(samples, ALPHA), tuple(
        entry for found in ordered.values() for entry in found
    )


def read_entry(directory: Path, name: str | None = None) -> ComparedRun:
    """Return what a finished run brings to a comparison.

    Raises:
        InputError: it is no finished run.
    """
    run = find_run(directory)
    if not run.metrics.exists():
        raise InputError(f"{directory}: not finished; go on with cifarlab train --resume")
    metrics = read_json(run.metrics)
    record = read_json(run.environment)
    return ComparedRun(
        name=name or read_recipe(directory).name,
        seed=record["options"]["seed"],
        accuracy=metrics["test"]["accuracy"],
        directory=run.path,
        test=metrics["dataset"]["test"]["fingerprint"],
    )


def on_the_same_images(first: ComparedRun, second: ComparedRun) -> PairedImages:
    """Compare two finished runs image by image.

    Raises:
        InputError: one of them has kept no predictions.
    """
    found = [read_predictions(RunDirectory(path=e.directory).predictions) for e in (first, second)]
    return same_images(found[0]["test"], found[1]["test"])


def _free(name: str, entries: dict[str, list[ComparedRun]]) -> str:
    number = 2
    free = name
    while free in entries:
        free = f"{name} ({number})"
        number += 1
    return free


def _check(entries: dict[str, list[ComparedRun]]) -> None:
    every = [entry for found in entries.values() for entry in found]
    if len({entry.test for entry in every}) > 1:
        raise InputError(
            "these runs were measured on different test images; compare runs of one dataset"
        )
    seeds = {name: sorted(entry.seed for entry in found) for name, found in entries.items()}
    if len({tuple(found) for found in seeds.values()}) > 1:
        listed = "; ".join(f"{name}: {', '.join(map(str, s))}" for name, s in seeds.items())
        raise UsageError(f"seeds differ ({listed}); a paired test takes the same seeds of each")
