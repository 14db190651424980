"""The softmax at the end of a model can be removed; any other model is unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.lowering.model import lower
from lowering.inputs import classifier, functional, some_images
from lowering.parity import OUTPUTS, assert_close

layers = keras.layers

# A warning of Keras about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


def _inner(*stack: Any) -> Any:
    return keras.Sequential([keras.Input((4,)), *stack])


ENDS_IN_SOFTMAX = {
    "dense": lambda: [layers.Dense(3, activation="softmax")],
    "activation": lambda: [layers.Dense(3), layers.Activation("softmax")],
    "layer": lambda: [layers.Dense(3), layers.Softmax()],
    "mixed precision": lambda: [layers.Dense(3), layers.Activation("softmax", dtype="float32")],
    "nested": lambda: [_inner(layers.Dense(3, activation="softmax"))],
    "nested twice": lambda: [_inner(layers.Dense(4), _inner(layers.Dense(3), layers.Softmax()))],
}

NOT_IN_SOFTMAX = {
    "linear": lambda: [layers.Dense(3)],
    "sigmoid": lambda: [layers.Dense(3, activation="sigmoid")],
    "softmax before": lambda: [layers.Dense(3, activation="softmax"), layers.Dropout(0.1)],
    "other axis": lambda: [layers.Dense(3), layers.Softmax(axis=0)],
    "regularized": lambda: [layers.Dense(3, activation="softmax", activity_regularizer="l2")],
}


@pytest.mark.parametrize("end", ENDS_IN_SOFTMAX)
def test_the_model_then_gives_logits(end: str) -> None:
    model = classifier(*ENDS_IN_SOFTMAX[end](), shape=(4,))
    x = some_images(model)
    lowered = lower(model).eval()
    assert lowered.strip_softmax()
    assert not torch.allclose(lowered(x).sum(-1), torch.ones(5))
    assert_close(lowered(x).softmax(-1), model(x, training=False), OUTPUTS)


@pytest.mark.parametrize("end", NOT_IN_SOFTMAX)
def test_any_other_end_stays(end: str) -> None:
    model = classifier(*NOT_IN_SOFTMAX[end](), shape=(4,))
    assert_refused(model)


def assert_refused(model: KerasModel) -> None:
    x = some_images(model)
    lowered = lower(model).eval()
    assert not lowered.strip_softmax()
    assert_close(lowered(x), model(x, training=False), OUTPUTS)


def test_a_softmax_that_is_used_elsewhere_too_stays() -> None:
    def used_twice(x: Any) -> Any:
        dense = layers.Dense(4, activation="softmax")
        return dense(dense(x))

    def used_inside(x: Any) -> Any:
        dense = layers.Dense(4, activation="softmax")
        inner_input = keras.Input((4,))
        return dense(keras.Model(inner_input, layers.ReLU()(dense(inner_input)))(x))

    def nested_twice(x: Any) -> Any:
        inner = _inner(layers.Dense(4), layers.Softmax())
        return inner(inner(x))

    for body in (used_twice, used_inside, nested_twice):
        assert_refused(functional(body, shape=(4,)))


def test_a_model_that_is_only_its_input_stays() -> None:
    assert_refused(functional(lambda x: x))
