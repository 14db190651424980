"""Let PyTorch code that was written for a CUDA device run on a CPU.

It keeps float32 weights where the code asks for half precision, and the layers of networks run in
the CPU's own best precision: what moving such code to a CPU by hand comes to.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from cifarlab.runtime.device import choose_precision

CPU = torch.device("cpu")
# What a network's layers call. Other products, of the whitening's covariance for one, are taken
# in the precision that the code gives them.
LAYERS = (F.conv2d, F.linear)


class _Elsewhere(TorchFunctionMode):
    """Reads every mention of CUDA as the CPU, and of half precision as float32.

    Layers compute in ``precision``.
    """

    def __init__(self, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if function in (torch.Tensor.cuda, torch.Tensor.pin_memory):
            return args[0]
        if function is torch.Tensor.half:
            return args[0].float()
        if str(kwargs.get("device", "")).startswith("cuda"):
            kwargs["device"] = CPU
        if kwargs.get("dtype") is torch.float16:
            kwargs["dtype"] = torch.float32
        if function in LAYERS and self.precision != torch.float32:
            # Without the cache, which would keep a weight's copy through steps that change it.
            with torch.autocast("cpu", self.precision, cache_enabled=False):
                return function(*args, **kwargs)
        return function(*args, **kwargs)


class _Clock:
    """Stands in for ``torch.cuda.Event``."""

    def __init__(self, **_: object) -> None:
        self.now = 0.0

    def record(self) -> None:
        self.now = time.perf_counter()

    def elapsed_time(self, end: _Clock) -> float:
        return 1e3 * (end.now - self.now)


def _nothing(*_: object, **__: object) -> None:
    pass


def _plain(function: Any = None, **_: object) -> Any:
    """Stands in for ``torch.compile``, with and without arguments."""
    if isinstance(function, torch.nn.Module):
        # Not as a submodule, which it would then be of itself.
        object.__setattr__(function, "_orig_mod", function)
    return _plain if function is None else function


@contextlib.contextmanager
def on_cpu() -> Iterator[None]:
    """Inside the block, code for CUDA runs on the CPU, uncompiled."""
    load = torch.load

    def loaded(*args: Any, **kwargs: Any) -> Any:
        return load(*args, **{**kwargs, "map_location": CPU})

    with contextlib.ExitStack() as stack:
        for owner, name, stand_in in (
            (torch, "compile", _plain),
            (torch.nn.Module, "compile", _nothing),
            (torch, "load", loaded),
            (torch, "half", torch.float32),
            (torch.cuda, "Event", _Clock),
            (torch.cuda, "synchronize", _nothing),
            (torch.cuda, "empty_cache", _nothing),
        ):
            stack.enter_context(mock.patch.object(owner, name, stand_in))
        stack.enter_context(_Elsewhere(choose_precision("auto", CPU)))
        yield
