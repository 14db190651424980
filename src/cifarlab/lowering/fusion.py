"""Neighbouring operations computed together, in a form of its own for each shape of input.

PyTorch hands parts of a TorchScript graph to oneDNN's graph compiler, which computes a
convolution and what follows it in one go and says little in between: on a CPU, single images
take half the time that PyTorch takes operation by operation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from cifarlab.lowering.graph import KerasModule, Slot, Steps, only_user

Function = Callable[[Tensor], Tensor]
# Shape, memory order, dtype.
Kind = tuple[torch.Size, tuple[int, ...], torch.dtype]

# Each holds a copy of the weights, in the order in which it computes.
MOST_FORMS = 16
# The first runs record shapes and compile.
RUNS_TO_COMPILE = 3
# Largest absolute and relative difference to the module itself, for which rounding accounts.
TOLERANCE = 1e-3


class FusedByShape(nn.Module):
    """Gives what ``plain`` gives, from a fused form for each kind of input.

    A form takes a moment to make, so it pays to give few kinds.
    """

    def __init__(self, plain: nn.Module) -> None:
        super().__init__()
        self.plain = plain
        self.forms: dict[Kind, Function] = {}

    def forward(self, x: Tensor) -> Tensor:
        kind = (x.shape, x.stride(), x.dtype)
        if kind not in self.forms and len(self.forms) < MOST_FORMS:
            self.forms[kind] = fused(self.plain, x)
        return self.forms.get(kind, self.plain)(x)


class Chain(nn.Module):
    """Modules of one input and one output, each on what the one before it gives."""

    def __init__(self, links: Sequence[nn.Module]) -> None:
        super().__init__()
        self.links = nn.ModuleList(links)

    def forward(self, x: Tensor) -> Tensor:
        for link in self.links:
            x = link(x)
        return x


def fused_chains(graph: Steps) -> Steps:
    """Return a graph of the same result, whose steps are chains of the steps of ``graph``.

    Chains are fused; layers that run as themselves, and what takes several inputs, stand alone.
    Nothing else is fused: where a value is used twice, PyTorch's search for what goes together
    may never end (seen in 2.13).
    """
    new = Steps()
    new.takes_floats, new.result = graph.takes_floats, graph.result
    done: set[int] = set()
    for place, step in enumerate(graph.steps):
        if place in done:
            continue
        chain, last = [place], place
        while _links(graph, last) and (after := only_user(graph, last)) is not None:
            if not _links(graph, after):
                break
            chain.append(after)
            last = after
        done.update(chain)
        modules = [graph.modules_in_order[graph.steps[i].module] for i in chain]
        outputs = graph.steps[last].outputs
        new.steps.append(replace(step, module=len(new.modules_in_order), outputs=outputs))
        new.modules_in_order.append(
            FusedByShape(Chain(modules)) if _links(graph, place) else modules[0]
        )
    return new


def _links(graph: Steps, place: int) -> bool:
    """Whether the step can be a link of a chain."""
    step = graph.steps[place]
    module = graph.modules_in_order[step.module]
    single = len(step.args) == len(step.outputs) == 1 and isinstance(step.args[0], Slot)
    native = is_chain(module) if isinstance(module, Steps) else not isinstance(module, KerasModule)
    return single and not step.kwargs and native


def is_chain(graph: Steps) -> bool:
    """Whether each step can be a link and takes what the one before it gives."""
    given = 0
    for place, step in enumerate(graph.steps):
        if step.args != (Slot(index=given),) or not _links(graph, place):
            return False
        (given,) = step.outputs
    return given == graph.result


def fused(module: nn.Module, example: Tensor) -> Function:
    """Return a function that gives what ``module`` gives, for inputs like ``example``.

    It is ``module`` itself wherever that is not to be had: on another device, without oneDNN's
    graph compiler, or if the fused form turns out to give something else.

    Args:
        module: in evaluation, free of randomness, on the device of ``example``; a chain.
        example: what it is to be called with, of the same shape, dtype and memory order.
    """
    if example.device.type != "cpu" or not _available():
        return module
    with torch.no_grad(), warnings.catch_warnings():
        # Of what tracing takes for constant: it is, for one shape.
        warnings.simplefilter("ignore")
        before = torch.jit.onednn_fusion_enabled()  # type: ignore[no-untyped-call]
        try:
            torch.jit.enable_onednn_fusion(True)
            traced = torch.jit.trace(module, example, check_trace=False)  # type: ignore[no-untyped-call]
            traced = torch.jit.freeze(traced)
            for _ in range(RUNS_TO_COMPILE):
                found = traced(example)
        except RuntimeError:
            return module
        finally:
            torch.jit.enable_onednn_fusion(before)
        same = torch.allclose(found, module(example), TOLERANCE, TOLERANCE, equal_nan=True)
    return traced.forward if same else module


def _available() -> bool:
    # TorchScript is on its way out; a PyTorch without it computes operation by operation.
    there = hasattr(torch.jit, "enable_onednn_fusion")
    return there and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
