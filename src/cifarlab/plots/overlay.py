"""Saliency drawn over an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from cifarlab.data.channels import as_rgb
from cifarlab.errors import InputError

Array = np.ndarray[Any, Any]
# Opacity of the strongest saliency, and brightness of the image where there is none.
HEAT, DIMMED = 0.65, 0.75


def overlay(image: Array, saliency: Array, size: int = 96) -> Array:
    """Draw saliency over an image: the more a pixel matters, the brighter and yellower it is.

    Args:
        image: uint8 ``[H, W, C]``, 0 to 255, C is 3 or 1.
        saliency: float ``[h, w]``, 0 to 1.
        size: the longer side of the result in pixels.

    Returns:
        uint8, RGB, in the image's proportions: the image enlarged without smoothing, a little
        darker where nothing matters. The colours are matplotlib's "inferno", whose lightness rises
        with the value, also for colour-blind people.

    Raises:
        InputError: other dtypes or shapes, a saliency beyond 0 to 1, or a size below 1.
    """
    from matplotlib import colormaps
    from PIL import Image

    if (
        image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] not in (1, 3)
        or saliency.ndim != 2
    ):
        raise InputError(
            f"image {image.dtype} {list(image.shape)} with saliency {list(saliency.shape)}: "
            "they must be uint8 [height, width, 1 or 3] and [height, width]"
        )
    if size < 1 or not (saliency.min() >= 0 and saliency.max() <= 1):
        raise InputError(
            f"size {size} with saliency from {saliency.min()} to {saliency.max()}: "
            "the size must be 1 or more and the saliency within 0 to 1; divide it by its maximum"
        )
    height, width = (max(1, round(size * side / max(image.shape[:2]))) for side in image.shape[:2])
    large = Image.fromarray(as_rgb(image)).resize((width, height), Image.Resampling.NEAREST)
    smooth = Image.fromarray(saliency.astype(np.float32))
    heat = np.asarray(smooth.resize((width, height), Image.Resampling.BILINEAR)).clip(0, 1)
    colours = np.asarray(colormaps["inferno"](heat))[..., :3] * 255
    hidden = (HEAT * heat)[..., None]
    dimmed = np.asarray(large) * DIMMED
    return np.asarray(((1 - hidden) * dimmed + hidden * colours).round(), dtype=np.uint8)
