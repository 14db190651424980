"""Assertions that a call gives what Keras's own call gives: all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras

HOOKS = tuple(name for name in vars(keras.callbacks.Callback) if name.startswith("on_"))


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Keep every hook that was called, with its number and its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, Any, dict[str, float]]] = []

    def note(self, hook: str, number: Any, logs: Any) -> None:
        values = {k: v for k, v in (logs or {}).items() if k != "outputs"}
        self.events.append((hook, number, {k: np.asarray(v) for k, v in values.items()}))


def _hook(name: str) -> Callable[..., None]:
    def call(self: Recorder, *args: Any, logs: Any = None) -> None:
        if args and (args[-1] is None or isinstance(args[-1], dict)):
            *args, logs = args  # type: ignore[assignment]
        self.note(name, args, logs)

    return call


for hook in HOOKS:
    setattr(Recorder, hook, _hook(hook))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything that ``fit`` changed, returned or told."""

    weights: dict[str, np.ndarray]
    optimizer: list[np.ndarray]
    history: dict[str, list[Any]]
    epochs: list[int]
    metrics: list[np.ndarray]
    events: list[tuple[str, Any, dict[str, float]]]


def state_of(model: KerasModel) -> list[np.ndarray]:
    return [np.array(v.numpy()) for v in model.variables]


def restore(model: KerasModel, state: list[np.ndarray]) -> None:
    for variable, value in zip(model.variables, state, strict=True):
        variable.assign(value)


def outcome_of(
    fit: Callable[..., Any], model: KerasModel, compiled: dict[str, Any], arguments: dict[str, Any]
) -> Outcome:
    """Compile, seed, fit; the model's weights are as before afterwards."""
    before = state_of(model)
    recorder = Recorder()
    model.compile(**compiled)
    keras.utils.set_random_seed(5)
    callbacks = [*arguments.pop("callbacks", ()), recorder]
    history = fit(model, callbacks=callbacks, **arguments)
    measured = [v.numpy() for metric in model.metrics for v in metric.variables]
    outcome = Outcome(
        weights={v.path: np.array(v.numpy()) for v in model.weights},
        optimizer=[np.array(v.numpy()) for v in model.optimizer.variables],
        history=history.history,
        epochs=history.epoch,
        metrics=[np.array(v) for v in measured],
        events=recorder.events,
    )
    restore(model, before)
    return outcome


def assert_same_outcome(mine: Outcome, keras_own: Outcome, tolerance: float = 2e-4) -> None:
    """Compare to ``tolerance`` of each tensor's largest value, at least of 1."""
    assert mine.epochs == keras_own.epochs
    assert list(mine.history) == list(keras_own.history)
    assert [e[:2] for e in mine.events] == [e[:2] for e in keras_own.events]
    for (hook, _, logs), (_, _, expected) in zip(mine.events, keras_own.events, strict=True):
        assert list(logs) == list(expected), hook
        for name, value in logs.items():
            assert_close(value, expected[name], tolerance, f"{hook} {name}")
    for name, values in mine.history.items():
        assert_close(np.array(values), np.array(keras_own.history[name]), tolerance, name)
    for path, value in mine.weights.items():
        assert_close(value, keras_own.weights[path], tolerance, path)
    for kind in ("optimizer", "metrics"):
        pairs = zip(getattr(mine, kind), getattr(keras_own, kind), strict=True)
        for number, (value, expected) in enumerate(pairs):
            assert_close(value, expected, tolerance, f"{kind} {number}")


def assert_close(value: Any, expected: Any, tolerance: float, what: str) -> None:
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape, what
    assert value.dtype == expected.dtype, what
    scale = max(1.0, float(np.abs(np.nan_to_num(expected)).max(initial=0.0)))
    np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance * scale, err_msg=what)
