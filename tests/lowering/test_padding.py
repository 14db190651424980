"""``same`` padding gives ``ceil(extent / stride)`` windows, the extra pixel after the image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.lowering.padding import same_padding

small = st.integers(1, 4)
pair = st.tuples(small, small)


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), pair, pair, pair)
def test_the_number_of_windows(
    extent: tuple[int, int],
    size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    x = torch.ones(1, 1, *extent)
    padded, padding = same_padding(x, size, stride, dilation, "constant")
    y = F.conv2d(padded, torch.ones(1, 1, *size), None, stride, padding, dilation)
    assert y.shape[2:] == tuple(math.ceil(e / s) for e, s in zip(extent, stride, strict=True))


@given(st.integers(1, 9), small, small)
def test_nothing_is_padded_that_no_window_needs(extent: int, size: int, stride: int) -> None:
    padded, padding = same_padding(
        torch.ones(1, 1, extent, extent), (size, size), (stride, stride), (1, 1), "constant"
    )
    total = padded.shape[2] + 2 * padding[0] - extent
    assert total == max(0, (math.ceil(extent / stride) - 1) * stride + size - extent)


def test_the_odd_pixel_goes_to_the_bottom_and_the_right() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    padded, padding = same_padding(x, (2, 2), (1, 1), (1, 1), "constant")
    assert padding == (0, 0)
    assert padded[0, 0].tolist() == [[1, 2, 0], [3, 4, 0], [0, 0, 0]]
    padded, _ = same_padding(x, (2, 2), (1, 1), (1, 1), "replicate")
    assert padded[0, 0].tolist() == [[1, 2, 2], [3, 4, 4], [3, 4, 4]]


def test_even_padding_is_left_to_the_operation() -> None:
    x = torch.ones(1, 1, 5, 5)
    padded, padding = same_padding(x, (3, 5), (1, 1), (1, 1), "constant")
    assert padded is x
    assert padding == (1, 2)
