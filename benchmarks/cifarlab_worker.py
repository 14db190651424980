"""The worker that trains with cifarlab's engine, or predicts with its Classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from benchmarks.answering import Message, RefusalError, serve
from benchmarks.images import CLASSES, SHAPE, synthetic
from benchmarks.inference import as_if_trained
from benchmarks.networks import NETWORKS
from benchmarks.rounds import PREDICTION
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.errors import UsageError
from cifarlab.recipes.parts import Adam, ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import (
    choose_device,
    choose_precision,
    compiles,
    computing_in,
    deterministic_kernels,
)
from cifarlab.runtime.environment import describe_environment
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.loop import run_steps
from cifarlab.training.state import Totals
from cifarlab.training.steps import RecipeSteps

Prepared = tuple[Mapping[str, Any], Callable[[], object]]


def prepare(job: Message) -> Prepared:
    """Return the facts, among them the model's architecture, and the work of one round."""
    name = job["model"]
    if name not in NETWORKS:
        choices = ", ".join(NETWORKS)
        raise RefusalError("usage", f"no model is called {name!r}; choose from {choices}")
    try:
        device = choose_device(job["device"])
    except UsageError as error:
        raise RefusalError("usage", str(error)) from error
    keras.utils.set_random_seed(0)
    model = NETWORKS[name](SHAPE, CLASSES, **job["arguments"])
    prepare_kind = _prediction if job["kind"] == PREDICTION else _training
    facts, work = prepare_kind(model, device, job)
    return {"architecture": model.to_json(), **facts}, work


def _training(model: Any, device: torch.device, job: Message) -> Prepared:
    """One epoch, as ``fit`` of the engine does it, on images that lie on the device."""
    compiled = compiles(device)
    if compiled:
        # What was compiled for other models would count against this one's share.
        torch.compiler.reset()
    precision = choose_precision(job["precision"], device)
    options = LoopOptions(device=device, precision=precision, seed=0, compiled=compiled)
    spec = ModelSpec(name=job["model"], arguments=job["arguments"])
    recipe = Recipe(
        name="throughput",
        summary="",
        model=spec,
        epochs=1,
        batch_size=job["batch_size"],
        optimizers=(Adam(lr=1e-3),),
    )
    state = start(model, recipe, options)
    images, labels = synthetic(job["steps"] * job["batch_size"])
    data = torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
    facts = {**_circumstances(device, precision), "compiled": compiled}
    way = RecipeSteps(model, state, recipe, precision, scale=lambda: 1.0)
    return facts, lambda: _epoch(way, data, recipe, options)


def _epoch(
    way: RecipeSteps,
    data: tuple[torch.Tensor, torch.Tensor],
    recipe: Recipe,
    options: LoopOptions,
) -> None:
    state = way.state
    state.totals, state.step = Totals.zero(options.device), 0
    with deterministic_kernels(options.deterministic):
        for loss in run_steps(way, *data, recipe, options, CLASSES):
            if options.device.type == "cpu":
                loss.isfinite().item()
        # Waits for the device, so that the time is that of work done, not of work queued.
        state.totals.means()
    state.epoch += 1


def _prediction(model: Any, device: torch.device, job: Message) -> Prepared:
    """Calls of the Classifier, each with one batch of uint8 images in the host's memory.

    The weights are left in a file for the other workers.
    """
    as_if_trained(model)
    model.save_weights(job["weights"])
    classifier = Classifier.from_keras(model, [str(i) for i in range(CLASSES)], str(device))
    images = synthetic(job["batch_size"])[0]

    def calls() -> None:
        for _ in range(job["steps"]):
            classifier.predict_proba(images)

    facts = {
        **_circumstances(device, torch.float32),
        "compiled": False,
        "probabilities": classifier.predict_proba(images).tolist(),
    }
    return facts, calls


def _circumstances(device: torch.device, precision: torch.dtype) -> dict[str, Any]:
    with computing_in(precision, device):
        tf32 = device.type == "cuda" and torch.backends.cudnn.allow_tf32
    return {
        "environment": describe_environment(device, precision),
        "device": str(device),
        "tf32": tf32,
    }


if __name__ == "__main__":
    with keeping_freed_memory():
        serve(prepare)
