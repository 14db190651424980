"""Neighbouring operations computed together, in a form of its own for each shape of input.

PyTorch hands parts of a TorchScript graph to oneDNN's graph compiler, which computes a
convolution and what follows it in one go and says little in between: on a CPU, single pictures
take half the time that PyTorch takes operation by operation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

Function = Callable[[Tensor], Tensor]

# The first runs record shapes and compile.
RUNS_TO_COMPILE = 3
# Largest absolute and relative difference to the module itself, for which rounding accounts.
TOLERANCE = 1e-3


def fused(module: nn.Module, example: Tensor) -> Function:
    """Return a function that gives what ``module`` gives, for inputs like ``example``.

    It is ``module`` itself wherever that is not to be had: on another device, without oneDNN's
    graph compiler, or if the fused form turns out to give something else.

    Args:
        module: in evaluation, free of randomness, on the device of ``example``.
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
