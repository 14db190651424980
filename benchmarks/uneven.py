"""Recall of a rare class, without and with what makes up for uneven classes.

Two classes of CIFAR-10, one of them rare in training and validation, all their images in the test.
Each seed draws other images. Accuracy is that on images in the proportions of the training split.

Command: ``python -m benchmarks.uneven``; see docs/uneven_data.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import say
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset, Split, without_validation
from cifarlab.errors import CifarlabError, UsageError
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.setup import override
from cifarlab.training.train import TrainOptions, train

WAYS: Mapping[str, Recipe] = {
    "nothing": BASELINE,
    "class weights": override(BASELINE, class_weights="balanced"),
    "by val_loss": override(BASELINE, class_weights="balanced", monitor="val_loss"),
    "sampler": override(BASELINE, sampler="balanced"),
}
FREQUENT, RARE = 950, 50
COLUMNS = ("rare recall", "frequent recall", "macro-F1", "accuracy")


def uneven(data: Dataset, frequent: str, rare: str, seed: int) -> Dataset:
    """Return 950 training images of one class and 50 of another, and a tenth more to validate.

    Raises:
        UsageError: a class that does not exist.
    """
    for name in (frequent, rare):
        if name not in data.class_names:
            raise UsageError(
                f"no class is called {name}; choose from {', '.join(data.class_names)}"
            )
    generator = np.random.default_rng(seed)
    pool = without_validation(data).train
    train, validation = [], []
    for name, count in ((frequent, FREQUENT), (rare, RARE)):
        members = generator.permutation(np.flatnonzero(pool.labels == data.class_names.index(name)))
        train.append(members[:count])
        validation.append(members[count : count + count // 10])
    chosen = [data.class_names.index(name) for name in (frequent, rare)]
    measured = np.flatnonzero(np.isin(data.test.labels, chosen))
    return replace(
        data,
        name=f"{frequent} and {rare}",
        class_names=(frequent, rare),
        train=_relabelled(pool.subset(np.concatenate(train)), chosen[1]),
        validation=_relabelled(pool.subset(np.concatenate(validation)), chosen[1]),
        test=_relabelled(data.test.subset(measured), chosen[1]),
    )


def _relabelled(split: Split, rare: int) -> Split:
    return replace(split, labels=(split.labels == rare).astype(np.int64))


def measure(data: Dataset, recipe: Recipe, seed: int) -> dict[str, float]:
    """Train the recipe and return the figures of its test."""
    options = TrainOptions(seed=seed, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, data, options=options, directory=Path(folder) / "run")
    test = run.metrics.test
    often, seldom = (test.per_class[name].recall or 0.0 for name in data.class_names)
    accuracy = (FREQUENT * often + RARE * seldom) / (FREQUENT + RARE)
    return dict(zip(COLUMNS, (seldom, often, test.macro_f1, accuracy), strict=True))


def table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return mean and spread of each way's figures, in percent.

    Example:
        >>> one = dict.fromkeys(COLUMNS, 0.5)
        >>> print(table({"nothing": [one, one]}).splitlines()[1].split()[:4])
        ['nothing', '50.0', '+-', '0.0']
    """
    lines = [f"{'':<16}" + "".join(f"{title:>18}" for title in COLUMNS)]
    for way, runs in results.items():
        cells = []
        for column in COLUMNS:
            values = [100 * run[column] for run in runs]
            spread = f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.fmean(values):.1f}{spread}")
        lines.append(f"{way:<16}" + "".join(f"{cell:>18}" for cell in cells))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    try:
        data = load_dataset(chosen.data)
        for seed in chosen.seeds:
            drawn = uneven(data, chosen.frequent, chosen.rare, seed)
            for name, recipe in WAYS.items():
                results[name].append(measure(drawn, recipe, seed))
                say(f"seed {seed}, {name}: {_in_words(results[name][-1])}")
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    print(json.dumps(results, indent=2) if chosen.json else table(results))
    return 0


def _in_words(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:.1%}" for name, value in figures.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.uneven", description=__doc__)
    add = parser.add_argument
    add("--data", default="cifar10", help="CIFAR-10: its name, or the path of a copy")
    add("--frequent", default="cat", help="the class with 950 training images")
    add("--rare", default="dog", help="the class with 50")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    sys.exit(main())
