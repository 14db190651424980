"""The updates of a recipe's optimizers and its whitening, with nothing left to the host.

Learning rates are numbers on the device, so that a captured step can be replayed at any rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.errors import UsageError
from cifarlab.lowering.model import LoweredModel
from cifarlab.recipes.parts import SGD, Muon
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.muon import orthogonalise
from cifarlab.training.optimizers import build_optimizers, freeze


@dataclass(frozen=True, kw_only=True)
class WeightGroup:
    """The weights of one optimizer of the recipe, and their momentum."""

    spec: SGD | Muon
    weights: list[Tensor]
    velocities: list[Tensor]


@torch.no_grad()
def sgd_update(group: WeightGroup, gradients: list[Tensor], rate: Tensor, _: torch.dtype) -> None:
    """Change the weights as ``torch.optim.SGD`` does, at a rate that lies on the device."""
    spec = group.spec
    assert isinstance(spec, SGD)
    slopes = torch._foreach_add(gradients, group.weights, alpha=spec.weight_decay)
    torch._foreach_mul_(group.velocities, spec.momentum)
    torch._foreach_add_(group.velocities, slopes)
    if spec.nesterov and spec.momentum > 0:
        steps = torch._foreach_add(slopes, group.velocities, alpha=spec.momentum)
    else:
        steps = list(group.velocities)
    torch._foreach_sub_(group.weights, torch._foreach_mul(steps, rate))


@torch.no_grad()
def muon_update(
    group: WeightGroup, gradients: list[Tensor], rate: Tensor, precision: torch.dtype
) -> None:
    """Change the kernels as ``training.muon.MuonOptimizer`` does, those of one shape together."""
    spec = group.spec
    assert isinstance(spec, Muon)
    torch._foreach_mul_(group.velocities, spec.momentum)
    torch._foreach_add_(group.velocities, gradients)
    slopes = torch._foreach_add(gradients, group.velocities, alpha=spec.momentum)
    by_shape: dict[torch.Size, list[int]] = {}
    for i, weight in enumerate(group.weights):
        by_shape.setdefault(weight.shape, []).append(i)
    for shape, members in by_shape.items():
        matrices = torch.stack([slopes[i].flatten(1) for i in members]).to(precision)
        steps = orthogonalise(matrices, spec.coefficients, spec.iterations).float() * rate
        for i, step in zip(members, steps, strict=True):
            kernel = group.weights[i]
            kernel.mul_(shape[0] ** 0.5 / (kernel.norm() + 1e-7))
            kernel.sub_(step.view(shape))


UPDATES: dict[type, Callable[[WeightGroup, list[Tensor], Tensor, torch.dtype], None]] = {
    SGD: sgd_update,
    Muon: muon_update,
}


def weight_groups(
    lowered: LoweredModel, recipe: Recipe, precision: torch.dtype
) -> list[WeightGroup]:
    """Return the weights of each of the recipe's optimizers, with momenta of zero.

    Raises:
        UsageError: an optimizer that has no update here.
    """
    free = freeze(lowered.trained_bindings, recipe.frozen)
    groups = []
    for group in build_optimizers(free, recipe.optimizers, precision):
        if type(group.spec) not in UPDATES:
            raise UsageError(
                f"recipe {recipe.name!r} has {type(group.spec).__name__}; this form has SGD and "
                "Muon: train the recipe with cifarlab train"
            )
        weights = group.parameters
        velocities = [torch.zeros_like(weight, requires_grad=False) for weight in weights]
        groups.append(WeightGroup(spec=group.spec, weights=weights, velocities=velocities))
    return groups


def whitening_filters(images: Tensor, size: int, filters: int, epsilon: float) -> Tensor:
    """Return what ``models.whitening.whitening_kernel`` returns, computed on the device.

    Args:
        images: float ``[N, H, W, C]``, as the convolution gets them.
        size: height and width of a patch.

    Returns:
        float32 ``[filters, C, size, size]``.
    """
    channels = images.shape[3]
    values = channels * size * size
    patches = F.unfold(images.permute(0, 3, 1, 2).float(), size)
    patches = patches.transpose(1, 2).reshape(-1, values)
    moment = (patches.T @ patches / len(patches)).double()
    variances, components = torch.linalg.eigh(moment)
    # Ascending; the first principal components are the last ones.
    variances, components = variances[-(filters // 2) :], components[:, -(filters // 2) :]
    half = (components / (variances + epsilon).sqrt()).T.flip(0)
    return torch.cat([half, -half]).float().view(filters, channels, size, size)
