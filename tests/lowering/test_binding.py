"""Converting between Keras's layout and the torch layout keeps every value."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.lowering.binding import (
    AS_IS,
    CONVOLUTION,
    DENSE,
    Layout,
    depthwise,
    to_keras_layout,
    to_torch_layout,
)

side = st.integers(1, 4)


def numbered(*shape: int) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


@given(st.lists(side, min_size=1, max_size=5))
def test_activations_survive_both_conversions(shape: list[int]) -> None:
    x = numbered(*shape)
    assert torch.equal(to_keras_layout(to_torch_layout(x)), x)
    assert torch.equal(to_torch_layout(to_keras_layout(x)), x)


def test_only_images_are_transposed() -> None:
    assert to_torch_layout(numbered(2, 3, 4, 5)).shape == (2, 5, 3, 4)
    assert to_keras_layout(numbered(2, 5, 3, 4)).shape == (2, 3, 4, 5)
    assert to_torch_layout(numbered(2, 3, 4)).shape == (2, 3, 4)


@given(side, side, side, side)
def test_weights_survive_both_conversions(a: int, b: int, c: int, d: int) -> None:
    pairs: list[tuple[Layout, torch.Tensor]] = [
        (AS_IS, numbered(a)),
        (DENSE, numbered(a, b)),
        (CONVOLUTION, numbered(a, b, c, d)),
        (depthwise(d), numbered(a, b, c, d)),
    ]
    for layout, weight in pairs:
        assert torch.equal(layout.to_keras(layout.to_torch(weight)), weight)


@pytest.mark.parametrize(
    ("layout", "keras_shape", "torch_shape"),
    [
        (DENSE, (3, 4), (4, 3)),
        (CONVOLUTION, (5, 6, 3, 4), (4, 3, 5, 6)),
        (depthwise(4), (5, 6, 3, 4), (12, 1, 5, 6)),
    ],
)
def test_shapes_are_those_of_pytorch(
    layout: Layout, keras_shape: tuple[int, ...], torch_shape: tuple[int, ...]
) -> None:
    assert layout.to_torch(numbered(*keras_shape)).shape == torch_shape


def test_a_depthwise_channel_keeps_its_multiplied_kernels_together() -> None:
    weight = numbered(2, 2, 3, 2)
    grouped = depthwise(2).to_torch(weight)
    for channel in range(3):
        for which in range(2):
            assert torch.equal(grouped[2 * channel + which, 0], weight[:, :, channel, which])
