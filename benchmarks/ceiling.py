"""How close training comes to its kernels: a step beside its convolutions and products alone.

The ceiling is the time that the step's matrix work takes by itself: forward, input gradient and
weight gradient of every convolution and dense layer, on the same shapes, in the precision that
trains, one after the other. What a step takes beyond it is normalisation, pooling, activations,
the loss, the optimizer and Python.

Command: ``python -m benchmarks.ceiling``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.images import CLASSES, SHAPE, synthetic
from cifarlab.backend import keras
from cifarlab.lowering.weighted_layers import Convolution, Dense
from cifarlab.models import MODELS
from cifarlab.recipes.parts import Adam, ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.runtime.environment import describe_hardware
from cifarlab.runtime.memory import keeping_freed_memory
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.loop import run_steps
from cifarlab.training.state import TrainState
from cifarlab.training.steps import RecipeSteps


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The matrix work of one layer in one step.

    Attributes:
        layer: the lowered layer.
        size: of its input.
        passes_back: whether the step needs the gradient of its input.
    """

    layer: Convolution | Dense
    size: torch.Size
    passes_back: bool


def kernels(state: TrainState, images: Tensor) -> list[Kernel]:
    """Return the step's matrix work, in order, as one forward pass sees it."""
    matrix_work: list[Kernel] = []

    def note(layer: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        matrix_work.append(
            Kernel(layer=layer, size=inputs[0].shape, passes_back=inputs[0].requires_grad)
        )

    handles = [
        module.register_forward_hook(note)
        for module in state.lowered.modules()
        if isinstance(module, (Convolution, Dense))
    ]
    state.lowered(images)
    for handle in handles:
        handle.remove()
    return matrix_work


def work(kernel: Kernel, precision: torch.dtype) -> Callable[[], object]:
    """Return a function that does the layer's matrix work once."""
    layer = kernel.layer
    order = torch.channels_last if isinstance(layer, Convolution) else torch.contiguous_format
    x = torch.randn(kernel.size).to(precision).contiguous(memory_format=order)
    weight = layer.kernel.detach().to(precision).contiguous(memory_format=order)
    weight.requires_grad_(layer.kernel.requires_grad)
    x.requires_grad_(kernel.passes_back)
    wanted = [t for t in (x, weight) if t.requires_grad]

    def forward() -> Tensor:
        if isinstance(layer, Dense):
            return F.linear(x, weight)
        padding = layer.kernel.shape[2] // 2 if layer.same else 0
        return F.conv2d(x, weight, None, layer.stride, padding, layer.dilation, layer.groups)

    gradient = torch.randn_like(forward())
    return lambda: torch.autograd.grad(forward(), wanted, gradient) if wanted else forward()


def measure(model: str, batch_size: int, steps: int, rounds: int) -> dict[str, float]:
    """Return seconds per step, seconds for its kernels alone, and the fraction; medians."""
    device = choose_device("cpu")
    options = LoopOptions(device=device, precision=choose_precision("auto", device), seed=0)
    recipe = Recipe(
        name="ceiling",
        summary="",
        model=ModelSpec(name=model),
        epochs=1,
        batch_size=batch_size,
        optimizers=(Adam(),),
    )
    keras.utils.set_random_seed(0)
    network = MODELS[model](SHAPE, CLASSES)
    state = start(network, recipe, options)
    way = RecipeSteps(network, state, recipe, options.precision, scale=lambda: 1.0)
    images, labels = (torch.from_numpy(part) for part in synthetic(steps * batch_size))
    alone = [work(k, options.precision) for k in kernels(state, images[:batch_size])]

    def train() -> None:
        state.step = 0
        for loss in run_steps(way, images, labels, recipe, options, CLASSES):
            loss.item()

    def compute() -> None:
        for _ in range(steps):
            for kernel in alone:
                kernel()

    times: dict[str, list[float]] = {"step": [], "kernels": []}
    with keeping_freed_memory():
        for number in range(rounds + 1):
            for name, function in (("step", train), ("kernels", compute)):
                began = time.perf_counter()
                function()
                # The first round warms up.
                if number:
                    times[name].append((time.perf_counter() - began) / steps)
    fractions = [k / s for k, s in zip(times["kernels"], times["step"], strict=True)]
    return {
        "step_seconds": statistics.median(times["step"]),
        "kernel_seconds": statistics.median(times["kernels"]),
        "images_per_second": batch_size / statistics.median(times["step"]),
        "fraction_of_ceiling": statistics.median(fractions),
    }


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the figures of all models as a table for people."""
    lines = [f"{'model':12}{'ms/step':>10}{'kernels, ms':>14}{'images/s':>10}{'of ceiling':>12}"]
    for model, figures in results.items():
        lines.append(
            f"{model:12}{1e3 * figures['step_seconds']:>10.1f}"
            f"{1e3 * figures['kernel_seconds']:>14.1f}{figures['images_per_second']:>10,.0f}"
            f"{figures['fraction_of_ceiling']:>12.0%}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ceiling", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=["baseline", "airnet"])
    add("--batch-size", type=positive, default=256)
    add("--steps", type=positive, default=8, help="steps in a round (%(default)s)")
    add("--rounds", type=positive, default=5, help="(%(default)s)")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    chosen = parser.parse_args(arguments)
    results = {}
    for model in dict.fromkeys(chosen.models):
        say(f"{model}: {chosen.rounds} rounds")
        results[model] = measure(model, chosen.batch_size, chosen.steps, chosen.rounds)
    document = {"models": results, "hardware": describe_hardware(torch.device("cpu"))}
    print(json.dumps(document, indent=2) if chosen.json else table(results))
    return 0


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
