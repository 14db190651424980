"""The device to compute on, and the precision."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator

import torch
from torch import Tensor

from cifarlab.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises:
        UsageError: an unknown name, or a device that this machine does not have.
    """
    family, colon, index = name.partition(":")
    numbered = family == "cuda" and index.isascii() and index.isdecimal()
    if family not in DEVICES or (colon and not numbered):
        raise UsageError(f"device {name!r}: choose from {', '.join(DEVICES)}, cuda:0, cuda:1, ...")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((one for one, there in available.items() if there), "cpu"))
    if not available.get(family, True):
        raise UsageError(f"device {name!r}: PyTorch sees none on this machine; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"device {name!r}: this machine has {count}, numbered from cuda:0")
    return torch.device(name)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the dtype for matrix products; weights stay float32 in any case.

    ``"auto"`` is bfloat16 where the hardware multiplies it faster than float32 (CUDA,
    CPUs with AVX512-BF16 or AMX), float32 elsewhere: on other CPUs bfloat16 is emulated
    and slower.

    Raises:
        UsageError: an unknown name.
    """
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r}: choose from {', '.join(PRECISIONS)}")
    if name != "auto":
        return torch.float32 if name == "float32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bfloat16() -> bool:
    # Older PyTorch releases do not know; float32 is right everywhere.
    if not hasattr(torch.cpu, "get_capabilities"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def compiles(device: torch.device) -> bool:
    """Whether the network is to be compiled on ``device``.

    On CUDA, where many small kernels wait for each other and the compiler comes with PyTorch. On
    a CPU it did not pay (docs/log.md), and needs a C++ compiler on the machine.
    """
    return device.type == "cuda" and importlib.util.find_spec("triton") is not None


def sent(draws: Tensor, device: torch.device) -> Tensor:
    """Copy random draws from the host to ``device``; the host does not wait for a GPU."""
    return draws.to(device, non_blocking=device.type == "cuda")


@contextlib.contextmanager
def computing_in(precision: torch.dtype, device: torch.device) -> Iterator[None]:
    """Run convolutions and matrix products in ``precision`` inside the block.

    On CUDA, float32 means float32: by default PyTorch lets convolutions round to TF32.
    """
    lower = precision != torch.float32
    if not lower and device.type == "cuda" and torch.backends.cudnn.allow_tf32:
        torch.backends.cudnn.allow_tf32 = False
        try:
            with computing_in(precision, device):
                yield
        finally:
            torch.backends.cudnn.allow_tf32 = True
        return
    # Entering and leaving takes as long as a layer of a small model.
    if not lower and not torch.is_autocast_enabled(device.type):
        yield
        return
    with torch.autocast(device.type, precision, enabled=lower):
        yield


@contextlib.contextmanager
def deterministic_kernels(wanted: bool) -> Iterator[None]:
    """Allow only reproducible kernels inside the block if ``wanted``, else search the fastest."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if wanted:
        # CUDA's matrix products refuse to run without it, or would differ from run to run.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted or before[0])
    torch.backends.cudnn.benchmark = not wanted
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
