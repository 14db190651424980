"""The environment of a run: versions, hardware and the commit of the source."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

from cifarlab.runtime.cores import usable_cores

LIBRARIES = ("cifarlab", "keras", "torch", "numpy", "pillow", "safetensors")


def describe_environment(device: torch.device, precision: torch.dtype) -> dict[str, object]:
    """Return versions, hardware and the source's commit as plain JSON values."""
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "hardware": describe_hardware(device),
        "precision": str(precision).removeprefix("torch."),
        "git": _commit(),
    }


def describe_hardware(device: torch.device) -> dict[str, object]:
    """Return the processor, its usable cores, PyTorch's threads and the accelerator, if any."""
    accelerator = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": str(device),
        "processor": _processor(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of the source tree, or ``None`` outside of one."""
    folder = Path(__file__).resolve().parents[3]
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
