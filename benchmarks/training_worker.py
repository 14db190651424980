"""The worker that trains a recipe with one seed after another and reports accuracy and time."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.answering import Message, RefusalError, Work, converse
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import CifarlabError
from cifarlab.lowering.model import lower
from cifarlab.lowering.tta import tta_logits
from cifarlab.recipes import find_recipe
from cifarlab.recipes.recipe import TRAIN, Recipe, from_json
from cifarlab.runs.record import data_for
from cifarlab.runtime.device import choose_device, choose_precision, compiles
from cifarlab.runtime.environment import describe_environment
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.loop import fit, run_steps
from cifarlab.training.setup import build_model, compile_model
from cifarlab.training.steps import RecipeSteps


def prepare(job: Message) -> tuple[Mapping[str, Any], Work]:
    """Warm up; return the facts, and what trains with a seed and measures, under the clock.

    Args:
        job: ``recipe``, a name or a recipe as JSON; ``data``; ``split``, that is measured;
            ``device``; ``precision``.
    """
    try:
        recipe = _recipe(job["recipe"])
        if job["split"] == "validation":
            recipe = dataclasses.replace(recipe, train_on=TRAIN)
        data = data_for(recipe, load_dataset(job["data"]))
        device = choose_device(job["device"])
        precision = choose_precision(job["precision"], device)
    except CifarlabError as error:
        raise RefusalError("usage", str(error)) from error
    measured = getattr(data, job["split"])
    options = LoopOptions(device=device, precision=precision, seed=0, compiled=compiles(device))
    _warm_up(recipe, data, options)
    facts = {
        "images": {"train": len(data.train), job["split"]: len(measured)},
        "environment": describe_environment(device, precision),
    }

    def work(message: Message) -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Path(folder) / "checkpoint"
            seeded = dataclasses.replace(options, seed=message["seed"], checkpoints=checkpoints)
            began = time.perf_counter()
            model, history = _train(recipe, data, seeded)
            trained = time.perf_counter()
            accuracy = _accuracy(model, recipe, measured, seeded)
            done = time.perf_counter()
        return {
            "accuracy": accuracy,
            "seconds": done - began,
            "evaluation_seconds": done - trained,
            "epochs": history,
        }

    return facts, work


def _recipe(named: str | Mapping[str, Any]) -> Recipe:
    recipe: Recipe = find_recipe(named) if isinstance(named, str) else from_json(named)
    return recipe


def _warm_up(recipe: Recipe, data: Dataset, options: LoopOptions) -> None:
    """One step at each resolution, and one evaluation."""
    few = np.arange(min(recipe.batch_size, len(data.train)))
    part = dataclasses.replace(data, train=data.train.subset(few))
    sides = dict.fromkeys(recipe.resolution) or {None: None}
    model = build_model(recipe, part, options.seed)
    for side in sides:
        once = dataclasses.replace(recipe, epochs=1, resolution=(side,) if side else ())
        state = start(model, once, options)
        images = torch.from_numpy(part.train.images).to(options.device)
        labels = torch.from_numpy(part.train.labels.astype("int64")).to(options.device)
        way = RecipeSteps(model, state, once, options.precision, scale=lambda: 1.0)
        for loss in run_steps(way, images, labels, once, options, len(data.class_names)):
            loss.item()
    _accuracy(model, recipe, part.train, options)


def _train(
    recipe: Recipe, data: Dataset, options: LoopOptions
) -> tuple[Any, list[dict[str, float]]]:
    model = build_model(recipe, data, options.seed)
    compile_model(model, recipe)
    # The final evaluation is all that counts, as in the published timing.
    none = data.validation.subset(np.arange(0))
    return model, fit(model, data.train, none, recipe, options)


def _accuracy(model: Any, recipe: Recipe, split: Split, options: LoopOptions) -> float:
    lowered = lower(model, options.device)
    lowered.strip_softmax()
    images = torch.from_numpy(np.array(split.images))
    logits = tta_logits(lowered, images, recipe.tta, options.precision)
    return float((logits.argmax(1).cpu().numpy() == split.labels).mean())


if __name__ == "__main__":
    converse(prepare)
