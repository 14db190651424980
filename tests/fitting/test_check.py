"""A few steps both ways agree, leave nothing behind, and tell when they do not agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.errors import ResultsDifferError, UsageError
from cifarlab.fitting.check import check_fit
from fitting.test_fit import OwnTrainStep, X, Y, compiled, network
from support import one_line

layers = keras.layers


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Three batches."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, number: int) -> Any:
        return X[4 * number : 4 * number + 4], Y[4 * number : 4 * number + 4]


def pairs() -> Any:
    while True:
        yield X[:5], Y[:5], np.arange(5.0)


FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "arrays": lambda: {"x": X, "y": Y, "batch_size": 5},
    "tensors": lambda: {"x": torch.tensor(X), "y": torch.tensor(Y), "batch_size": 5},
    "weights": lambda: {"x": X, "y": Y, "batch_size": 5, "class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    "generator": lambda: {"x": pairs()},
    "PyDataset": lambda: {"x": Batches()},
    "loader": lambda: {"x": torch.utils.data.DataLoader([*zip(X, Y, strict=True)], batch_size=4)},
}


@pytest.mark.parametrize("form", FORMS)
def test_both_ways_agree_whatever_the_data_come_in(form):
    check = check_fit(compiled(network()), **FORMS[form]())
    assert (check.plan.native, check.steps, check.agrees) == (True, 3, True)
    assert str(check).startswith("3 steps of 'functional")


@pytest.mark.parametrize("name", ["adam", "lion", "nadam", "rmsprop"])
def test_optimizers_that_make_a_step_of_rounding_agree_too(name):
    assert check_fit(compiled(network(), optimizer=name), X, Y, 5).weights < 1e-4


def test_nothing_is_left_behind():
    model = compiled(network(), optimizer="adam")
    model.fit(X, Y, verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(v.numpy()) for v in variables]
    numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    check_fit(model, X, Y, 5)
    for value, variable in zip(before, variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert (np.random.get_state()[1] == numbers[1]).all()


def test_a_model_without_weights_is_built():
    model = keras.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    assert check_fit(compiled(model), X, Y).agrees
    assert model.built


def test_what_keras_runs_is_said():
    check = check_fit(compiled(network(OwnTrainStep)), X, Y)
    assert not check.plan.native
    assert "at Keras's own speed" in str(check)


def wrong_update(optimizer: Any, gradients: Any, weights: Any) -> None:
    optimizer.apply([g * 1.1 for g in gradients], weights)


def wrong_bias(optimizer: Any, gradients: Any, weights: Any) -> None:
    optimizer.apply([*gradients[:-1], gradients[-1] * 0.5], weights)


@pytest.mark.parametrize("fault", [wrong_update, wrong_bias])
def test_a_difference_is_raised_with_its_place(monkeypatch, fault):
    monkeypatch.setattr("cifarlab.fitting.native.apply", fault)
    with pytest.raises(ResultsDifferError) as error:
        check_fit(compiled(network()), X, Y)
    assert "more than rounding" in one_line(error)


def test_nothing_to_compare_is_refused():
    model = compiled(network())
    for arguments in ({"x": X, "y": Y, "steps": 0}, {"x": iter(())}, {"x": X[:0], "y": Y[:0]}):
        with pytest.raises(UsageError, match="nothing to compare"):
            check_fit(model, **arguments)
