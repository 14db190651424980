"""Muon: momentum whose steps are made orthogonal.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), with the weight
renormalisation of airbench94_muon.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonalise(
    matrices: Tensor, coefficients: tuple[float, float, float], iterations: int
) -> Tensor:
    """Bring every singular value of each matrix near 1 by Newton-Schulz iterations.

    Args:
        matrices: ``[M, rows, columns]``; computed in their dtype.
        coefficients: a, b and c of the map x -> a x + b x^3 + c x^5 on singular values.

    Returns:
        Of the same shape and dtype.
    """
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(b * gram, gram, gram, alpha=c) @ x
    return x.mT if tall else x


class MuonOptimizer(torch.optim.Optimizer):
    """Muon for convolution kernels ``[out, in, height, width]``, each taken as a matrix.

    Kernels of one shape are orthogonalised together.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float,
        coefficients: tuple[float, float, float],
        iterations: int,
        precision: torch.dtype,
    ) -> None:
        super().__init__(parameters, {"lr": lr})
        self.momentum = momentum
        self.coefficients = coefficients
        self.iterations = iterations
        self.precision = precision

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Change every kernel that has a gradient.

        Args:
            closure: PyTorch's interface has it; nothing here computes a loss.
        """
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for kernel in group["params"]:
                if kernel.grad is not None:
                    by_shape.setdefault(kernel.shape, []).append(kernel)
            for kernels in by_shape.values():
                self._step_together(kernels, group["lr"])

    def _step_together(self, kernels: list[Tensor], lr: float) -> None:
        directions = torch.stack([self._direction(k).flatten(1) for k in kernels])
        steps = orthogonalise(
            directions.to(self.precision), self.coefficients, self.iterations
        ).float()
        for kernel, step in zip(kernels, steps, strict=True):
            kernel.mul_(len(kernel) ** 0.5 / (kernel.norm() + 1e-7))
            kernel.sub_(step.view(kernel.shape), alpha=lr)

    def _direction(self, kernel: Tensor) -> Tensor:
        """Nesterov's momentum."""
        state, gradient = self.state[kernel], kernel.grad
        assert gradient is not None
        if not state:
            state["momentum_buffer"] = torch.zeros_like(kernel)
        velocity = state["momentum_buffer"].mul_(self.momentum).add_(gradient)
        return gradient.add(velocity, alpha=self.momentum)
