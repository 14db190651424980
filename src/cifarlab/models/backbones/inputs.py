"""What comes before a backbone: images of any size, in colour or grey, are made what it takes."""

from __future__ import annotations

from typing import Any

from cifarlab.backend import keras


def in_colour(x: Any) -> Any:
    """Return images ``[N, H, W, C]`` with 3 channels, equal ones where C is 1."""
    if x.shape[-1] == 3:
        return x
    return keras.layers.Concatenate(name="colour")([x, x, x])


def of_size(x: Any, size: tuple[int, int] | None) -> Any:
    """Return images ``[N, H, W, C]`` of a height and width; ``None`` leaves them as they are."""
    if size is None or tuple(x.shape[1:3]) == tuple(size):
        return x
    return keras.layers.Resizing(*size, name="resizing")(x)


def enlarged(height: int, width: int, side: int, smallest: int) -> tuple[int, int] | None:
    """Return the size that images are enlarged to, or ``None`` for those that are large enough.

    Networks that were trained on photographs see little in images of 32x32.

    Args:
        height, width: of the images, in pixels.
        side: the longer side of enlarged images.
        smallest: images with a longer side of at least this stay as they are.

    Example:
        >>> enlarged(32, 64, side=224, smallest=96), enlarged(128, 128, side=224, smallest=96)
        ((112, 224), None)
    """
    longer = max(height, width)
    if longer >= smallest:
        return None
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))
