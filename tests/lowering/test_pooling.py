"""Max-pooling by 2 trains as PyTorch's own does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from cifarlab.backend import keras
from cifarlab.lowering.pooling import MaxPooling


@pytest.fixture(scope="module")
def pool() -> MaxPooling:
    return MaxPooling(keras.layers.MaxPooling2D())


def with_gradient(pool: object, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    pooled = pool(x)  # type: ignore[operator]
    (gradient,) = torch.autograd.grad((pooled * weights).sum(), x)
    return pooled.detach(), gradient


@given(
    shape=st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(2, 9)] * 2),
    precision=st.sampled_from([torch.float32, torch.bfloat16]),
    channels_last=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_pytorchs(
    pool: MaxPooling,
    shape: tuple[int, int, int, int],
    precision: torch.dtype,
    channels_last: bool,
    seed: int,
) -> None:
    draws = torch.Generator().manual_seed(seed)
    # No value twice in an image's channel, even in bfloat16.
    ranks = torch.rand(*shape[:2], shape[2] * shape[3], generator=draws).argsort(-1)
    x = ranks.reshape(shape).to(precision)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    weights = torch.randn(shape[0], shape[1], shape[2] // 2, shape[3] // 2, generator=draws)
    weights = weights.to(precision)
    ours = with_gradient(pool, x, weights)
    native = with_gradient(lambda x: F.max_pool2d(x, 2), x, weights)
    assert all(torch.equal(a, b) for a, b in zip(ours, native, strict=True))
    assert ours[1].stride() == x.stride()


@given(seed=st.integers(0, 1000), values=st.integers(1, 3))
def test_of_equal_values_one_gets_the_whole_gradient(
    pool: MaxPooling, seed: int, values: int
) -> None:
    draws = torch.Generator().manual_seed(seed)
    x = torch.randint(values, (2, 3, 6, 4), generator=draws).float()
    pooled, gradient = with_gradient(pool, x, torch.ones(2, 3, 3, 2))
    windows = gradient.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert (windows.sort(-1).values == torch.tensor([0.0, 0.0, 0.0, 1.0])).all()
    largest = pooled.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert (x[gradient > 0] == largest[gradient > 0]).all()


def test_nan_stays_nan(pool: MaxPooling) -> None:
    x = torch.zeros(1, 1, 2, 4)
    x[0, 0, 1, 0] = torch.nan
    pooled = pool(x.requires_grad_())
    assert pooled.isnan().flatten().tolist() == [True, False]
