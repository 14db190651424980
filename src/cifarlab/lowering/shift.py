"""Images moved by whole pixels: for looks at test time and for augmentation."""

from __future__ import annotations

import torch
from torch import Tensor


def shifted(images: Tensor, steps: Tensor) -> Tensor:
    """Return each image moved up by ``steps[0]`` and left by ``steps[1]``, border reflected.

    Args:
        images: any dtype, ``[B, C, H, W]``.
        steps: int64 ``[2, B]``, smaller than the sides in size.
    """
    count, _, height, width = images.shape
    rows = _reflected(steps[0], height).unsqueeze(2)
    columns = _reflected(steps[1], width).unsqueeze(1)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    return images.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)


def _reflected(shifts: Tensor, extent: int) -> Tensor:
    """Where each of ``extent`` places, shifted, comes from: int64 ``[B, extent]``."""
    places = shifts.view(-1, 1) + torch.arange(extent, device=shifts.device)
    last = extent - 1
    return last - (last - places.abs()).abs()
