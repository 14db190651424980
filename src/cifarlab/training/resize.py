"""Images at another size, for training at a low resolution first."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def resized(images: Tensor, side: int | None) -> Tensor:
    """Bring square images to ``side`` by ``side``, antialiased bilinear.

    Args:
        images: uint8 or float ``[B, C, H, W]``.
        side: ``None`` leaves them as they are.

    Returns:
        Of the same dtype, except that uint8 becomes float32 on a GPU.
    """
    if side is None or images.shape[2:] == (side, side):
        return images
    if images.device.type != "cpu" and not images.is_floating_point():
        images = images.float()
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)
