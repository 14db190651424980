"""Assertions that a lowered model computes and trains as its Keras model does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.lowering.model import LoweredModel, lower
from lowering.inputs import some_images

OUTPUTS = 1e-5
GRADIENTS = 1e-4

Values = Mapping[str, Tensor]


def assert_close(mine: Tensor, keras_own: Tensor, tolerance: float, what: str = "") -> None:
    """Compare to ``tolerance`` of the largest value, at least of 1."""
    scale = max(1.0, float(keras_own.detach().abs().max())) if keras_own.numel() else 1.0
    assert mine.shape == keras_own.shape, what
    torch.testing.assert_close(
        mine.float(), keras_own.float(), rtol=0.0, atol=tolerance * scale, msg=lambda m: what + m
    )


def assert_same(mine: Values, keras_own: Values, tolerance: float) -> None:
    assert mine.keys() == keras_own.keys()
    for name, value in mine.items():
        assert_close(value, keras_own[name], tolerance, f"{name}: ")


def keras_weights(model: KerasModel) -> dict[str, Tensor]:
    return {v.path: v.value.detach().clone() for v in model.weights}


def lowered_weights(lowered: LoweredModel) -> dict[str, Tensor]:
    return {b.path: b.keras_view().detach().clone() for b in lowered.bindings}


def moving(values: Values) -> dict[str, Tensor]:
    return {name: v for name, v in values.items() if "/moving_" in name}


def _projection(y: Tensor) -> Tensor:
    weights = torch.linspace(-1.0, 1.0, y.numel()).reshape(y.shape)
    return (y * weights).sum()


def gradients(y: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return gradients of a weighted sum of ``y``; zeros for tensors that it does not depend on."""
    names = list(tensors)
    loss = _projection(y)
    if not loss.requires_grad:
        return {name: torch.zeros_like(tensors[name]) for name in names}
    values = torch.autograd.grad(loss, [tensors[n] for n in names], allow_unused=True)
    return {
        name: torch.zeros_like(tensors[name]) if g is None else g
        for name, g in zip(names, values, strict=True)
    }


def keras_gradients(model: KerasModel, y: Tensor) -> dict[str, Tensor]:
    return gradients(y, {v.path: v.value for v in model.trainable_variables})


def lowered_gradients(lowered: LoweredModel, y: Tensor) -> dict[str, Tensor]:
    values = gradients(y, {b.path: b.tensor for b in lowered.trained_bindings})
    return {b.path: b.layout.to_keras(values[b.path]) for b in lowered.trained_bindings}


def assert_lowers_exactly(model: KerasModel, x: Tensor | None = None) -> LoweredModel:
    """Outputs, gradients and new statistics are Keras's, in inference and in training."""
    x = some_images(model) if x is None else x
    lowered = lower(model)
    for training in (False, True):
        before = keras_weights(model)
        expected = model(x, training=training)
        expected_gradients = keras_gradients(model, expected)
        statistics = moving(keras_weights(model))
        for variable in model.weights:
            variable.assign(before[variable.path])
        lowered.read_in()
        lowered.train(training)
        y = lowered(x)
        assert_close(y, expected, OUTPUTS)
        assert_same(lowered_gradients(lowered, y), expected_gradients, GRADIENTS)
        mine = moving(lowered_weights(lowered))
        assert_same(mine, statistics, OUTPUTS)
    return lowered


def assert_trains_alike(build: Callable[[], Any], rate: float = 0.05) -> LoweredModel:
    """Two training steps change the weights as Keras's own training step with SGD does."""

    plain, model = build(), build()
    model.set_weights(plain.get_weights())
    before = [w.copy() for w in plain.get_weights()]
    x = some_images(plain)
    labels = torch.arange(len(x)) % plain.output_shape[-1]
    plain.compile(keras.optimizers.SGD(rate), loss="sparse_categorical_crossentropy")
    lowered = lower(model)
    optimizer = torch.optim.SGD(lowered.trained(), lr=rate)
    lowered.train()
    for _ in range(2):
        keras_loss = plain.train_on_batch(x, labels)
        optimizer.zero_grad()
        loss = F.nll_loss(lowered(x).log(), labels) + lowered.penalty()
        torch.autograd.backward(loss)
        optimizer.step()
        lowered.apply_constraints()
        np.testing.assert_allclose(float(loss.detach()), float(keras_loss), rtol=1e-5, atol=1e-6)
    lowered.write_back()
    for path, mine, own in zip(
        (v.path for v in plain.weights), model.get_weights(), plain.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, own, rtol=0, atol=1e-5, err_msg=path)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert any(changed)
    return lowered
