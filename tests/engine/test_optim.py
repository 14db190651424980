"""Optimizers do what their papers say, step by step.

A new entry in ``OPTIMIZERS`` fails here until ``EXAMPLES`` and ``BY_HAND`` have one for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.engine.optim import OPTIMIZERS, build_optimizer, set_learning_rate
from cifarlab.errors import InputError
from cifarlab.recipes.recipe import SGD, Adam
from support import one_line

# Keras's own, about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

EXAMPLES: dict[type, list[Any]] = {
    Adam: [Adam(lr=0.1), Adam(lr=0.05, beta_1=0.5, beta_2=0.9, epsilon=1e-3)],
    SGD: [
        SGD(lr=0.1),
        SGD(lr=0.1, momentum=0.5, nesterov=False),
        SGD(lr=0.1, momentum=0.0),
        SGD(lr=0.1, weight_decay=0.3),
    ],
}

every = pytest.mark.parametrize(
    "spec", [spec for several in EXAMPLES.values() for spec in several], ids=str
)

START = (1.0, -2.0, 0.5)


def weights() -> torch.Tensor:
    return torch.tensor(START, requires_grad=True)


def run(spec: Any, gradients: list[list[float]]) -> list[float]:
    """The weights after one step for each gradient."""
    w = weights()
    optimizer = build_optimizer([w], spec)
    for gradient in gradients:
        w.grad = torch.tensor(gradient)
        optimizer.step()
    values: list[float] = w.detach().tolist()
    return values


def adam_by_hand(spec: Adam, w: float, gradients: list[float]) -> float:
    first = second = 0.0
    for t, g in enumerate(gradients, 1):
        first = spec.beta_1 * first + (1 - spec.beta_1) * g
        second = spec.beta_2 * second + (1 - spec.beta_2) * g * g
        deviation = math.sqrt(second / (1 - spec.beta_2**t)) + spec.epsilon
        w -= spec.lr * first / (1 - spec.beta_1**t) / deviation
    return w


def sgd_by_hand(spec: SGD, w: float, gradients: list[float]) -> float:
    velocity = 0.0
    for gradient in gradients:
        g = gradient + spec.weight_decay * w
        velocity = spec.momentum * velocity + g
        w -= spec.lr * (g + spec.momentum * velocity if spec.nesterov else velocity)
    return w


BY_HAND: dict[type, Callable[[Any, float, list[float]], float]] = {
    Adam: adam_by_hand,
    SGD: sgd_by_hand,
}

GRADIENTS = [[0.5, -1.0, 0.25], [1.0, 0.5, -0.125], [-2.0, 0.0, 0.5]]


def test_every_optimizer_has_examples() -> None:
    assert set(EXAMPLES) == set(OPTIMIZERS) == set(BY_HAND)


@every
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_computed_by_hand(spec: Any, steps: int) -> None:
    by_hand = BY_HAND[type(spec)]
    expected = [by_hand(spec, w, [g[i] for g in GRADIENTS[:steps]]) for i, w in enumerate(START)]
    assert run(spec, GRADIENTS[:steps]) == pytest.approx(expected, rel=1e-5)


@every
def test_it_finds_the_minimum_of_a_quadratic(spec: Any) -> None:
    w = weights()
    optimizer = build_optimizer([w], spec)
    target = torch.tensor([0.3, 0.1, -0.2])
    # Decay pulls the weights towards zero, away from the minimum of the loss alone.
    decay = getattr(spec, "weight_decay", 0.0)
    for step in range(300):
        set_learning_rate(optimizer, spec.lr * (1 - step / 300))
        optimizer.zero_grad()
        torch.autograd.backward((w - target).square().sum())
        optimizer.step()
    assert w.detach().tolist() == pytest.approx((target * 2 / (2 + decay)).tolist(), abs=1e-3)


@every
def test_it_does_the_same_every_time(spec: Any) -> None:
    assert run(spec, GRADIENTS) == run(spec, GRADIENTS)


@every
def test_its_state_goes_on_from_where_it_was_saved(spec: Any) -> None:
    w = weights()
    optimizer = build_optimizer([w], spec)
    w.grad = torch.tensor(GRADIENTS[0])
    optimizer.step()
    resumed = w.detach().clone().requires_grad_()
    other = build_optimizer([resumed], spec)
    other.load_state_dict(optimizer.state_dict())
    resumed.grad = torch.tensor(GRADIENTS[1])
    other.step()
    assert resumed.detach().tolist() == run(spec, GRADIENTS[:2])


@every
def test_the_learning_rate_can_be_set_and_zero_changes_nothing(spec: Any) -> None:
    w = weights()
    optimizer = build_optimizer([w], spec)
    assert [group["lr"] for group in optimizer.param_groups] == [spec.lr]
    set_learning_rate(optimizer, 0.0)
    w.grad = torch.tensor(GRADIENTS[0])
    optimizer.step()
    assert w.detach().tolist() == list(START)


@pytest.mark.parametrize(
    ("spec", "own"),
    [
        (Adam(), lambda: keras.optimizers.Adam()),
        (Adam(lr=0.01, beta_1=0.5), lambda: keras.optimizers.Adam(0.01, beta_1=0.5)),
        (SGD(0.01), lambda: keras.optimizers.SGD(0.01, 0.9, nesterov=True)),
        (SGD(0.01, 0.5, False), lambda: keras.optimizers.SGD(0.01, 0.5)),
    ],
    ids=["adam", "adam_0.5", "nesterov", "momentum"],
)
def test_many_steps_are_those_of_keras(spec: Any, own: Callable[[], Any]) -> None:
    """To 1e-5: Keras adds epsilon before it corrects the second moment, PyTorch after.

    With an epsilon of 1e-7 the two differ by less than that wherever a gradient is
    above 1e-3; far smaller gradients take smaller first steps in Keras.
    """
    rng = np.random.default_rng(0)
    gradients = rng.choice([-1, 1], (20, 3)) * rng.uniform(0.01, 2.0, (20, 3))
    variable = keras.Variable(np.array(START, "float32"))
    optimizer = own()
    for gradient in gradients:
        optimizer.apply([torch.tensor(gradient, dtype=torch.float32)], [variable])
    expected = keras.ops.convert_to_numpy(variable).tolist()
    assert run(spec, gradients.tolist()) == pytest.approx(expected, abs=1e-5)


@every
def test_nothing_to_train_is_refused(spec: Any) -> None:
    with pytest.raises(InputError) as error:
        build_optimizer(iter(()), spec)
    assert "trainable" in one_line(error)
