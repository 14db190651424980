"""Recipes and runs side by side: same images, same seeds, every seed shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data.dataset import Dataset
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.comparison import compare_accuracies
from cifarlab.experiments.compare import ALPHA, compare, on_the_same_images, read_compared_run
from cifarlab.recipes import RECIPES
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.train import TrainOptions, train
from tiny import tiny_dataset, tiny_recipe


def trained(place: Path, name: str, seed: int, data: Dataset | None = None) -> Path:
    recipe: Recipe = tiny_recipe(name=name, epochs=1)
    run = train(recipe, data or tiny_dataset(), directory=place, options=TrainOptions(seed=seed))
    return run.directory


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two recipes with two seeds each, and one run on other images."""
    root = tmp_path_factory.mktemp("runs")
    found = {
        f"{name}{seed}": trained(root / f"{name}{seed}", name, seed)
        for name in ("one", "two")
        for seed in (0, 1)
    }
    data = tiny_dataset()
    other = Dataset(
        name="tiny",
        source="elsewhere",
        class_names=data.class_names,
        train=data.train,
        validation=data.validation,
        test=data.train,
    )
    return found | {"elsewhere": trained(root / "elsewhere", "three", 0, other)}


def test_runs_of_one_recipe_stand_together_as_its_seeds(runs: dict[str, Path]) -> None:
    what = [str(runs[name]) for name in ("one1", "two0", "one0", "two1")]
    found = compare(what, seeds=3)
    comparison = found.comparison
    assert [sample.name for sample in comparison.samples] == ["one", "two"]
    assert [(run.name, run.seed) for run in found.runs] == [
        ("one", 0),
        ("one", 1),
        ("two", 0),
        ("two", 1),
    ]
    for run in found.runs:
        recorded = json.loads((run.directory / "metrics.json").read_text())
        assert run.accuracy == recorded["test"]["accuracy"]
    assert len(comparison.pairs) == 1


def test_recipes_are_trained_with_each_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(RECIPES, "baseline", tiny_recipe(name="baseline", epochs=1))
    found = compare(["baseline", RECIPES["baseline"]], tiny_dataset(), seeds=2)
    first, second = found.comparison.samples
    assert [first.name, second.name] == ["baseline", "baseline (2)"]
    assert [run.seed for run in found.runs] == [0, 1, 0, 1]
    assert first.accuracies == second.accuracies
    assert not found.comparison.pairs[0].distinguishable
    assert len({run.directory for run in found.runs}) == 4


def test_two_runs_are_compared_image_by_image(runs: dict[str, Path]) -> None:
    first, second = read_compared_run(runs["one0"]), read_compared_run(runs["two1"])
    found = on_the_same_images(first, second)
    assert found.difference == pytest.approx(first.accuracy - second.accuracy)


def test_what_cannot_be_compared_is_refused(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two recipes or more"):
        compare([str(runs["one0"])], seeds=1)
    with pytest.raises(UsageError, match="seeds differ"):
        compare([str(runs["one0"]), str(runs["two1"])], seeds=1)
    with pytest.raises(InputError, match="different test images"):
        compare([str(runs["one0"]), str(runs["elsewhere"])], seeds=1)
    with pytest.raises(InputError):
        compare([str(tmp_path), str(runs["one0"])], seeds=1)


@pytest.mark.parametrize("seeds", [3, 5])
def test_two_copies_of_one_recipe_are_not_told_apart(seeds: int) -> None:
    draws = np.random.default_rng(seeds)
    accuracies = draws.normal(0.754, 0.003, (1000, 2, seeds))
    alarms = np.array(
        [
            compare_accuracies({"a": a, "b": b}, ALPHA).pairs[0].distinguishable
            for a, b in accuracies
        ]
    )
    # In at least 19 of 20 repeats, whichever twenty one takes, but for one block in fifty.
    assert alarms.mean() < 0.02
    assert (alarms.reshape(50, 20).sum(axis=1) <= 1).mean() >= 0.94
