"""Muon's steps are near-orthogonal matrices, those of the published code."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.recipes.parts import Muon
from cifarlab.training.muon import MuonOptimizer, orthogonalise

COEFFICIENTS = Muon().coefficients


def matrices(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_svd(matrix: torch.Tensor, iterations: int) -> torch.Tensor:
    """The same polynomial, applied to each singular value by itself."""
    a, b, c = COEFFICIENTS
    u, values, vt = torch.linalg.svd(matrix, full_matrices=False)
    values = values / values.norm()
    for _ in range(iterations):
        values = a * values + b * values**3 + c * values**5
    return u @ torch.diag(values) @ vt


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5), st.integers(0, 1000))
def test_it_acts_on_singular_values_alone(
    rows: int, columns: int, iterations: int, seed: int
) -> None:
    some = matrices(3, rows, columns, seed=seed)
    result = orthogonalise(some, COEFFICIENTS, iterations)
    for matrix, found in zip(some, result, strict=True):
        assert torch.allclose(found, by_svd(matrix, iterations), atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 216), (256, 576), (100, 40)])
def test_singular_values_come_near_1(shape: tuple[int, int]) -> None:
    result = orthogonalise(matrices(1, *shape), COEFFICIENTS, 5)
    values = torch.linalg.svdvals(result[0])
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_size_of_the_gradient_does_not_matter(scale: float) -> None:
    some = matrices(1, 8, 20)
    one, other = (orthogonalise(x, COEFFICIENTS, 3) for x in (some, scale * some))
    assert torch.allclose(one, other, atol=1e-1 if scale < 1 else 1e-6)


def test_nothing_comes_of_nothing() -> None:
    assert orthogonalise(torch.zeros(1, 4, 9), COEFFICIENTS, 3).abs().max() == 0


def kernels() -> list[torch.Tensor]:
    shapes = [(4, 3, 3, 3), (6, 4, 3, 3), (4, 3, 3, 3)]
    return [
        matrices(*shape, seed=i).float().contiguous(memory_format=torch.channels_last)
        for i, shape in enumerate(shapes)
    ]


def run(momentum: float, steps: int) -> list[torch.Tensor]:
    """Kernels after some steps on gradients that change."""
    some = [k.requires_grad_() for k in kernels()]
    optimizer = MuonOptimizer(some, 0.1, momentum, COEFFICIENTS, 3, torch.float32)
    for step in range(steps):
        for i, kernel in enumerate(some):
            kernel.grad = matrices(*kernel.shape, seed=100 * step + i).float()
        optimizer.step()
    return [kernel.detach() for kernel in some]


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_those_computed_by_hand(momentum: float, steps: int) -> None:
    for i, (start, found) in enumerate(zip(kernels(), run(momentum, steps), strict=True)):
        weight, velocity = start.flatten(1).double(), torch.zeros(len(start), start[0].numel())
        for step in range(steps):
            gradient = matrices(*start.shape, seed=100 * step + i).flatten(1)
            velocity = momentum * velocity + gradient
            weight = weight / weight.norm() * len(start) ** 0.5
            weight = weight - 0.1 * by_svd(gradient + momentum * velocity, 3)
        assert torch.allclose(found.flatten(1).double(), weight, atol=1e-4)


def test_its_state_goes_on_from_where_it_was_saved() -> None:
    some = [k.requires_grad_() for k in kernels()]
    first = MuonOptimizer(some, 0.1, 0.6, COEFFICIENTS, 3, torch.float32)
    for i, kernel in enumerate(some):
        kernel.grad = matrices(*kernel.shape, seed=i).float()
    first.step()
    second = MuonOptimizer(some, 0.1, 0.6, COEFFICIENTS, 3, torch.float32)
    second.load_state_dict(first.state_dict())
    for i, kernel in enumerate(some):
        kernel.grad = matrices(*kernel.shape, seed=100 + i).float()
    second.step()
    for found, expected in zip(some, run(0.6, 2), strict=True):
        assert torch.equal(found, expected)


def test_a_kernel_without_a_gradient_stays() -> None:
    one, two = (k.requires_grad_() for k in kernels()[:2])
    optimizer = MuonOptimizer([one, two], 0.1, 0.6, COEFFICIENTS, 3, torch.float32)
    before = two.detach().clone()
    one.grad = torch.ones_like(one)
    optimizer.step()
    assert torch.equal(two, before)
