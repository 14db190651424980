"""Regularizers, constraints and losses that layers add are those of Keras."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cifarlab.backend import keras
from cifarlab.lowering.model import lower
from lowering.inputs import classifier, functional, some_images
from lowering.parity import (
    OUTPUTS,
    assert_close,
    assert_same,
    assert_trains_alike,
    lowered_weights,
)

layers = keras.layers

# A warning of Keras about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


def build() -> Any:
    return classifier(
        layers.Conv2D(3, 2, kernel_regularizer="l2", bias_regularizer="l1"),
        layers.DepthwiseConv2D(2, depthwise_regularizer="l1"),
        layers.BatchNormalization(gamma_regularizer="l2"),
        layers.Conv2D(2, 1, trainable=False, kernel_regularizer="l2"),
        layers.Flatten(),
        layers.Dense(3, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()),
        layers.Dense(3, activation="softmax", bias_regularizer=keras.regularizers.L1L2()),
    )


def test_weight_regularizers_add_up_to_keras_losses() -> None:
    model = build()
    lowered = lower(model)
    expected = sum(model.losses)
    assert float(expected.detach()) > 0
    assert_close(lowered.penalty(), expected, OUTPUTS)
    mine = torch.autograd.grad(lowered.penalty(), lowered.trained(), allow_unused=True)
    own = torch.autograd.grad(
        expected, [b.variable.value for b in lowered.trained_bindings], allow_unused=True
    )
    for binding, a, b in zip(lowered.trained_bindings, mine, own, strict=True):
        assert (a is None) == (b is None), binding.path
        if a is not None:
            assert_close(binding.layout.to_keras(a), b, OUTPUTS, binding.path)


def test_regularized_training_is_keras_training() -> None:
    assert assert_trains_alike(build).not_lowered == ()


def test_activity_regularizers_and_added_losses_count_at_every_use() -> None:
    def body(x: Any) -> Any:
        dense = layers.Dense(2, activity_regularizer="l2")
        noisy = layers.ActivityRegularization(l1=0.1)
        return noisy(dense(layers.ReLU()(dense(x))))

    model = functional(body)
    x = some_images(model)
    lowered = lower(model)
    for training in (True, False):
        lowered.train(training)
        for _ in range(2):
            model(x, training=training)
            expected = sum(model.losses)
            lowered(x)
            assert_close(torch.as_tensor(lowered.penalty()), expected, OUTPUTS)


def test_constraints_hold_after_each_step_as_in_keras() -> None:
    def build() -> Any:
        return classifier(
            layers.Conv2D(3, 2, kernel_constraint=keras.constraints.MaxNorm(0.3)),
            layers.DepthwiseConv2D(2, depthwise_constraint="non_neg"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", kernel_constraint=keras.constraints.UnitNorm()),
        )

    lowered = assert_trains_alike(build)
    kernel = lowered.trained_bindings[0].keras_view()
    assert float(kernel.detach().norm(dim=0).max()) <= 0.3 + 1e-6


def test_constraints_leave_frozen_weights_alone() -> None:
    model = classifier(layers.Dense(3, kernel_constraint="non_neg", trainable=False))
    lowered = lower(model)
    start = lowered_weights(lowered)
    lowered.apply_constraints()
    assert_same(lowered_weights(lowered), start, 0.0)
