"""Decode one untrusted image to pixels; no other module decodes images.

Training, prediction, the server and the exports all use this module, so that an image gives
the same pixels everywhere.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cifarlab.data.image_format import ImageFormat, check_resize_mode
from cifarlab.errors import InputError, TooLargeError, UnsupportedFormatError, UsageError
from cifarlab.files import printable

# No TIFF: its decoder is the one with the longest record of memory faults.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
ACCEPTED = ", ".join(FORMATS)

# One decoded image of this size takes about 100 MB in Pillow.
MAX_PIXELS = 25_000_000
MAX_BYTES = 64 * 1024 * 1024
MAX_SIZE = 4096

# JPEG files with a second frame, such as a depth map, are no animations.
_NOT_ANIMATED = ("JPEG", "MPO")

# One number for both, or height and width.
Size = int | tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """One image and what was seen in it.

    Attributes:
        pixels: uint8 ``[H, W, C]``.
        grey: whether red, green and blue are the same everywhere.
        highest: the largest value of a 16-bit file, before scaling; ``None`` for other files.
    """

    pixels: np.ndarray[Any, Any]
    grey: bool
    highest: int | None = None


def decode_image(
    data: bytes,
    *,
    name: str,
    size: Size | None = 32,
    resize_mode: str = "squash",
    channels: int = 3,
    bits: int = 16,
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
        size: height and width of the result in pixels, one number for both or a pair, or
            ``None`` for the original size.
        resize_mode: ``"squash"`` stretches and loses nothing, ``"crop"`` cuts the largest part of
            the wanted shape out of the middle, ``"pad"`` adds black bars.
        channels: 3 for RGB, 1 for grey.
        bits: of the values in 16-bit files: a value of ``2 ** bits - 1`` is white.
        max_pixels: images with more are refused before they are decoded.

    Returns:
        uint8 ``[height, width, channels]``, 0 to 255.

    Raises:
        UnsupportedFormatError: not an image of an accepted format.
        TooLargeError: too many bytes or pixels.
        InputError: empty, damaged or truncated.
        UsageError: ``size`` or ``resize_mode`` is not a possible value.
    """
    return decode_details(
        data,
        name=name,
        size=size,
        resize_mode=resize_mode,
        channels=channels,
        bits=bits,
        max_pixels=max_pixels,
    ).pixels


def decode_details(
    data: bytes,
    *,
    name: str,
    size: Size | None = 32,
    resize_mode: str = "squash",
    channels: int = 3,
    bits: int = 16,
    max_pixels: int = MAX_PIXELS,
) -> DecodedImage:
    """Decode one image as ``decode_image`` does, and say what was seen in it."""
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
            highest = int(np.asarray(image).max()) if image.mode.startswith("I") else None
            rgb = _to_rgb(ImageOps.exif_transpose(image), bits)
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
    if size is not None:
        rgb = _resize(rgb, _pair(size), resize_mode)
    return _finished(rgb, channels, highest)


def _finished(rgb: Image.Image, channels: int, highest: int | None = None) -> DecodedImage:
    pixels = np.array(rgb)
    grey = bool((pixels == pixels[:, :, :1]).all())
    if channels == 1:
        pixels = pixels[:, :, :1] if grey else np.array(rgb.convert("L"))[:, :, None]
    return DecodedImage(pixels=pixels, grey=grey, highest=highest)


def read_image(
    path: str | os.PathLike[str],
    *,
    size: Size | None = 32,
    resize_mode: str = "squash",
    channels: int = 3,
    bits: int = 16,
) -> np.ndarray[Any, Any]:
    """Read a file and decode it as ``decode_image`` does.

    Raises:
        InputError: as ``decode_image``, or the file is missing or cannot be read.
        UsageError: as ``decode_image``.
    """
    data = read_bytes(path)
    return decode_image(
        data, name=str(path), size=size, resize_mode=resize_mode, channels=channels, bits=bits
    )


def decode_as(
    image_format: ImageFormat, data: bytes, *, name: str, max_pixels: int = MAX_PIXELS
) -> np.ndarray[Any, Any]:
    """Decode one image as ``decode_image`` does, to what a model takes: uint8 ``[H, W, C]``."""
    return decode_image(
        data,
        name=name,
        size=(image_format.height, image_format.width),
        resize_mode=image_format.resize_mode,
        channels=image_format.channels,
        bits=image_format.bits,
        max_pixels=max_pixels,
    )


def details_as(image_format: ImageFormat, data: bytes, *, name: str) -> DecodedImage:
    """Decode one image as ``decode_as`` does, and say what was seen in it."""
    return decode_details(
        data,
        name=name,
        size=(image_format.height, image_format.width),
        resize_mode=image_format.resize_mode,
        channels=image_format.channels,
        bits=image_format.bits,
    )


def resize_pixels(pixels: np.ndarray[Any, Any], image_format: ImageFormat) -> DecodedImage:
    """Bring pixels, uint8 ``[H, W]`` or ``[H, W, 1 or 3]``, to what a model takes."""
    grey = pixels.ndim == 2 or pixels.shape[2] == 1
    rgb = Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels).convert("RGB")
    size = image_format.height, image_format.width
    return _finished(_resize(rgb, size, image_format.resize_mode), image_format.channels)


def read_as(image_format: ImageFormat, path: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """Read a file and decode it to what a model takes: uint8 ``[H, W, C]``."""
    return decode_as(image_format, read_bytes(path), name=str(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of an image file, which is not decoded.

    Raises:
        InputError: it is missing, no ordinary file, or cannot be read.
    """
    shown = printable(str(path))
    try:
        if not Path(path).exists():
            raise InputError(f"{shown}: no such file; check the path")
        if not Path(path).is_file():
            raise InputError(f"{shown}: not a file; give the path of an image")
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{shown}: cannot be read ({reason}); check the file") from None


def check_options(size: Size | None, resize_mode: str) -> None:
    """Raise ``UsageError`` unless ``decode_image`` accepts these values."""
    check_resize_mode(resize_mode)
    if size is not None and not all(1 <= side <= MAX_SIZE for side in _pair(size)):
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


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _to_rgb(image: Image.Image, bits: int) -> Image.Image:
    if image.mode.startswith("I"):
        return _grey16_to_rgb(image, bits)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _grey16_to_rgb(image: Image.Image, bits: int) -> Image.Image:
    """Keep the upper 8 bits, as Pillow does for 16-bit colour; its ``convert`` would clip."""
    values = np.asarray(image)
    grey = (np.clip(values, 0, 2**bits - 1) >> (bits - 8)).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _resize(image: Image.Image, size: tuple[int, int], resize_mode: str) -> Image.Image:
    """Bring an image to ``size``, height and width."""
    width, height = image.size
    target = (size[1], size[0])
    if image.size == target:
        return image
    # The scale at which the image covers the target, and that at which it fits into it.
    cover, fit = sorted((target[0] / width, target[1] / height), reverse=True)
    if resize_mode == "crop":
        inner = (max(1, round(target[0] / cover)), max(1, round(target[1] / cover)))
        left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
        # Cropped before resizing: otherwise the filter would use pixels outside of the part.
        part = image.crop((left, top, left + inner[0], top + inner[1]))
        return part.resize(target, Image.Resampling.BICUBIC)
    if resize_mode == "pad":
        inner = (max(1, round(width * fit)), max(1, round(height * fit)))
        canvas = Image.new("RGB", target, "black")
        corner = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
        canvas.paste(image.resize(inner, Image.Resampling.BICUBIC), corner)
        return canvas
    return image.resize(target, Image.Resampling.BICUBIC)


@dataclass(frozen=True, kw_only=True)
class Header:
    height: int
    width: int


def probe(stored: Path | bytes) -> Header:
    """stand-in"""
    data = read_bytes(stored) if isinstance(stored, Path) else stored
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return Header(height=image.size[1], width=image.size[0])
    except Exception:
        raise InputError("x") from None
