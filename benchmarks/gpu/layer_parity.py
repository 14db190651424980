"""Whether every lowered layer gives on one device what it gives on the CPU, gradients and all.

The reference is the lowered form itself, on the CPU and in float64, so that an error is the
device's alone. tests/lowering/test_layers.py compares that form with Keras's layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.layer_examples import Example, model_around
from cifarlab.backend import keras
from cifarlab.lowering.model import CPU, LoweredModel, lower
from cifarlab.runtime.device import computing_in

Results = Mapping[str, Tensor]

# Few, so that few values lie near a kink.
INPUTS = 5
# Bfloat16 rounds by up to a 2^-8th, by half of that on average; inputs are nudged by random
# numbers of a standard deviation of a 2^-8th.
NUDGE, NUDGES = 2.0**-8, 8
# A smooth layer passes on one to two nudges. A value that changes sides at a kink, one of n,
# changes the gradients by about 1 / sqrt(n): by 5% or more.
STEADY = 3 * NUDGE
ATTEMPTS = 100


@dataclass(frozen=True, kw_only=True)
class Side:
    """A lowered model and how it computes.

    Attributes:
        dtype: of its weights and inputs.
        precision: of convolutions and matrix products.
    """

    lowered: LoweredModel
    dtype: torch.dtype
    precision: torch.dtype


@dataclass(frozen=True, kw_only=True)
class Case:
    """An example of a layer in a Keras model, what goes in, and what has to come out.

    Attributes:
        inputs: float64 ``[INPUTS, ...]``.
        expected: what ``results`` gives of the reference, by whether it is in training.
    """

    model: Any
    inputs: Tensor
    expected: Mapping[bool, Results]


def case(example: Example) -> Case:
    """Compute the reference for an example.

    Raises:
        ValueError: there are no inputs away from all kinks.
    """
    make, shape = example
    model = model_around(make(), shape)
    exact = lower(model, CPU).to(torch.float64)
    reference = Side(lowered=exact, dtype=torch.float64, precision=torch.float32)
    inputs = steady_inputs(reference, shape)
    expected = {training: results(reference, inputs, training) for training in (False, True)}
    return Case(model=model, inputs=inputs, expected=expected)


def worst_error(cases: Sequence[Case], device: torch.device, precision: torch.dtype) -> float:
    """Return the largest error on ``device`` of the examples' results, in inference and training.

    An error is the norm of the difference to the reference over the norm of the reference.

    Raises:
        ValueError: a result is not finite.
        RuntimeError: the outputs lie on another device.
    """
    worst = 0.0
    for each in cases:
        lowered = lower(each.model, device)
        side = Side(lowered=lowered, dtype=torch.float32, precision=precision)
        for training, expected in each.expected.items():
            actual = results(side, each.inputs, training)
            worst = max(worst, largest_distance(actual, expected))
    return worst


def steady_inputs(reference: Side, shape: tuple[int, ...]) -> Tensor:
    """Draw inputs, float64 ``[INPUTS, *shape]``, at which the reference is smooth.

    Where a value lies within rounding of a kink, as ReLU has at 0 and max-pooling between equal
    values, a device may take it for the other side and be right. Such inputs are drawn again.

    Raises:
        ValueError: none were found.
    """
    draws = np.random.default_rng(0)
    for _ in range(ATTEMPTS):
        inputs = draws.normal(size=(INPUTS, *shape))
        nudged = inputs * (1 + NUDGE * draws.normal(size=(NUDGES, *inputs.shape)))
        if _is_steady(reference, torch.from_numpy(inputs), torch.from_numpy(nudged)):
            return torch.from_numpy(inputs)
    raise ValueError(f"no inputs away from all kinks in {ATTEMPTS} draws")


def _is_steady(reference: Side, inputs: Tensor, nudged: Tensor) -> bool:
    for training in (False, True):
        expected = results(reference, inputs, training)
        near = (results(reference, x, training) for x in nudged)
        if any(largest_distance(actual, expected) > STEADY for actual in near):
            return False
    return True


def results(side: Side, inputs: Tensor, training: bool) -> Results:
    """Return what a lowered model gives, from the Keras model's weights and statistics on.

    Args:
        inputs: float64 ``[N, ...]`` on the CPU.

    Returns:
        The outputs, the gradients of a number made of all outputs by the inputs and by the
        weights, and the moving statistics: each flat, float64, on the CPU.

    Raises:
        RuntimeError: the outputs lie on another device than the model.
    """
    lowered, device = side.lowered, side.lowered.device
    lowered.read_in()
    lowered.train(training)
    x = inputs.detach().to(device, side.dtype).requires_grad_()
    # Some native forms call Keras's functions, which compute on the device that Keras has chosen.
    with keras.device(device.type), computing_in(side.precision, device):
        y = lowered(x)
    if y.device.type != device.type:
        raise RuntimeError(f"the outputs lie on {y.device}, the model on {device}")
    y = y.to(side.dtype)
    weights = torch.from_numpy(np.random.default_rng(1).normal(size=tuple(y.shape)))
    number = (y * weights.to(y)).sum()
    slopes = torch.autograd.grad(number, [x, *lowered.trained()], materialize_grads=True)
    statistics = [b.tensor for b in lowered.bindings if id(b.variable) not in lowered.trainable]
    return {
        "outputs": _flat([y]),
        "gradients of the inputs": _flat(slopes[:1]),
        "gradients of the weights": _flat(slopes[1:]),
        "statistics": _flat(statistics),
    }


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    flat = [t.detach().to(CPU, torch.float64).reshape(-1) for t in tensors]
    return torch.cat(flat) if flat else torch.zeros(0, dtype=torch.float64)


def largest_distance(actual: Results, expected: Results) -> float:
    """Return the largest of ``||actual - expected|| / ||expected||`` over the names.

    Raises:
        ValueError: one is not finite, or has another number of values.
    """
    largest = 0.0
    for name, reference in expected.items():
        if actual[name].shape != reference.shape:
            raise ValueError(f"{len(actual[name])} {name} instead of {len(reference)}")
        if not bool(actual[name].isfinite().all()):
            raise ValueError(f"{name} are not finite")
        difference, norm = (actual[name] - reference).norm(), reference.norm()
        largest = max(largest, float(difference / norm if norm > 0 else difference))
    return largest


@contextlib.contextmanager
def without_tf32() -> Iterator[None]:
    """Have a GPU compute float32 in float32 inside the block, not rounded to TF32's 11 bits."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextlib.contextmanager
def on_one_thread() -> Iterator[None]:
    """Compute on one thread inside the block: with tiny tensors, more of them only wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
