"""What can be known to be wrong with callbacks before the first epoch."""

from __future__ import annotations

import copy
import difflib
import importlib.util
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import UsageError
from cifarlab.files import printable
from cifarlab.training.callbacks import SaveBest


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the logs of a training hold.

    Attributes:
        batch: the names after a batch.
        epoch: the names at the end of an epoch.
        validated: whether there is a validation split.
    """

    batch: tuple[str, ...]
    epoch: tuple[str, ...]
    validated: bool


def names_in_logs(model: KerasModel, *, validated: bool) -> Names:
    """Return what the logs of a training to come will hold.

    Args:
        model: compiled, its metrics built.
    """
    metrics = [m for part in model.metrics for m in getattr(part, "metrics", [])]
    compiled = [name for metric in metrics for name in _names_of(metric)]
    train = tuple(dict.fromkeys(["loss", "accuracy", *compiled]))
    measured = (*train, "balanced_accuracy", "macro_f1") if validated else ()
    epoch = (*train, *(f"val_{name}" for name in measured), "learning_rate")
    return Names(batch=train, epoch=epoch, validated=validated)


def columns_of(name: str, values: int) -> list[str]:
    """Return the names of a metric's values where it has several, such as one for each class."""
    return [f"{name}_{i}" for i in range(values)]


def _names_of(metric: Any) -> list[str]:
    result = metric.result()
    if isinstance(result, Mapping):
        return list(result)
    shape = getattr(result, "shape", ())
    return columns_of(metric.name, math.prod(shape)) if shape else [metric.name]


def check_callbacks(callbacks: Sequence[Any], model: KerasModel, names: Names) -> None:
    """Raise ``UsageError`` for a callback that would fail, or do nothing, in the training to come.

    A name that a callback of the user's own may add to the logs is left to
    ``check_what_came``.

    Args:
        model: compiled, its metrics built.
    """
    for number, callback in enumerate(callbacks):
        _check_packages(callback)
        _check_average(callback, model)
        if any(_may_add_to_logs(earlier) for earlier in callbacks[:number]):
            continue
        for problem in _problems(callback, names):
            raise UsageError(problem)
    for callback in callbacks:
        _check_direction(callback, model)


def check_what_came(callbacks: Sequence[Any], names: Names, came: Iterable[str]) -> None:
    """Raise ``UsageError`` for a callback that waits for a name which an epoch's logs lacked.

    Args:
        came: the names in the logs at the end of an epoch.
    """
    found = Names(batch=names.batch, epoch=tuple(came), validated=names.validated)
    for callback in callbacks:
        for problem in _problems(callback, found):
            raise UsageError(problem)


def _problems(callback: Any, names: Names) -> Iterator[str]:
    """Yield what is wrong with the names that a callback waits for."""
    if isinstance(callback, SaveBest) and callback.monitor not in names.epoch:
        yield (
            f"the best epoch is chosen by {callback.monitor!r}, and there is no validation split; "
            "give data with one, or train a recipe with keep='last'"
        )
        return
    kind = type(callback).__name__
    at_batches = getattr(callback, "save_freq", "epoch") != "epoch"
    known = names.batch if at_batches else names.epoch
    monitor = getattr(callback, "monitor", None)
    # One that saves always looks at nothing; Keras still asks it whether more is better.
    looks = getattr(callback, "save_best_only", True) or _base(monitor) not in map(_base, known)
    if isinstance(monitor, str) and looks and monitor not in known:
        yield f"{kind}(monitor={monitor!r}): {_never(monitor, known, names)}"
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        yield from _problems_of_path(callback.filepath, at_batches, known, names)


def _problems_of_path(
    path: str, at_batches: bool, known: Sequence[str], names: Names
) -> Iterator[str]:
    values: dict[str, Any] = {**dict.fromkeys(known, 0.5), "epoch": 1}
    if at_batches:
        values["batch"] = 1
    named = f"ModelCheckpoint({printable(path)!r})"
    try:
        path.format(**values)
    except KeyError as error:
        field = str(error.args[0])
        yield f"{named}: {_never(field, tuple(values), names)}"
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        yield f"{named}: cannot be filled in ({error}); name values as in {{epoch}}"


def _never(name: str, known: Sequence[str], names: Names) -> str:
    """Return why a name never comes, with the nearest that does."""
    there = ", ".join(known)
    if name.startswith("val_") and not names.validated:
        instead = name.removeprefix("val_")
        nearest = instead if instead in known else "loss"
        why = "never comes, as there is no validation split"
        return f"{printable(name)!r} {why}; use {nearest!r}, or one of: {there}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    nearest = f"did you mean {close[0]!r}? " if close else ""
    return f"{printable(name)!r} never comes; {nearest}choose from: {there}"


def _check_direction(callback: Any, model: KerasModel) -> None:
    """Ask a callback whether more is better, as Keras does when the first epoch has ended."""
    if not hasattr(callback, "_set_monitor_op"):
        return
    trial = copy.copy(callback)
    trial._model = model
    try:
        trial._set_monitor_op()
    except ValueError as error:
        name = f"{type(callback).__name__}(monitor={callback.monitor!r})"
        raise UsageError(
            f"{name}: nobody knows whether more of it is better; add mode='max' or mode='min'"
        ) from error


def _check_packages(callback: Any) -> None:
    kind = type(callback)
    if isinstance(callback, keras.callbacks.TensorBoard) and not _installed("tensorflow"):
        raise UsageError(
            f"{kind.__name__}: Keras writes it with TensorFlow, which is not installed; install "
            'it, or have the run written without it: train(..., track="tensorboard")'
        )
    if isinstance(callback, keras.callbacks.RemoteMonitor) and not _installed("requests"):
        raise UsageError(f"{kind.__name__}: needs the package requests; pip install requests")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _check_average(callback: Any, model: KerasModel) -> None:
    if not isinstance(callback, keras.callbacks.SwapEMAWeights):
        return
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    several = getattr(optimizer, "optimizers", [optimizer])
    if not any(getattr(each, "use_ema", False) for each in several):
        raise UsageError(
            f"{type(callback).__name__}: the optimizer, {type(optimizer).__name__}, has no average "
            "of the weights to swap in; compile the model with use_ema=True"
        )


def _may_add_to_logs(callback: Any) -> bool:
    """Whether a callback is the user's own and sees an epoch's logs, which all callbacks share."""
    hook = getattr(callback, "on_epoch_end", None)
    code = getattr(hook, "__func__", hook)
    home = str(getattr(code, "__module__", ""))
    return not home.startswith(("keras.", "cifarlab."))


def _base(name: Any) -> str:
    return str(name).removeprefix("val_")
