"""Run a few training steps both ways, by Keras and natively, and compare what comes of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import ResultsDifferError, UsageError
from cifarlab.fitting.accelerator import Accelerator, nowhere
from cifarlab.fitting.fit import KERAS_OWN, run_with
from cifarlab.fitting.plan import Plan

# Sums in another order differ by some 1e-6 of their size.
TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class FitCheck:
    """How far Keras's own steps and the fast ones came apart.

    Each step begins at the same weights both ways, so that rounding does not add up.

    Attributes:
        plan: how the fast steps ran.
        steps: how many of each.
        loss: the largest difference between the losses of a step, as a share of the loss.
        weights: the largest difference between the weights after a step, as a share of how far
            Keras's own step moved them. Each trained weight counts by its gradient: where that is
            zero but for rounding, many optimizers make a step of any sign.
        worst: the path of the weight that differs most.
    """

    plan: Plan
    steps: int
    loss: float
    weights: float
    worst: str

    @property
    def agrees(self) -> bool:
        """Whether it is no more than rounding."""
        return max(self.weights, self.loss) <= TOLERANCE

    def __str__(self) -> str:
        how = "natively" if self.plan.native else "at Keras's own speed"
        return (
            f"{self.steps} steps of {self.plan.model!r} {how}: loss differs by {self.loss:.1e} of "
            f"it, weights by {self.weights:.1e} of their movement, most in {self.worst}"
        )


def check_fit(
    model: KerasModel,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    class_weight: Any = None,
    sample_weight: Any = None,
    *,
    steps: int = 3,
) -> FitCheck:
    """Train a few steps as Keras does and as ``cifarlab.fit`` does, in float32, and compare.

    Afterwards weights, optimizer and random numbers have their values from before. Give
    the data that the model is to be trained on; the first batches are used.

    Args:
        model: compiled.
        x, y, batch_size, class_weight, sample_weight: as for ``fit``. Of what is no array, such as
            a generator, the first batches are taken.
        steps: how many to compare.

    Returns:
        The differences, which are no more than rounding.

    Raises:
        ResultsDifferError: they are more: a fault of this program; please report it.
        UsageError: no steps, or no data.
        ValueError, TypeError: whatever ``keras.Model.fit`` raises.

    Example:
        >>> import numpy as np
        >>> import cifarlab
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> model.compile("adam", "mse")
        >>> check = cifarlab.check_fit(model, np.ones((64, 4)), np.ones((64, 2)))
        >>> check.plan.native, check.agrees
        (True, True)
    """
    if steps < 1:
        raise UsageError(f"steps={steps}: there is nothing to compare; give 1 or more")
    batches = _batches(x, y, sample_weight, batch_size or 32, steps)
    accelerator = Accelerator(precision="float32", message=nowhere)

    def keras_own(**arguments: Any) -> Any:
        return KERAS_OWN["fit"](model, **arguments)

    def ours(**arguments: Any) -> Any:
        return run_with(accelerator, model, "fit", arguments)

    loss, weights, worst = 0.0, 0.0, ""
    with _restored(model, batches[0]["x"]):
        for batch in batches:
            start = _snapshot(model)
            expected = _step(model, keras_own, batch, class_weight, start)
            after = _snapshot(model)
            _set_back(start)
            mine = _step(model, ours, batch, class_weight, start)
            _set_back(after)
            loss = max(loss, abs(mine.loss - expected.loss) / max(abs(expected.loss), 1e-6))
            apart, path = _apart(expected, mine)
            if apart >= weights:
                weights, worst = apart, path
    plan = accelerator.records[-1].plan
    found = FitCheck(plan=plan, steps=len(batches), loss=loss, weights=weights, worst=worst)
    if not found.agrees:
        raise ResultsDifferError(
            f"{found}: more than rounding, a fault of cifarlab; train with model.fit and report it"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class _Step:
    """What came of a step: its loss, and how far each weight moved, by path.

    Gradients are there for the weights that are trained.
    """

    loss: float
    moved: dict[str, Tensor]
    gradients: dict[str, Tensor]


Snapshot = list[tuple[Any, Tensor]]


class _SameNumbers(keras.callbacks.Callback):  # type: ignore[misc]
    """Have the same random numbers drawn in every step."""

    def on_train_begin(self, _: Any = None) -> None:
        # Not before: building the metrics, which the first fit does, may draw numbers.
        torch.manual_seed(0)


def _step(
    model: KerasModel,
    fit: Callable[..., Any],
    batch: Mapping[str, Any],
    class_weight: Any,
    start: Snapshot,
) -> _Step:
    size = len(keras.tree.flatten(batch["x"])[0])
    history = fit(
        **batch,
        batch_size=size,
        class_weight=class_weight,
        callbacks=[_SameNumbers()],
        shuffle=False,
        verbose=0,
    )
    before = {id(variable): value for variable, value in start}
    return _Step(
        loss=float(history.history["loss"][0]),
        moved={w.path: w.value.detach() - before[id(w)] for w in model.weights},
        gradients={
            w.path: w.value.grad.detach().clone()
            for w in model.trainable_weights
            if w.value.grad is not None
        },
    )


def _apart(expected: _Step, mine: _Step) -> tuple[float, str]:
    """Return how far two steps came apart, as a share of the movement, and where the most."""
    trained = [path for path in expected.moved if path in expected.gradients]
    others = [path for path in expected.moved if path not in expected.gradients]
    return max(_apart_in(paths, expected, mine) for paths in (trained, others))


def _apart_in(paths: Sequence[str], expected: _Step, mine: _Step) -> tuple[float, str]:
    counts = {path: expected.gradients.get(path, torch.ones(())) for path in paths}
    apart = {p: _size((mine.moved[p] - expected.moved[p]) * counts[p]) for p in paths}
    moved = math.hypot(*(_size(expected.moved[p] * counts[p]) for p in paths))
    worst = max(apart, key=lambda path: apart[path], default="")
    return math.hypot(*apart.values()) / max(moved, 1e-12), worst


def _size(tensor: Tensor) -> float:
    return float(tensor.double().square().sum().sqrt())


def _batches(
    x: Any, y: Any, sample_weight: Any, batch_size: int, steps: int
) -> list[dict[str, Any]]:
    """Return the arguments of ``fit`` for each of the first batches."""
    if all(hasattr(part, "shape") for part in keras.tree.flatten(x)):
        count = len(keras.tree.flatten(x)[0])
        starts = range(0, min(count, steps * batch_size), batch_size)
        parts = [_rows((x, y, sample_weight), slice(i, i + batch_size)) for i in starts]
    elif isinstance(x, keras.utils.PyDataset):
        there = steps if x.num_batches is None else min(steps, x.num_batches)
        parts = [keras.utils.unpack_x_y_sample_weight(x[number]) for number in range(there)]
    else:
        first = itertools.islice(iter(x), steps)
        parts = [keras.utils.unpack_x_y_sample_weight(batch) for batch in first]
    if not parts:
        raise UsageError("x gives no batches: there is nothing to compare; give some data")
    return [dict(zip(("x", "y", "sample_weight"), part, strict=True)) for part in parts]


def _rows(arrays: Any, rows: slice) -> Any:
    return keras.tree.map_structure(lambda part: None if part is None else part[rows], arrays)


@contextmanager
def _restored(model: KerasModel, x: Any) -> Iterator[None]:
    """Set all that training changes back after the block, of a model that takes ``x``."""
    with torch.random.fork_rng():
        if not model.built:
            with torch.no_grad():
                model(x)
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None and not optimizer.built:
            # As fit does first; what it makes then has values to go back to.
            optimizer.build(model.trainable_variables)
        before, stopping = _snapshot(model), model.stop_training
        numpy_state = np.random.get_state()
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            model.stop_training = stopping
            _set_back(before)
            model.reset_metrics()


def _snapshot(model: KerasModel) -> Snapshot:
    """Return all variables that training changes, each once, and copies of their values."""
    optimizer = getattr(model, "optimizer", None)
    several = [
        *model.variables,
        *(v for metric in model.metrics for v in metric.variables),
        *(optimizer.variables if optimizer is not None else ()),
    ]
    distinct = {id(variable): variable for variable in several}.values()
    return [(variable, variable.value.detach().clone()) for variable in distinct]


def _set_back(snapshot: Snapshot) -> None:
    for variable, value in snapshot:
        variable.assign(value)
