"""Keras callbacks in a loop that is not Keras's: their forms, and what they remember."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.recipes.parts import STOPPING_MONITORS
from cifarlab.runtime.progress import Progress
from cifarlab.training.best import comparable

# What each callback remembers from epoch to epoch; Keras forgets it on resume.
MEMORY: dict[type, tuple[str, ...]] = {
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
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


def as_list(callbacks: Any) -> list[Any]:
    """Return the callbacks that ``callbacks``, in any form that Keras's ``fit`` takes, stands for.

    Raises:
        UsageError: something that is no callback.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return list(callbacks.callbacks)
    flat = [] if callbacks is None else keras.tree.flatten(callbacks)
    for callback in flat:
        if isinstance(callback, type):
            name = callback.__name__
            raise UsageError(f"callbacks: {name} is a class; make one of it: {name}(...)")
        if not hasattr(callback, "set_model"):
            kind = type(callback).__name__
            raise UsageError(
                f"callbacks: a {kind} is no callback; give keras.callbacks.Callback objects, "
                "or a function in a LambdaCallback"
            )
    return flat


def without_backups(callbacks: Sequence[Any], progress: Progress) -> list[Any]:
    """Return the callbacks but for ``BackupAndRestore``, and say that the run does its work."""
    why = (
        "a run keeps more itself, the optimizer and the history too; go on with "
        "cifarlab.resume(directory) or cifarlab train --resume"
    )
    return _without(keras.callbacks.BackupAndRestore, callbacks, progress, why)


def without_averaging(callbacks: Sequence[Any], progress: Progress) -> list[Any]:
    """Return the callbacks but for ``SwapEMAWeights``, and say that training does its work."""
    why = (
        "validation, callbacks at the end of an epoch and saved files have the averaged weights "
        "without it"
    )
    return _without(keras.callbacks.SwapEMAWeights, callbacks, progress, why)


def _without(kind: type, callbacks: Sequence[Any], progress: Progress, why: str) -> list[Any]:
    kept = [callback for callback in callbacks if not isinstance(callback, kind)]
    if len(kept) < len(callbacks):
        progress.message(f"{kind.__name__} is left out: {why}")
    return kept


def append_to_logs(callbacks: Sequence[Any]) -> None:
    """Have log files go on where the run does, instead of beginning anew."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.append = True


def give_directions(callbacks: Sequence[Any]) -> None:
    """Tell callbacks that leave it open whether more is better of what they monitor.

    Keras knows it of the metrics of a compiled model only.
    """
    for callback in callbacks:
        direction = STOPPING_MONITORS.get(getattr(callback, "monitor", ""))
        if direction is not None and getattr(callback, "mode", None) == "auto":
            callback.mode = direction


def recall(
    callbacks: Sequence[Any],
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray[Any, Any]]]:
    """Return what the callbacks remember: JSON values, one dict each, and named arrays.

    Raises:
        UsageError: ``get_state`` of a callback of the user's gives what JSON cannot hold.
    """
    values: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for i, callback in enumerate(callbacks):
        remembered: dict[str, Any] = {"callback": type(callback).__name__}
        for name in _memory_of(callback):
            value = getattr(callback, name)
            if isinstance(value, list):
                arrays.update({f"{i}.{name}.{j}": np.asarray(v) for j, v in enumerate(value)})
                remembered[name] = {"arrays": len(value)}
            else:
                remembered[name] = value if value is None else float(value)
        if _has_state(callback):
            remembered["state"] = _as_json(callback)
        values.append(remembered)
    return values, arrays


def remind(
    callbacks: Sequence[Any],
    values: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, np.ndarray[Any, Any]],
) -> None:
    """Give the callbacks back what ``recall`` returned, after their ``on_train_begin``.

    The first callback of a class gets what the first of that name remembered, and so on. A warning
    says which are not there any more.
    """
    left = [(i, dict(remembered)) for i, remembered in enumerate(values)]
    for number, callback in enumerate(callbacks):
        kind = type(callback).__name__
        # Version 0.2 writes names; before it, the place told.
        mine = next(
            ((i, r) for i, r in left if r.get("callback", kind if i == number else None) == kind),
            None,
        )
        if mine is not None:
            left.remove(mine)
            _remind_one(callback, *mine, arrays)
    gone = [remembered["callback"] for _, remembered in left if len(remembered) > 1]
    if gone:
        warnings.warn(
            f"training began with callbacks that are not given now: {', '.join(map(str, gone))}; "
            "they do nothing from here on (give them to cifarlab.resume(directory, callbacks=...))",
            stacklevel=2,
        )


def _remind_one(
    callback: Any,
    number: int,
    remembered: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray[Any, Any]],
) -> None:
    for name in _memory_of(callback):
        # A later version may remember more than the one that saved.
        if name not in remembered:
            continue
        value = remembered[name]
        if isinstance(value, Mapping):
            value = [arrays[f"{number}.{name}.{j}"] for j in range(value["arrays"])]
        elif value is not None and name != "best":
            value = int(value)
        setattr(callback, name, value)
    if _has_state(callback) and "state" in remembered:
        callback.set_state(remembered["state"])


def _has_state(callback: Any) -> bool:
    """Whether a callback of the user's says itself what it remembers."""
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _as_json(callback: Any) -> Any:
    state = callback.get_state()
    try:
        return json.loads(json.dumps(state))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{type(callback).__name__}.get_state: a checkpoint cannot hold it ({error}); "
            "return numbers, text, lists and dictionaries"
        ) from error


def _memory_of(callback: Any) -> tuple[str, ...]:
    for kind, names in MEMORY.items():
        if isinstance(callback, kind):
            # Weights that a callback will not restore are not worth their room in a checkpoint;
            # version 0.1 wrote them.
            restores = getattr(callback, "restore_best_weights", True)
            return tuple(name for name in names if restores or name != "best_weights")
    return ()
