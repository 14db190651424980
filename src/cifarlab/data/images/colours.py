"""Bring an opened image, of whatever depth and colours, to 8-bit RGB."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from PIL import Image

from cifarlab.errors import UnsupportedFormatError

Open = Callable[[], Image.Image]

# Pillow unpacks 16-bit colour to its upper bytes. Read in the other byte order, the same data
# give the lower ones. "N" is the order of this machine.
_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if _NATIVE == "L" else "L"}

_PHOTOMETRIC, _BITS_PER_SAMPLE = 262, 258


def load_rgb(
    image: Image.Image, open_again: Open, name: str, bits: int
) -> tuple[Image.Image, int | None]:
    """Decode an image to mode RGB.

    Args:
        image: opened, not decoded yet.
        open_again: opens the same image once more.
        name: of the image, fit for messages.
        bits: of 16-bit values whose depth the file does not say.

    Returns:
        The image, and the largest of such values, ``None`` where there are none.

    Raises:
        UnsupportedFormatError: values that have no agreed range.
    """
    white = _declared_white(image)
    if image.mode == "F":
        raise UnsupportedFormatError(
            f"{name}: floating-point values, which have no agreed white; save it with 8 or 16 bits"
        )
    if image.mode.startswith("I"):
        values = _grey_values(image, name)
    elif ";16" in _raw_mode(image):
        values = _colour_values(image, open_again, name)
    else:
        image.load()
        if white is not None:
            image = image.point([_scale_one(value, white) for value in range(256)] * _bands(image))
        return _to_rgb(image), None
    colours = values[..., :-1] if values.shape[-1] in (2, 4) and image.mode != "CMYK" else values
    highest = int(colours.max()) if white is None else None
    scaled = _scale(values, 2**bits - 1 if white is None else white)
    if colours is not values and white is None and values[..., -1].max() >= 2**bits:
        # The depth of the colours is not that of the transparency.
        scaled[..., -1] = values[..., -1] >> 8
    if image.format == "TIFF" and image.mode != "CMYK" and _tag(image, _PHOTOMETRIC) == 0:
        # Black and white the other way round, which Pillow heeds in 8 bits only.
        scaled = 255 - scaled
    return _to_rgb(_from_bands(scaled, values, image)), highest


def _declared_white(image: Image.Image) -> int | None:
    """Return the value of white where the file says one that Pillow would not heed."""
    if image.format == "PPM":
        return _unscaled_ppm(image)
    if image.format == "JPEG2000" and image.mode == "I;16":
        # The decoder scales values of fewer than 16 bits by the depth that the file says,
        # which makes all of them even.
        image.load()
        return None if (np.asarray(image) & 1).any() else 65535
    if image.format == "TIFF" and _tag(image, _BITS_PER_SAMPLE) == 12:
        return 4095
    return None


def _unscaled_ppm(image: Image.Image) -> int | None:
    """Let Pillow read a binary PPM as it is, in C, and return its white where that matters.

    Pillow itself scales such a file in Python, a byte at a time.
    """
    (tile,) = image.tile  # type: ignore[attr-defined]
    if tile.codec_name == "ppm_plain":
        highest = tile.args[-1] if isinstance(tile.args, tuple) else 1
        return None if highest in (1, 255, 65535) or image.mode != "I" else 65535
    if tile.codec_name != "ppm":
        return None
    raw_mode, highest = tile.args
    if highest > 255:
        raw_mode = "I;16B" if image.mode == "I" else f"{raw_mode};16B"
    image.tile = [tile._replace(codec_name="raw", args=(raw_mode, 0, 1))]  # type: ignore[attr-defined]
    return None if highest == 65535 else int(highest)


def _grey_values(image: Image.Image, name: str) -> np.ndarray[Any, Any]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnsupportedFormatError(
            f"{name}: values from {values.min()} to {values.max()}, which have no agreed white; "
            "save it with 8 or 16 bits without a sign"
        )
    return values.astype(np.uint16)[..., None]


def _colour_values(image: Image.Image, open_again: Open, name: str) -> np.ndarray[Any, Any]:
    raw_mode = _raw_mode(image)
    if raw_mode.startswith("RGBa"):
        raise UnsupportedFormatError(
            f"{name}: 16-bit colours that are multiplied by their transparency; "
            "save it without transparency"
        )
    if raw_mode.startswith("LA"):
        # Four bytes a pixel: the upper and the lower one of each value.
        _set_raw_mode(image, "RGBA")
        pairs = np.ascontiguousarray(np.asarray(image)).view(">u2")
        return np.asarray(pairs, dtype=np.uint16)
    lower = open_again()
    _declared_white(lower)
    _set_raw_mode(lower, raw_mode[:-1] + _OTHER_ORDER[raw_mode[-1]])
    upper = np.asarray(image).astype(np.uint16)
    return np.asarray(upper << 8 | np.asarray(lower), dtype=np.uint16)


def _raw_mode(image: Image.Image) -> str:
    """Return how the file's bytes are laid out, by Pillow's name for it."""
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _set_raw_mode(image: Image.Image, raw_mode: str) -> None:
    image.tile = [  # type: ignore[attr-defined]
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile  # type: ignore[attr-defined]
    ]


def _scale(values: np.ndarray[Any, Any], white: int) -> np.ndarray[Any, Any]:
    """Bring values from 0 to ``white`` to 0 to 255."""
    clipped = np.minimum(values, white)
    bits = white.bit_length()
    if white == 2**bits - 1 and bits >= 8:
        # The upper 8 bits, as Pillow takes them of 16-bit colour.
        return np.asarray(clipped >> (bits - 8), dtype=np.uint8)
    return np.asarray((clipped.astype(np.uint32) * 510 + white) // (2 * white), dtype=np.uint8)


def _scale_one(value: int, white: int) -> int:
    return (min(value, white) * 510 + white) // (2 * white)


def _from_bands(
    scaled: np.ndarray[Any, Any], values: np.ndarray[Any, Any], image: Image.Image
) -> Image.Image:
    """Return 8-bit bands as an image; the value that the file calls transparent becomes so."""
    bands = scaled.shape[-1]
    clear = image.info.get("transparency")
    if clear is not None and bands in (1, 3):
        opaque = ~(values == np.asarray(clear)).all(axis=-1, keepdims=True)
        scaled = np.concatenate([scaled, opaque.astype(np.uint8) * 255], axis=-1)
        bands += 1
    mode = "CMYK" if image.mode == "CMYK" else {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[bands]
    height, width = scaled.shape[:2]
    return Image.frombytes(mode, (width, height), scaled.tobytes())


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    to_srgb = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    # It is None only where the image itself is changed.
    return cast("Image.Image", ImageCms.applyTransform(image, to_srgb))


def _bands(image: Image.Image) -> int:
    return len(image.getbands())


def _tag(image: Image.Image, number: int) -> int | None:
    value = image.tag_v2.get(number)  # type: ignore[attr-defined]
    value = value[0] if isinstance(value, tuple) and value else value
    return value if isinstance(value, int) else None
