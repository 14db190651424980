"""Optimizers do what their papers say, step by step.

A new entry in ``OPTIMIZERS`` fails here until ``EXAMPLES`` and ``BY_HAND`` have one for it.
Muon, which trains nothing but kernels of convolutions, has ``test_muon.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import InputError, UsageError
from cifarlab.lowering.binding import AS_IS, CONVOLUTION, Binding, Layout
from cifarlab.recipes.parts import SGD, Adam, Constant, Linear, Muon
from cifarlab.training.optimizers import OPTIMIZERS, build_optimizers, freeze, set_rates
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


def bound(tensor: torch.Tensor, path: str = "layer/bias", layout: Layout = AS_IS) -> Binding:
    """A binding to ``tensor`` under the path that its Keras variable would have."""
    return Binding(
        variable=SimpleNamespace(path=path),
        holder=SimpleNamespace(tensor=tensor),
        name="tensor",
        layout=layout,
    )


def build_optimizer(tensor: torch.Tensor, spec: Any) -> torch.optim.Optimizer:
    (group,) = build_optimizers([bound(tensor)], [spec], torch.float32)
    return group.optimizer


def run(spec: Any, gradients: list[list[float]]) -> list[float]:
    """The weights after one step for each gradient."""
    w = weights()
    optimizer = build_optimizer(w, spec)
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
    assert set(EXAMPLES) == set(OPTIMIZERS) - {Muon} == set(BY_HAND)


@every
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_computed_by_hand(spec: Any, steps: int) -> None:
    by_hand = BY_HAND[type(spec)]
    expected = [by_hand(spec, w, [g[i] for g in GRADIENTS[:steps]]) for i, w in enumerate(START)]
    assert run(spec, GRADIENTS[:steps]) == pytest.approx(expected, rel=1e-5)


@every
def test_it_finds_the_minimum_of_a_quadratic(spec: Any) -> None:
    w = weights()
    groups = build_optimizers([bound(w)], [spec], torch.float32)
    (optimizer,) = (group.optimizer for group in groups)
    target = torch.tensor([0.3, 0.1, -0.2])
    # Decay pulls the weights towards zero, away from the minimum of the loss alone.
    decay = getattr(spec, "weight_decay", 0.0)
    for step in range(300):
        set_rates(groups, Linear(), step / 300)
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
    optimizer = build_optimizer(w, spec)
    w.grad = torch.tensor(GRADIENTS[0])
    optimizer.step()
    resumed = w.detach().clone().requires_grad_()
    other = build_optimizer(resumed, spec)
    other.load_state_dict(optimizer.state_dict())
    resumed.grad = torch.tensor(GRADIENTS[1])
    other.step()
    assert resumed.detach().tolist() == run(spec, GRADIENTS[:2])


@every
def test_the_learning_rate_can_be_set_and_zero_changes_nothing(spec: Any) -> None:
    w = weights()
    (group,) = build_optimizers([bound(w)], [spec], torch.float32)
    assert group.rate == spec.lr
    set_rates([group], Constant(), 0.5, scale=0.0)
    assert group.rate == 0.0
    w.grad = torch.tensor(GRADIENTS[0])
    group.optimizer.step()
    assert w.detach().tolist() == list(START)


@pytest.mark.parametrize(
    ("spec", "own"),
    [
        (Adam(), lambda: keras.optimizers.Adam()),
        (Adam(lr=0.01, beta_1=0.5), lambda: keras.optimizers.Adam(0.01, beta_1=0.5)),
        (SGD(lr=0.01), lambda: keras.optimizers.SGD(0.01, 0.9, nesterov=True)),
        (SGD(lr=0.01, momentum=0.5, nesterov=False), lambda: keras.optimizers.SGD(0.01, 0.5)),
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
        build_optimizers([], [spec], torch.float32)
    assert "trainable" in one_line(error)


def several() -> dict[str, Binding]:
    """Weights as a small network has them, by path."""
    shapes = {
        "conv/kernel": (4, 3, 2, 2),
        "conv/bias": (4,),
        "norm/beta": (4,),
        "head/kernel": (2,),
    }
    return {
        path: bound(torch.ones(shape), path, CONVOLUTION if len(shape) == 4 else AS_IS)
        for path, shape in shapes.items()
    }


def test_each_weight_goes_to_the_first_optimizer_that_names_it() -> None:
    weights = several()
    specs = [Muon(), SGD(lr=0.1, on="head/*"), SGD(lr=0.2, on="*/kernel"), Adam(lr=0.3)]
    with pytest.raises(UsageError) as error:
        build_optimizers(list(weights.values()), specs, torch.float32)
    assert "'*/kernel'" in one_line(error)
    del specs[2]
    groups = build_optimizers(list(weights.values()), specs, torch.float32)
    assert [group.spec for group in groups] == specs
    names = {id(binding.tensor): path for path, binding in weights.items()}
    found = [[names[id(parameter)] for parameter in group.parameters] for group in groups]
    assert found == [["conv/kernel"], ["head/kernel"], ["conv/bias", "norm/beta"]]


def test_a_weight_without_an_optimizer_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        build_optimizers(list(several().values()), [Muon(), SGD(on="*/bias")], torch.float32)
    assert "norm/beta" in one_line(error)


def test_muon_is_for_kernels_of_convolutions() -> None:
    with pytest.raises(UsageError) as error:
        build_optimizers(list(several().values()), [Muon(on="*")], torch.float32)
    assert 'on="convolutions"' in one_line(error)


def test_frozen_weights_are_left_out() -> None:
    weights = several()
    free = freeze(list(weights.values()), ["conv/*"])
    assert [binding.path for binding in free] == ["norm/beta", "head/kernel"]
    assert not weights["conv/kernel"].tensor.requires_grad


def test_rates_follow_the_recipes_schedule_or_the_optimizers_own() -> None:
    weights = several()
    specs = [SGD(lr=0.4, on="head/*", schedule=Linear(until=0.5)), SGD(lr=0.2)]
    groups = build_optimizers(list(weights.values()), specs, torch.float32)
    found = []
    for progress in (0.0, 0.25, 0.5, 0.75):
        set_rates(groups, Linear(), progress, scale=0.5)
        found.append([group.rate for group in groups])
        trained = weights["head/kernel"].tensor.requires_grad
        # What has come to 0 for good needs no gradients.
        assert trained is (progress < 0.5)
        assert weights["conv/bias"].tensor.requires_grad
    expected = [[0.2, 0.1], [0.1, 0.075], [0.0, 0.05], [0.0, 0.025]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
