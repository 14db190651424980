"""What makes a GPU fast and can be seen without one: one graph, and a host that never waits."""

from __future__ import annotations

import dataclasses
import shutil
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from cifarlab.lowering.model import lower
from cifarlab.lowering.predict import predict_logits
from cifarlab.models import MODELS
from cifarlab.recipes import RECIPES
from cifarlab.recipes.parts import CutMix, Cutout, Jitter, ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import compiles
from cifarlab.runtime.randomness import generator
from cifarlab.training.batch import Batch
from cifarlab.training.beginning import LoopOptions, start
from cifarlab.training.step import train_step

FAST = ("airbench94", "fast94", "fast95", "fast96")
CPU, GPU = torch.device("cpu"), torch.device("cuda")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")


def shrunk(name: str) -> Recipe:
    recipe = RECIPES[name]
    arguments = {**recipe.model.arguments, "widths": (4, 6, 8)}
    return dataclasses.replace(
        recipe,
        model=ModelSpec(name=recipe.model.name, arguments=arguments),
        batch_size=8,
        micro_batch=4,
        resolution=(),
    )


def model(recipe: Recipe) -> Any:
    return MODELS[recipe.model.name]((32, 32, 3), 10, **recipe.model.arguments)


def batch(device: torch.device) -> Batch:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), generator=draws, dtype=torch.uint8)
    labels = torch.randint(0, 10, (8,), generator=draws)
    return Batch(
        images=images.to(device), targets=labels.to(device), index=torch.arange(8).to(device)
    )


def images(count: int = 8) -> Tensor:
    return batch(CPU).images.permute(0, 2, 3, 1)[:count]


@pytest.mark.parametrize("name", FAST)
def test_the_network_of_a_fast_recipe_is_one_graph(name: str) -> None:
    lowered = lower(model(shrunk(name)))
    lowered.strip_softmax()
    found = torch._dynamo.explain(lowered.train())(images())
    assert (found.graph_count, found.graph_break_count) == (1, 0)


def test_the_next_seed_takes_the_graph_of_the_one_before() -> None:
    compiler = CompileCounter()
    for _ in range(3):
        lowered = lower(model(shrunk("fast94"))).train()
        lowered.compile(backend=compiler, dynamic=False)
        lowered(images())
    assert compiler.frame_count == 1


def test_evaluation_goes_past_the_compiled_form() -> None:
    compiler = CompileCounter()
    lowered = lower(model(shrunk("fast94")))
    lowered.compile(backend=compiler, dynamic=False)
    predict_logits(lowered, images(3), torch.float32)
    assert compiler.frame_count == 0


def test_a_cpu_does_not_compile_unless_asked() -> None:
    assert not compiles(CPU)


class Asked(TorchDispatchMode):
    """Counts how often the host asks a device for a number, which waits for it."""

    count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", FAST)
def test_a_step_asks_the_device_for_nothing(name: str) -> None:
    recipe = shrunk(name)
    state = start(
        model(recipe),
        recipe,
        LoopOptions(device=CPU, precision=torch.float32, seed=0),
    )
    with Asked() as asked:
        train_step(state, batch(CPU), recipe, torch.float32, generator(0, "augment"))
    assert asked.count == 0


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs g++ on a CPU")
def test_a_compiled_step_is_the_same_step() -> None:
    recipe = shrunk("fast94")
    losses = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net = model(recipe)
        for variable in net.trainable_variables:
            variable.assign(torch.linspace(-0.3, 0.3, variable.value.numel()).view(variable.shape))
        state = start(
            net,
            recipe,
            LoopOptions(device=CPU, precision=torch.float32, seed=0, compiled=compiled),
        )
        draws = (generator(0, "augment", step) for step in range(3))
        steps = [train_step(state, batch(CPU), recipe, torch.float32, d).item() for d in draws]
        losses.append(torch.tensor(steps))
    assert torch.allclose(*losses, rtol=1e-4)


@needs_gpu
@pytest.mark.parametrize("name", FAST)
def test_on_a_gpu_the_host_never_waits_within_a_step(name: str) -> None:
    rich = dataclasses.replace(
        shrunk(name), augment=(*RECIPES[name].augment, Cutout(size=4), Jitter(), CutMix())
    )
    state = start(
        model(rich),
        rich,
        LoopOptions(device=GPU, precision=torch.bfloat16, seed=0),
    )
    given = batch(GPU)
    train_step(state, given, rich, torch.bfloat16, generator(0, "augment"))
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_step(state, given, rich, torch.bfloat16, generator(0, "augment"))
    finally:
        torch.cuda.set_sync_debug_mode("default")
