"""The worker that trains with cifarlab's engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.answering import RefusalError, Settings, serve
from benchmarks.pictures import CLASSES, SHAPE, synthetic
from cifarlab.backend import keras
from cifarlab.engine.device import choose_device, choose_precision
from cifarlab.engine.loop import Setting, run_steps, start
from cifarlab.engine.memory import keeping_freed_memory
from cifarlab.engine.state import Totals, TrainState
from cifarlab.environment import describe_environment
from cifarlab.models import MODELS
from cifarlab.recipes.parts import Adam, ModelSpec
from cifarlab.recipes.recipe import Recipe


def prepare(settings: Settings) -> tuple[Mapping[str, Any], Callable[[], object]]:
    """Return the facts, among them the model's architecture, and one epoch of training."""
    name, batch_size = settings["model"], settings["batch_size"]
    if name not in MODELS:
        raise RefusalError("usage", f"no model is called {name!r}; choose from {', '.join(MODELS)}")
    device = choose_device()
    setting = Setting(device, choose_precision("auto", device), 0, Path(os.devnull))
    recipe = Recipe("throughput", "", ModelSpec(name), 1, batch_size, (Adam(lr=1e-3),))
    keras.utils.set_random_seed(0)
    model = MODELS[name](SHAPE, CLASSES)
    state = start(model, recipe, setting)
    images, labels = synthetic(settings["steps"] * batch_size)
    data = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    facts = {
        "architecture": model.to_json(),
        "environment": describe_environment(device, setting.precision),
    }
    return facts, lambda: _epoch(state, data, recipe, setting)


def _epoch(
    state: TrainState,
    data: tuple[torch.Tensor, torch.Tensor],
    recipe: Recipe,
    setting: Setting,
) -> None:
    state.totals, state.step = Totals.zero(setting.device), 0
    for loss in run_steps(state, *data, recipe, setting, CLASSES):
        if setting.device.type == "cpu":
            loss.isfinite().item()
    # Waits for the device, so that the time is that of work done, not of work queued.
    state.totals.means()
    state.epoch += 1


if __name__ == "__main__":
    with keeping_freed_memory():
        serve(prepare)
