"""Tiny Keras models with random weights, and random input for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.layer_examples import randomised
from cifarlab.backend import KerasModel, keras

CLASSES = 3


def classifier(*stack: Any, shape: tuple[int, ...] = (4, 4, 2)) -> KerasModel:
    """A sequential model of these layers, built for input of ``shape``."""
    return randomised(keras.Sequential([keras.Input(shape), *stack]))


def functional(body: Callable[[Any], Any], shape: tuple[int, ...] = (4, 4, 2)) -> KerasModel:
    """A functional model: ``body`` applied to an input of ``shape``."""
    inputs = keras.Input(shape)
    return randomised(keras.Model(inputs, body(inputs)))


def some_images(model: KerasModel, count: int = 5, seed: int = 0) -> torch.Tensor:
    """Random input for ``model``, float32."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(count, *model.input_shape[1:])).astype("float32"))
