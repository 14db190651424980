"""Keras's ``same`` padding, which may be larger on one side than on the other."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def same_padding(
    x: Tensor, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int], mode: str
) -> tuple[Tensor, tuple[int, int]]:
    """Pad ``x`` ``[N, C, H, W]`` so that a window of ``size`` gives ``ceil(extent / stride)``.

    Args:
        x: float ``[N, C, H, W]``.
        size: height and width of the window.
        stride: its steps, vertical and horizontal.
        dilation: its spacing, vertical and horizontal.
        mode: ``"constant"`` (zeros) or ``"replicate"``, for uneven padding only.

    Returns:
        The image, and the even padding that remains for the operation itself: PyTorch's
        operations pad both sides equally, so uneven padding is applied here.
    """
    vertical, horizontal = (
        _sides(x.shape[2 + i], size[i], stride[i], dilation[i]) for i in range(2)
    )
    if vertical[0] == vertical[1] and horizontal[0] == horizontal[1]:
        return x, (vertical[0], horizontal[0])
    return F.pad(x, (*horizontal, *vertical), mode=mode), (0, 0)


def _sides(extent: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = (size - 1) * dilation + 1
    outputs = -(-extent // stride)
    total = max(0, (outputs - 1) * stride + reach - extent)
    return total // 2, total - total // 2
