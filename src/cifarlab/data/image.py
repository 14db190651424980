"""Decode one untrusted image to pixels; no other module decodes images.

Training, prediction, the server and the exports all use this module, so that an image gives
the same pixels everywhere.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cifarlab.errors import InputError, TooLargeError, UnsupportedFormatError, UsageError
from cifarlab.files import printable

# No TIFF: its decoder is the one with the longest record of memory faults.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
ACCEPTED = ", ".join(FORMATS)

# One decoded image of this size takes about 100 MB in Pillow.
MAX_PIXELS = 25_000_000
MAX_BYTES = 64 * 1024 * 1024
MAX_SIZE = 4096

ResizeMode = Literal["squash", "crop", "pad"]
RESIZE_MODES: tuple[str, ...] = get_args(ResizeMode)

# JPEG files with a second frame, such as a depth map, are no animations.
_NOT_ANIMATED = ("JPEG", "MPO")


def decode_image(
    data: bytes,
    *,
    name: str,
    size: int | None = 32,
    resize_mode: str = "squash",
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray[Any, Any]:
    """Decode one image.

    PNG, JPEG, WEBP, GIF and BMP are accepted; the content decides, not the file's name.
    The steps, in this order:

    1. Of an animation the first frame is used, with a warning.
    2. The EXIF orientation is applied.
    3. The colours become 8-bit RGB. Grey is repeated three times; 16-bit values keep
       their upper 8 bits; palettes are resolved; transparent pixels are put on white;
       CMYK is converted by Pillow's plain formula. Colour profiles are not applied.
    4. The image becomes ``size`` by ``size`` with Pillow's bicubic filter, which widens
       with the reduction and so does not alias (Parmar et al., "On Aliased Resizing and
       Surprising Subtleties in GAN Evaluation", 2022), and which rings less than Lanczos
       at hard edges. An image that already has the size keeps its pixels.

    Args:
        data: the content of the file.
        name: the name of the image in messages.
        size: height and width of the result in pixels, or ``None`` for the original size.
        resize_mode: ``"squash"`` stretches to a square and loses nothing, ``"crop"`` cuts
            the largest square out of the middle, ``"pad"`` adds black bars.
        max_pixels: images with more are refused before they are decoded.

    Returns:
        uint8 ``[size, size, 3]``, RGB, 0 to 255.

    Raises:
        UnsupportedFormatError: not an image of an accepted format.
        TooLargeError: too many bytes or pixels.
        InputError: empty, damaged or truncated.
        UsageError: ``size`` or ``resize_mode`` is not a possible value.
    """
    check_options(size, resize_mode)
    shown = printable(name)
    if not data:
        raise InputError(f"{shown}: the file is empty (0 bytes); give an image ({ACCEPTED})")
    if len(data) > MAX_BYTES:
        raise _too_many_bytes(shown, len(data))
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_many_pixels(shown, f"{width} x {height} pixels", max_pixels)
            animated = image.format not in _NOT_ANIMATED and getattr(image, "n_frames", 1) > 1
            image.load()
            rgb = _to_rgb(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(shown, "far too many pixels", max_pixels) from None
    except UnidentifiedImageError:
        raise UnsupportedFormatError(
            f"{shown}: not an image that can be read; accepted formats are {ACCEPTED}; convert it"
        ) from None
    # Damaged files make Pillow's decoders raise nearly every built-in exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{shown}: damaged or truncated image ({reason}); replace the file"
        ) from None
    if animated:
        warnings.warn(f"{shown}: animated; only its first frame is used", stacklevel=2)
    return np.array(rgb if size is None else _resize(rgb, size, resize_mode))


def read_image(
    path: str | os.PathLike[str], *, size: int | None = 32, resize_mode: str = "squash"
) -> np.ndarray[Any, Any]:
    """Read a file and decode it as ``decode_image`` does.

    Raises:
        InputError: as ``decode_image``, or the file is missing or cannot be read.
        UsageError: as ``decode_image``.
    """
    shown = printable(str(path))
    try:
        if not Path(path).exists():
            raise InputError(f"{shown}: no such file; check the path")
        if not Path(path).is_file():
            raise InputError(f"{shown}: not a file; give the path of an image")
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{shown}: cannot be read ({reason}); check the file") from None
    return decode_image(data, name=str(path), size=size, resize_mode=resize_mode)


def check_options(size: int | None, resize_mode: str) -> None:
    """Raise ``UsageError`` unless ``decode_image`` accepts these values."""
    if resize_mode not in RESIZE_MODES:
        raise UsageError(f"resize mode {resize_mode!r}: choose one of {', '.join(RESIZE_MODES)}")
    if size is not None and not 1 <= size <= MAX_SIZE:
        raise UsageError(f"image size {size}: it must lie between 1 and {MAX_SIZE}")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise UsageError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on, which fills damaged images with grey; "
            "set it to False"
        )


def _too_many_bytes(shown: str, count: int) -> TooLargeError:
    return TooLargeError(
        f"{shown}: {count:,} bytes or more; at most {MAX_BYTES:,} are read; shrink it"
    )


def _too_many_pixels(shown: str, size: str, most: int) -> TooLargeError:
    return TooLargeError(f"{shown}: {size}; at most {most:,} are decoded; shrink it")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return _grey16_to_rgb(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image) -> Image.Image:
    """Keep the upper 8 bits, as Pillow does for 16-bit colour; its ``convert`` would clip."""
    values = np.asarray(image)
    grey = (np.clip(values, 0, 65535) >> 8).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _resize(image: Image.Image, size: int, resize_mode: str) -> Image.Image:
    width, height = image.size
    target = (size, size)
    if image.size == target:
        return image
    if resize_mode == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        # Cropped before resizing: otherwise the filter would use pixels outside of the square.
        square = image.crop((left, top, left + side, top + side))
        return square.resize(target, Image.Resampling.BICUBIC)
    if resize_mode == "pad":
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = Image.new("RGB", target, "black")
        corner = ((size - inner[0]) // 2, (size - inner[1]) // 2)
        canvas.paste(image.resize(inner, Image.Resampling.BICUBIC), corner)
        return canvas
    return image.resize(target, Image.Resampling.BICUBIC)
