"""Optimizers: from a recipe's specifications to PyTorch optimizers, each on its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from cifarlab.errors import InputError, UsageError
from cifarlab.lowering.binding import CONVOLUTION, Binding
from cifarlab.recipes.parts import CONVOLUTIONS, SGD, Adam, Muon, Optimizer, Schedule
from cifarlab.training.muon import MuonOptimizer
from cifarlab.training.schedules import ended, factor

Parameters = Sequence[Tensor]


def adam(parameters: Parameters, spec: Adam, _: torch.dtype) -> torch.optim.Optimizer:
    """Adam with one fused update for all tensors."""
    betas = (spec.beta_1, spec.beta_2)
    return torch.optim.Adam(parameters, lr=spec.lr, betas=betas, eps=spec.epsilon, fused=True)


def sgd(parameters: Parameters, spec: SGD, _: torch.dtype) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum, one fused update for all tensors."""
    return torch.optim.SGD(
        parameters,
        lr=spec.lr,
        momentum=spec.momentum,
        nesterov=spec.nesterov and spec.momentum > 0,
        weight_decay=spec.weight_decay,
        fused=True,
    )


def muon(parameters: Parameters, spec: Muon, precision: torch.dtype) -> torch.optim.Optimizer:
    """Muon, its matrix products in ``precision``.

    Raises:
        UsageError: a tensor that is no convolution kernel.
    """
    for parameter in parameters:
        if parameter.ndim != 4:
            raise UsageError(
                f"Muon(on={spec.on!r}) names a weight of shape {list(parameter.shape)}; it trains "
                f'kernels of convolutions: use on="{CONVOLUTIONS}"'
            )
    return MuonOptimizer(
        parameters, spec.lr, spec.momentum, spec.coefficients, spec.iterations, precision
    )


OPTIMIZERS: dict[type, Callable[[Parameters, Any, torch.dtype], torch.optim.Optimizer]] = {
    Adam: adam,
    SGD: sgd,
    Muon: muon,
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """An optimizer, and the specification that it was made from."""

    spec: Optimizer
    optimizer: torch.optim.Optimizer

    @property
    def parameters(self) -> list[Tensor]:
        """The tensors that it trains."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    @property
    def rate(self) -> float:
        """Its learning rate now."""
        return float(self.optimizer.param_groups[0]["lr"])


def freeze(bindings: Sequence[Binding], patterns: Sequence[str]) -> list[Binding]:
    """Stop training the weights that a pattern names; return the others."""
    free = []
    for binding in bindings:
        if any(_names(pattern, binding) for pattern in patterns):
            binding.tensor.requires_grad_(False)
        else:
            free.append(binding)
    return free


def build_optimizers(
    bindings: Sequence[Binding], specs: Sequence[Optimizer], precision: torch.dtype
) -> tuple[Group, ...]:
    """Return an optimizer for each specification; each weight goes to the first that names it.

    Args:
        bindings: of the weights to train.
        precision: of Muon's matrix products.

    Raises:
        InputError: there is nothing to train.
        UsageError: a specification names no weight, or a weight is named by none.
    """
    if not bindings:
        raise InputError(
            "the model has no trainable weights; set layer.trainable = True on those to train"
        )
    chosen: list[list[Tensor]] = [[] for _ in specs]
    for binding in bindings:
        number = next((i for i, spec in enumerate(specs) if _names(spec.on, binding)), None)
        if number is None:
            raise UsageError(
                f"no optimizer of the recipe trains {binding.path}; "
                'add one with on="*", or freeze that layer'
            )
        chosen[number].append(binding.tensor)
    for spec, tensors in zip(specs, chosen, strict=True):
        if not tensors:
            raise UsageError(
                f"{type(spec).__name__}(on={spec.on!r}) names no weight that is still free; "
                "remove it, or name weights of the model"
            )
    return tuple(
        Group(spec=spec, optimizer=OPTIMIZERS[type(spec)](tensors, spec, precision))
        for spec, tensors in zip(specs, chosen, strict=True)
    )


def _names(on: str, binding: Binding) -> bool:
    if on == CONVOLUTIONS:
        return binding.layout is CONVOLUTION
    return fnmatchcase(binding.path, on)


def set_rates(
    groups: Sequence[Group], schedule: Schedule, progress: float, scale: float = 1.0
) -> None:
    """Set every learning rate, and stop training what has come to the end of its schedule.

    Args:
        schedule: of the optimizers that have none of their own.
        progress: share of all planned steps that are done.
        scale: what a callback has multiplied the rates by.
    """
    for group in groups:
        own = group.spec.schedule or schedule
        rate = group.spec.lr * factor(own, progress) * scale
        for parameters in group.optimizer.param_groups:
            parameters["lr"] = rate
        for parameter in group.parameters:
            parameter.requires_grad_(not ended(own, progress))
