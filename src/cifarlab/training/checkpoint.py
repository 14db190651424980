"""What resumes: the whole training state in one file, written whole or not at all.

A checkpoint is a safetensors file (no pickle): tensors for weights, optimizer and
callbacks, and JSON in its metadata for everything else, with a SHA-256 over both, so
that damage is noticed. The newest two are kept.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from cifarlab.errors import InputError
from cifarlab.files import atomic_write
from cifarlab.training.callbacks import recall, remind
from cifarlab.training.state import TrainState

KEPT = 2
SUFFIX = ".safetensors"


def save_checkpoint(
    directory: Path, state: TrainState, callbacks: Sequence[Any], learning_rate: float
) -> Path:
    """Write the state after ``state.step`` steps of ``state.epoch``; drop all but the newest two.

    Args:
        learning_rate: the Keras optimizer's, which callbacks may have changed.

    Raises:
        ResourceError: the disk is full or cannot be written; earlier checkpoints are intact.
    """
    values, arrays = recall(callbacks)
    tensors = {f"weight.{i}": b.tensor for i, b in enumerate(state.bindings)}
    for number, group in enumerate(state.groups):
        tensors |= _optimizer_tensors(f"optimizer.{number}", group.optimizer)
    if state.average is not None:
        tensors |= {f"average.{i}": mean for i, mean in enumerate(state.average.means)}
    tensors |= {f"keras.{i}": v.value for i, v in enumerate(state.keras_variables)}
    tensors |= {f"callback.{name}": torch.from_numpy(array) for name, array in arrays.items()}
    tensors |= {"totals.loss": state.totals.loss, "totals.correct": state.totals.correct}
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    facts = {
        "epoch": state.epoch,
        "step": state.step,
        "count": state.totals.count,
        "history": state.history,
        "stopped": state.stopped,
        "logs": state.logs,
        "callbacks": values,
        "learning_rate": learning_rate,
        "paths": [b.path for b in state.bindings],
    }
    text = json.dumps(facts)
    content = safetensors.torch.save(tensors, {"facts": text, "digest": _digest(tensors, text)})
    directory.mkdir(exist_ok=True)
    path = directory / f"{state.epoch:05d}-{state.step:07d}{SUFFIX}"
    atomic_write(path, lambda file: file.write(content))
    for old in _newest_first(directory)[KEPT:]:
        old.unlink()
    return path


def load_checkpoint(directory: Path, state: TrainState, callbacks: Sequence[Any]) -> float | None:
    """Bring ``state`` and ``callbacks`` to the newest checkpoint that is whole.

    A damaged one is skipped with a warning.

    Returns:
        The learning rate that was saved, or ``None`` where there is no checkpoint at all.

    Raises:
        InputError: there are checkpoints, but none can be used. Nothing is written.
    """
    paths = _newest_first(directory) if directory.is_dir() else []
    for path in paths:
        try:
            tensors, facts = _read(path)
            _check_fits(path, state, tensors, facts)
        except InputError as error:
            warnings.warn(f"{error}; trying the checkpoint before it", stacklevel=2)
            continue
        _restore(state, tensors, facts)
        arrays = {
            name.removeprefix("callback."): tensor.numpy()
            for name, tensor in tensors.items()
            if name.startswith("callback.")
        }
        remind(callbacks, facts["callbacks"], arrays)
        return float(facts["learning_rate"])
    if paths:
        raise InputError(
            f"{directory}: none of its {len(paths)} checkpoints can be used; "
            "start again with --overwrite, or in another directory"
        )
    return None


def has_checkpoint(directory: Path | None) -> bool:
    """Whether there is one, whole or not."""
    return directory is not None and bool(_newest_first(directory))


def _newest_first(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"[0-9]*{SUFFIX}"), reverse=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path.name} is damaged ({error})") from error
    text = metadata.get("facts", "")
    if _digest(tensors, text) != metadata.get("digest"):
        raise InputError(f"{path.name} is damaged (its content does not match its SHA-256)")
    return tensors, json.loads(text)


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_fits(
    path: Path, state: TrainState, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    bindings = state.bindings
    shapes = [tuple(tensors[f"weight.{i}"].shape) for i in range(len(facts["paths"]))]
    expected = [tuple(b.tensor.shape) for b in bindings]
    if shapes != expected:
        raise InputError(f"{path.name} belongs to another model: {shapes} is not {expected}")
    saved = [tuple(tensors[f"keras.{i}"].shape) for i in range(_count(tensors, "keras."))]
    wanted = [tuple(v.shape) for v in state.keras_variables]
    if saved != wanted:
        raise InputError(
            f"{path.name} belongs to a model that was compiled otherwise: the optimizer and the "
            f"metrics have {len(saved)} variables there and {len(wanted)} here, or of other shapes"
        )


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    return sum(name.startswith(prefix) for name in tensors)


def _restore(state: TrainState, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    with torch.no_grad():
        for i, binding in enumerate(state.bindings):
            binding.tensor.copy_(tensors[f"weight.{i}"])
        for i, variable in enumerate(state.keras_variables):
            variable.value.copy_(tensors[f"keras.{i}"])
        for i, mean in enumerate(state.average.means if state.average is not None else ()):
            mean.copy_(tensors[f"average.{i}"])
    for number, group in enumerate(state.groups):
        _restore_optimizer(f"optimizer.{number}", group.optimizer, tensors)
    device = state.totals.loss.device
    state.totals.loss = tensors["totals.loss"].to(device)
    state.totals.correct = tensors["totals.correct"].to(device)
    state.totals.count = facts["count"]
    state.epoch, state.step = facts["epoch"], facts["step"]
    state.history, state.stopped = list(facts["history"]), facts["stopped"]
    state.logs = facts.get("logs", {})


def _optimizer_tensors(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {}
    for i, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if value is not None:
                tensors[f"{prefix}.{i}.{name}"] = torch.as_tensor(value)
    return tensors


def _restore_optimizer(
    prefix: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    saved = optimizer.state_dict()
    saved["state"] = {}
    for name, tensor in tensors.items():
        if not name.startswith(f"{prefix}."):
            continue
        index, _, field = name.removeprefix(f"{prefix}.").partition(".")
        like = parameters[int(index)]
        # In the parameter's own memory order: the fused kernels round differently otherwise.
        value = torch.empty_like(like, device="cpu") if tensor.shape == like.shape else tensor
        saved["state"].setdefault(int(index), {})[field] = value.detach().copy_(tensor)
    optimizer.load_state_dict(saved)
