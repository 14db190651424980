"""Images at another size, for training at a low resolution first."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.errors import InputError
from cifarlab.lowering.model import LoweredModel
from cifarlab.recipes.recipe import Recipe


def resized(images: Tensor, size: int | tuple[int, int] | None) -> Tensor:
    """Bring images to a size, antialiased bilinear.

    Args:
        images: uint8 or float ``[B, C, H, W]``.
        size: one number for both sides, or height and width; ``None`` leaves them as they are.

    Returns:
        Of the same dtype, except that uint8 becomes float32 on a GPU.
    """
    target = (size, size) if isinstance(size, int) else size
    if target is None or images.shape[2:] == target:
        return images
    if images.device.type != "cpu" and not images.is_floating_point():
        images = images.float()
    return F.interpolate(images, target, mode="bilinear", antialias=True)


@torch.no_grad()
def check_resolutions(lowered: LoweredModel, recipe: Recipe, shape: tuple[int, int, int]) -> None:
    """Raise ``InputError`` unless the network takes images at every resolution of the recipe.

    Args:
        shape: height, width and channels of the images.
    """
    lowered.eval()
    image = torch.zeros(1, shape[2], *shape[:2], device=lowered.device)
    for size in dict.fromkeys(recipe.resolution):
        small = resized(image, size)
        try:
            lowered(small.permute(0, 2, 3, 1))
        except RuntimeError as error:
            height, width = small.shape[2:]
            raise InputError(
                f"recipe {recipe.name!r}: the network takes no images of {height}x{width}, one of "
                "its resolutions; use larger ones, or none"
            ) from error
