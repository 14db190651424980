"""How an image becomes the input of a model, in words that another program can be written from."""

from __future__ import annotations

from typing import Any

from cifarlab.data.image_format import ImageFormat

COLOURS = {1: "grey", 3: "RGB"}


def preparation(image_format: ImageFormat) -> dict[str, Any]:
    """Return what is said of the input in every exported file, as plain JSON values.

    Example:
        >>> preparation(ImageFormat(height=32, width=64))["pixels"]
        'uint8, RGB, 0 to 255; 32 high, 64 wide'
    """
    height, width = image_format.height, image_format.width
    return {
        "input_shape": list(image_format.shape),
        "pixels": f"uint8, {COLOURS[image_format.channels]}, 0 to 255; {height} high, {width} wide",
        "resize_mode": image_format.resize_mode,
        "bits": image_format.bits,
        "resize": " ".join(_sentences(image_format)),
    }


def _sentences(image_format: ImageFormat) -> list[str]:
    size = f"{image_format.width} wide and {image_format.height} high"
    bits = image_format.bits
    steps = {
        "squash": f"Resize the whole image to {size}, whatever its proportions.",
        "crop": "Cut out of the middle the largest part that has the proportions of "
        f"{image_format.width} to {image_format.height}; resize it to {size}.",
        "pad": f"Resize the image, proportions kept, to the largest size that fits into {size}; "
        "put it in the middle of a black image of that size.",
    }
    grey = (
        " Then make it grey: (19595 R + 38470 G + 7471 B + 32768) >> 16."
        if image_format.channels == 1
        else ""
    )
    return [
        "Turn the image as its EXIF data says; make it 8-bit RGB, transparency on white; values "
        f"of 16-bit files are cut off at {2**bits - 1} and shifted right by {bits - 8} bits.",
        f"An image that is {size} stays as it is.",
        steps[image_format.resize_mode] + grey,
        "The filter is bicubic with a = -0.5, as wide as the reduction (antialiasing), along rows, "
        "then along columns, rounded to bytes after each: Pillow's BICUBIC.",
    ]
