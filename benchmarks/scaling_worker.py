"""The worker that trains ``baseline`` on a number of images and reports its time and memory."""

from __future__ import annotations

import dataclasses
import resource
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.answering import Message, answer
from benchmarks.images import CLASSES, synthetic
from cifarlab.data.dataset import Dataset, Split
from cifarlab.recipes import find_recipe
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.runtime.environment import describe_hardware
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.loop import fit
from cifarlab.training.setup import build_model, compile_model


def work(job: Message) -> Mapping[str, Any]:
    """Train one epoch to warm up and ``job["epochs"]`` more; report the latter."""
    recipe = dataclasses.replace(
        find_recipe("baseline"), epochs=1 + job["epochs"], stop=None, keep="last"
    )
    data = _data(job["images"])
    seconds = _seconds(recipe, data)[1:]
    splits = (data.train, data.validation)
    return {
        "seconds": seconds,
        "peak_bytes": peak_bytes(),
        "data_bytes": sum(split.images.nbytes + split.labels.nbytes for split in splits),
        "hardware": describe_hardware(choose_device()),
    }


def _data(count: int) -> Dataset:
    train, validation = (
        Split(images=images, labels=labels)
        for images, labels in (synthetic(count, seed=0), synthetic(max(1, count // 10), seed=1))
    )
    names = tuple(f"class {label}" for label in range(CLASSES))
    return Dataset(
        name="synthetic",
        source="random numbers",
        class_names=names,
        train=train,
        validation=validation,
        test=validation,
    )


def _seconds(recipe: Recipe, data: Dataset) -> list[float]:
    device = choose_device()
    model = build_model(recipe, data, seed=0)
    compile_model(model, recipe)
    with tempfile.TemporaryDirectory() as checkpoints:
        options = LoopOptions(
            device=device,
            precision=choose_precision("auto", device),
            seed=0,
            checkpoints=Path(checkpoints),
        )
        history = fit(model, data.train, data.validation, recipe, options)
    return [row["seconds"] for row in history]


def peak_bytes() -> int:
    """The most memory that this process has held at once, in bytes."""
    # On Linux a child's ru_maxrss begins at its parent's size, so it can be too high.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    answer(work)
