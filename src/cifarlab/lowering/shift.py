"""Shift images by whole pixels, for augmentation in training and at test time."""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(images: Tensor, steps: Tensor) -> Tensor:
    """Return each image shifted up by ``steps[0]`` and left by ``steps[1]``, border reflected.

    Args:
        images: any dtype, ``[B, C, H, W]``.
        steps: int64 ``[2, B]``, of smaller absolute value than the sides.
    """
    count, _, height, width = images.shape
    rows = _reflected(steps[0], height).unsqueeze(2)
    columns = _reflected(steps[1], width).unsqueeze(1)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    return images.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)


def _reflected(shifts: Tensor, extent: int) -> Tensor:
    """Return the source index of each of ``extent`` positions, int64 ``[B, extent]``."""
    positions = shifts.view(-1, 1) + torch.arange(extent, device=shifts.device)
    last = extent - 1
    return last - (last - positions.abs()).abs()
