"""Decode one untrusted image to pixels; no other module decodes images.

Training, prediction, the server and the exports all use this module, so that an image gives
the same pixels everywhere.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from cifarlab.data.image_format import ImageFormat, check_resize_mode
from cifarlab.data.images.colours import load_rgb
from cifarlab.data.images.failures import clear_errors
from cifarlab.data.images.kinds import ACCEPTED, FORMATS
from cifarlab.data.images.opening import MAX_BYTES, MAX_PIXELS, open_image
from cifarlab.errors import InputError, UsageError, warn_user
from cifarlab.files import printable

__all__ = [
    "ACCEPTED",
    "FORMATS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "DecodedImage",
    "Header",
    "check_options",
    "decode_as",
    "decode_details",
    "decode_image",
    "details_as",
    "probe",
    "read_as",
    "read_bytes",
    "read_image",
    "resize_pixels",
]

MAX_SIZE = 4096

# One number for both, or height and width.
Size = int | tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """One image and what was seen in it.

    Attributes:
        pixels: uint8 ``[H, W, C]``.
        grey: whether red, green and blue are the same everywhere.
        highest: the largest colour value, before scaling, of a file of 16-bit values that does
            not say how many of the bits are used; ``None`` for other files.
    """

    pixels: np.ndarray[Any, Any]
    grey: bool
    highest: int | None = None


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is known of an image before it is decoded.

    Attributes:
        height, width: in pixels, after the EXIF orientation is applied.
        grey: whether grey values are stored; colour files, too, may hold a grey image.
    """

    height: int
    width: int
    grey: bool


def decode_image(
    data: bytes,
    *,
    name: str,
    size: Size | None = 32,
    resize_mode: str = "squash",
    channels: int = 3,
    bits: int = 16,
    max_pixels: int | None = None,
) -> np.ndarray[Any, Any]:
    """Decode one image.

    PNG, JPEG, WEBP, GIF, BMP, AVIF, TIFF, PPM, PGM and JPEG 2000 are accepted, and HEIC with
    the extra ``heic``; the content decides, not the file's name. The steps, in this order:

    1. Of an animation or of several pages the first one is used, with a warning.
    2. The EXIF orientation is applied.
    3. The colours become 8-bit RGB. Grey is repeated three times; 16-bit values keep
       the upper 8 of their ``bits``; palettes are resolved; transparent pixels are put on
       white; CMYK is converted by Pillow's plain formula. Colour profiles are not applied.
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
        channels: 3 for RGB, 1 for grey: Pillow's luminance of the resized RGB.
        bits: of the values in 16-bit files that do not say it themselves: a value of
            ``2 ** bits - 1`` is white.
        max_pixels: images with more are refused before they are decoded. ``None`` for what fits
            into memory: 25 million pixels, and in JPEG files up to 200 million, of which more
            than 25 million are decoded at a half, a quarter or an eighth of their size.

    Returns:
        uint8 ``[height, width, channels]``, 0 to 255.

    Raises:
        UnsupportedFormatError: not an image of an accepted format, an extra for it is missing,
            or its values have no agreed range.
        TooLargeError: too many bytes, pixels or tags.
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
    max_pixels: int | None = None,
) -> DecodedImage:
    """Decode one image as ``decode_image`` does, and say what was seen in it."""
    check_options(size, resize_mode)
    shown = printable(name)
    wanted = None if size is None else _pair(size)
    with clear_errors(data, shown, MAX_PIXELS if max_pixels is None else max_pixels):
        opened = open_image(data, shown, max_pixels)
        opened.check_size(wanted)
        rgb, highest = load_rgb(opened.image, opened.open_again, shown, bits)
        opened.check_is_whole(rgb)
        rgb = opened.turned(rgb)
    if opened.several:
        warn_user(f"{shown}: {opened.several}")
    if wanted is not None:
        rgb = _resize(rgb, wanted, resize_mode)
    return _finished(rgb, channels, highest)


def _finished(rgb: Image.Image, channels: int, highest: int | None = None) -> DecodedImage:
    pixels = np.array(rgb)
    grey = bool((pixels == pixels[:, :, :1]).all())
    if channels == 1:
        pixels = pixels[:, :, :1] if grey else np.array(rgb.convert("L"))[:, :, None]
    return DecodedImage(pixels=pixels, grey=grey, highest=highest)


def resize_pixels(pixels: np.ndarray[Any, Any], image_format: ImageFormat) -> DecodedImage:
    """Bring pixels, uint8 ``[H, W]`` or ``[H, W, 1 or 3]``, to what a model takes."""
    single = pixels.ndim == 2 or pixels.shape[2] == 1
    rgb = Image.fromarray(pixels.reshape(pixels.shape[:2]) if single else pixels).convert("RGB")
    size = image_format.height, image_format.width
    return _finished(_resize(rgb, size, image_format.resize_mode), image_format.channels)


def probe(stored: Path | bytes, *, name: str = "image") -> Header:
    """Read the header of an image, without decoding it.

    Args:
        stored: the path of a file, or its content.
        name: what messages call content; a file is called by its path.

    Raises:
        InputError: as ``decode_image``, as far as the header shows it.

    Example:
        >>> probe(b"P5 28 14 255 ...")
        Header(height=14, width=28, grey=True)
    """
    if isinstance(stored, Path):
        stored, name = read_bytes(stored), str(stored)
    shown = printable(name)
    with clear_errors(stored, shown, MAX_PIXELS):
        opened = open_image(stored, shown, None)
    height, width = opened.upright
    return Header(height=height, width=width, grey=opened.grey)


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


def details_as(
    image_format: ImageFormat, data: bytes, *, name: str, max_pixels: int | None = None
) -> DecodedImage:
    """Decode one image as ``decode_as`` does, and say what was seen in it."""
    return decode_details(
        data,
        name=name,
        size=(image_format.height, image_format.width),
        resize_mode=image_format.resize_mode,
        channels=image_format.channels,
        bits=image_format.bits,
        max_pixels=max_pixels,
    )


def decode_as(
    image_format: ImageFormat, data: bytes, *, name: str, max_pixels: int | None = None
) -> np.ndarray[Any, Any]:
    """Decode one image as ``decode_image`` does, to what a model takes: uint8 ``[H, W, C]``."""
    return details_as(image_format, data, name=name, max_pixels=max_pixels).pixels


def read_as(image_format: ImageFormat, path: str | os.PathLike[str]) -> np.ndarray[Any, Any]:
    """Read a file and decode it to what a model takes: uint8 ``[H, W, C]``."""
    return decode_as(image_format, read_bytes(path), name=str(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of an image file, which is not decoded.

    Anything but an ordinary file is not opened: reading a pipe or a device may never end.

    Raises:
        InputError: it is missing, no ordinary file, or cannot be read.
    """
    shown = printable(str(path))
    try:
        kind = Path(path).stat().st_mode
        if stat.S_ISDIR(kind):
            raise InputError(f"{shown}: not a file but a folder; give the path of an image")
        if not stat.S_ISREG(kind):
            raise InputError(
                f"{shown}: not a file but a pipe, device or socket; give the path of an image"
            )
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{shown}: no such file; check the path") from None
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


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


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
