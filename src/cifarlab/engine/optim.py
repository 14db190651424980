"""Optimizers: from a recipe's specification to a PyTorch optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from cifarlab.errors import InputError
from cifarlab.recipes.recipe import SGD, Adam

Parameters = Iterable[torch.Tensor]


def adam(parameters: Parameters, spec: Adam) -> torch.optim.Optimizer:
    """Adam with one fused update for all tensors."""
    betas = (spec.beta_1, spec.beta_2)
    return torch.optim.Adam(parameters, lr=spec.lr, betas=betas, eps=spec.epsilon, fused=True)


def sgd(parameters: Parameters, spec: SGD) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, one fused update for all tensors."""
    return torch.optim.SGD(
        parameters,
        lr=spec.lr,
        momentum=spec.momentum,
        nesterov=spec.nesterov and spec.momentum > 0,
        weight_decay=spec.weight_decay,
        fused=True,
    )


OPTIMIZERS: dict[type, Callable[[Parameters, Any], torch.optim.Optimizer]] = {
    Adam: adam,
    SGD: sgd,
}


def build_optimizer(parameters: Parameters, spec: Any) -> torch.optim.Optimizer:
    """Return the optimizer that ``spec`` (of ``recipes/recipe.py``) describes.

    Raises:
        InputError: there is nothing to train.
    """
    parameters = list(parameters)
    if not parameters:
        raise InputError(
            "the model has no trainable weights; set layer.trainable = True on those to train"
        )
    return OPTIMIZERS[type(spec)](parameters, spec)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
