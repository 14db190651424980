"""Stock Keras callbacks in a loop that is not Keras's: which can run, and their saved state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.recipes.parts import STOPPING_MONITORS
from cifarlab.training.best import comparable

BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")

# What each callback remembers from epoch to epoch; Keras forgets it on resume.
MEMORY: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ModelCheckpoint: ("best",),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
}


class SaveBest(keras.callbacks.Callback):  # type: ignore[misc]
    """Call ``save`` after each epoch whose monitored value is the best so far.

    Used instead of ``keras.callbacks.ModelCheckpoint``, which overwrites its own file, so that a
    crash in mid-write destroys the best model, and which forgets the best on resume.
    """

    def __init__(self, save: Callable[[], None], monitor: str = "val_loss") -> None:
        super().__init__()
        self.save = save
        self.monitor = monitor
        self.best = math.inf
        self.best_epoch = -1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        cost = comparable((logs or {})[self.monitor], self.monitor)
        # A first epoch is always kept, so that there is a model at all.
        if cost < self.best or self.best_epoch < 0:
            self.best, self.best_epoch = cost, epoch
            self.save()


MEMORY[SaveBest] = ("best", "best_epoch")


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise ``UsageError`` for a callback that this loop cannot serve."""
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise UsageError(
                "BackupAndRestore is not needed: every run can be resumed "
                "(cifarlab train --resume RUN); remove it"
            )
        if isinstance(callback, keras.callbacks.ModelCheckpoint):
            if callback.save_freq != "epoch":
                raise UsageError(
                    f"ModelCheckpoint(save_freq={callback.save_freq!r}): callbacks run at "
                    'epoch ends only; use save_freq="epoch"'
                )
            continue
        if isinstance(callback, keras.callbacks.TerminateOnNaN):
            continue
        hooks = [hook for hook in BATCH_HOOKS if not _is_default(getattr(callback, hook))]
        if hooks:
            raise UsageError(
                f"callback {name} uses {hooks[0]}; callbacks run at epoch ends only: "
                "move its work to on_epoch_end"
            )


def give_directions(callbacks: Sequence[Any]) -> None:
    """Tell callbacks that leave it open whether more is better of what they monitor.

    Keras knows it of the metrics of a compiled model only.
    """
    for callback in callbacks:
        direction = STOPPING_MONITORS.get(getattr(callback, "monitor", ""))
        if direction is not None and getattr(callback, "mode", None) == "auto":
            callback.mode = direction


def _is_default(method: Any) -> bool:
    # Keras marks the empty methods of its base class this way to skip them itself.
    return bool(getattr(method, "_is_default", False))


def recall(
    callbacks: Sequence[Any],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray[Any, Any]]]:
    """Return what the callbacks remember: JSON values, one dict each, and named arrays."""
    values: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for i, callback in enumerate(callbacks):
        remembered: dict[str, Any] = {}
        for name in _memory_of(callback):
            value = getattr(callback, name)
            if isinstance(value, list):
                arrays.update({f"{i}.{name}.{j}": np.asarray(v) for j, v in enumerate(value)})
                remembered[name] = {"arrays": len(value)}
            else:
                remembered[name] = value if value is None else float(value)
        values.append(remembered)
    return values, arrays


def remind(
    callbacks: Sequence[Any],
    values: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray[Any, Any]],
) -> None:
    """Give the callbacks back what ``recall`` returned, after their ``on_train_begin``."""
    for i, (callback, remembered) in enumerate(zip(callbacks, values, strict=True)):
        for name in _memory_of(callback):
            value = remembered[name]
            if isinstance(value, Mapping):
                value = [arrays[f"{i}.{name}.{j}"] for j in range(value["arrays"])]
            elif value is not None and name not in ("best",):
                value = int(value)
            setattr(callback, name, value)


def _memory_of(callback: Any) -> tuple[str, ...]:
    for kind, names in MEMORY.items():
        if isinstance(callback, kind):
            # Weights that a callback will not restore are not worth their room in a checkpoint;
            # version 0.1 wrote them.
            restores = getattr(callback, "restore_best_weights", True)
            return tuple(name for name in names if restores or name != "best_weights")
    return ()
