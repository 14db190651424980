"""Fuse consecutive operations into one, separately for each shape of input.

PyTorch passes parts of a TorchScript graph to oneDNN's graph compiler, which computes a
convolution and the operations after it together: on a CPU, a single image takes half the time
that PyTorch takes operation by operation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cifarlab.lowering.graph import KerasModule, Slot, Steps
from cifarlab.lowering.wiring import Wiring

Function = Callable[[Tensor], Tensor]
# Shape, strides, dtype.
Signature = tuple[torch.Size, tuple[int, ...], torch.dtype]

# Each form holds a copy of the weights, in its own memory order.
MAX_FORMS = 16
# The first runs record shapes and compile.
RUNS_TO_COMPILE = 3
# Largest absolute and relative difference to the module itself; rounding stays below it.
TOLERANCE = 1e-3


class FusedByShape(nn.Module):
    """Compute what ``plain`` computes, with a fused form for each signature of input.

    Making a form takes some time, so inputs should have few different signatures.
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.plain = plain
        self.forms: dict[Signature, Function] = {}

    def forward(self, x: Tensor) -> Tensor:
        signature = (x.shape, x.stride(), x.dtype)
        if signature not in self.forms and len(self.forms) < MAX_FORMS:
            self.forms[signature] = fused(self.plain, x)
        return self.forms.get(signature, self.plain)(x)


class Chain(nn.Module):
    """Modules with one input and one output, each applied to the output of the one before it."""

    def __init__(self, links: Sequence[nn.Module]) -> None:
        super().__init__()
        self.links = nn.ModuleList(links)

    def forward(self, x: Tensor) -> Tensor:
        for link in self.links:
            x = link(x)
        return x


def fused_chains(graph: Steps) -> Steps:
    """Return a graph with the same result, whose steps are fused chains of the steps of ``graph``.

    Layers that are run by Keras, and steps with several inputs, are left alone. Nothing else is
    fused: where a value is used twice, PyTorch's search for operations to fuse may never end
    (seen in 2.13).
    """
    new = Steps()
    new.takes_floats, new.result = graph.takes_floats, graph.result
    wiring = Wiring(graph)
    links = [_links(graph, index) for index in range(len(graph.steps))]
    done: set[int] = set()
    for index, step in enumerate(graph.steps):
        if index in done:
            continue
        chain = [index]
        while links[chain[-1]] and (after := wiring.only_user(chain[-1])) is not None:
            if not links[after]:
                break
            chain.append(after)
        done.update(chain)
        modules = [graph.modules_in_order[graph.steps[i].module] for i in chain]
        outputs = graph.steps[chain[-1]].outputs
        new.steps.append(replace(step, module=len(new.modules_in_order), outputs=outputs))
        new.modules_in_order.append(FusedByShape(Chain(modules)) if links[index] else modules[0])
    return new


def _links(graph: Steps, index: int) -> bool:
    """Whether the step can be part of a chain."""
    step = graph.steps[index]
    module = graph.modules_in_order[step.module]
    single = len(step.args) == len(step.outputs) == 1 and isinstance(step.args[0], Slot)
    native = is_chain(module) if isinstance(module, Steps) else not isinstance(module, KerasModule)
    return single and not step.kwargs and native


def is_chain(graph: Steps) -> bool:
    """Whether each step can be part of a chain and takes the output of the one before it."""
    slot = 0
    for index, step in enumerate(graph.steps):
        if step.args != (Slot(index=slot),) or not _links(graph, index):
            return False
        (slot,) = step.outputs
    return slot == graph.result


def fused(module: nn.Module, example: Tensor) -> Function:
    """Return a function that computes what ``module`` computes, for inputs like ``example``.

    It is ``module`` itself where fusing is not possible: on another device, without oneDNN's graph
    compiler, or if the fused form gives other values.

    Args:
        module: a chain in evaluation mode, without randomness, on the device of ``example``.
        example: an input with the shape, dtype and strides of those to come.
    """
    if example.device.type != "cpu" or not _available():
        return module
    with torch.no_grad(), warnings.catch_warnings():
        # Tracing warns of values that it treats as constants; for one shape they are constant.
        warnings.simplefilter("ignore")
        before = torch.jit.onednn_fusion_enabled()  # type: ignore[no-untyped-call]
        try:
            torch.jit.enable_onednn_fusion(True)
            traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
            traced = torch.jit.freeze(traced)
            for _ in range(RUNS_TO_COMPILE):
                output = traced(example)
        except RuntimeError:
            return module
        finally:
            torch.jit.enable_onednn_fusion(before)
        same = torch.allclose(output, module(example), TOLERANCE, TOLERANCE, equal_nan=True)
    return traced.forward if same else module


def _available() -> bool:
    # TorchScript is deprecated; with a PyTorch without it nothing is fused.
    there = hasattr(torch.jit, "enable_onednn_fusion")
    return there and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
