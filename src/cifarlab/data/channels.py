"""Grey images as colour images, for what shows or compares images in RGB."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_rgb(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return images with three channels, not to be written to: grey is repeated without a copy.

    Args:
        images: any dtype, one or several, ``[..., H, W, C]`` with C 1 or 3.

    Example:
        >>> as_rgb(np.zeros((28, 28, 1), np.uint8)).shape
        (28, 28, 3)
    """
    if images.shape[-1] == 3:
        return images
    return np.broadcast_to(images, (*images.shape[:-1], 3))
