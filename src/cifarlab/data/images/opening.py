"""Open one untrusted image without decoding it, and refuse what must not be decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin

from cifarlab.data.images import avif as image_avif
from cifarlab.data.images import jpeg as image_jpeg
from cifarlab.data.images import jpeg2000 as image_jpeg2000
from cifarlab.data.images import tiff as image_tiff
from cifarlab.data.images.kinds import ACCEPTED, describe, format_of
from cifarlab.errors import (
    InputError,
    TooLargeError,
    UnsupportedFormatError,
    UsageError,
)
from cifarlab.runtime.extras import require_extra

MAX_BYTES = 64 * 1024 * 1024
# One decoded image of this size takes about 100 MB in Pillow.
MAX_PIXELS = 25_000_000
MAX_JPEG_PIXELS = 200_000_000
# With the reduced image this stays below what an image of ``MAX_PIXELS`` takes.
MAX_COEFFICIENT_BYTES = 190_000_000
_REDUCTIONS = (2, 4, 8)

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)
_EXIF_IN_PNG = (b"eXIf", b"Raw profile type exif", b"tiff:Orientation")
_RAW_EXIF = "Raw profile type exif"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An image whose header was read and found acceptable.

    Attributes:
        name: fit for messages.
        data: the file, with an end marker where a JPEG lacks it.
        image: not decoded yet, set to be reduced where it must be.
        format: one of ``image_kinds.FORMATS``.
        width, height: in pixels, as Pillow decodes it in full.
        grey: whether grey values are stored.
        orientation: that of EXIF, 1 to 8, still to be applied.
        several: what to say of a file of several images, or ``None``.
        jpeg: the structure of a JPEG file, where it could be read.
        reduction: by how much the sides must be reduced while decoding: 1, 2, 4 or 8.
    """

    name: str
    data: bytes
    image: Image.Image
    format: str
    width: int
    height: int
    grey: bool
    orientation: int
    several: str | None
    jpeg: image_jpeg.Jpeg | None
    reduction: int

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width after the orientation is applied."""
        sides = self.height, self.width
        return sides[::-1] if self.orientation in _SIDEWAYS else sides

    def open_again(self) -> Image.Image:
        """Return the image anew, as ``image`` was."""
        return self._open(self.data)

    def reduce(self, image: Image.Image) -> None:
        """Set an image that is not decoded yet to be reduced where it must be."""
        if self.reduction > 1:
            image.draft(None, (self.width // self.reduction, self.height // self.reduction))

    def turned(self, image: Image.Image) -> Image.Image:
        """Apply the orientation."""
        turn = _TURNS.get(self.orientation)
        return image if turn is None else image.transpose(turn)

    def check_size(self, size: tuple[int, int] | None) -> None:
        """Raise ``TooLargeError`` where the reduced image would be too small for ``size``."""
        reduced = [side // self.reduction for side in self.upright]
        if self.reduction > 1 and (size is None or reduced[0] < size[0] or reduced[1] < size[1]):
            raise _too_many_pixels(self.name, self.width, self.height, MAX_PIXELS)

    def check_is_whole(self, rgb: Image.Image) -> None:
        """Raise ``InputError`` where a JPEG's data end too early.

        Looked into where the end marker was missing, and where the last pixel has the grey that
        libjpeg takes for missing data.
        """
        if self.jpeg is None:
            return
        last = rgb.getpixel((rgb.width - 1, rgb.height - 1))
        if self.jpeg.end is not None and last != (128, 128, 128):
            return
        body = self.data[: self.jpeg.end] if self.jpeg.end is not None else self.data[:-2]
        if not image_jpeg.last_scan_is_whole(body, self._pixels):
            raise InputError(f"{self.name}: truncated image (its data end early); replace the file")

    def _pixels(self, data: bytes) -> np.ndarray[Any, Any]:
        return np.asarray(self._open(data))

    def _open(self, data: bytes) -> Image.Image:
        image = _open(self.format, data)
        self.reduce(image)
        return image


def open_image(data: bytes, name: str, max_pixels: int | None) -> Opened:
    """Read the header of an image.

    Args:
        data: the content of the file.
        name: of the image, fit for messages.
        max_pixels: as for ``image.decode_image``.

    Raises:
        InputError: as ``image.decode_image``; to be called within ``image_failures.clear_errors``.
    """
    if not data:
        raise InputError(f"{name}: the file is empty (0 bytes); give an image ({ACCEPTED})")
    if len(data) > MAX_BYTES:
        raise TooLargeError(
            f"{name}: {len(data):,} bytes or more; at most {MAX_BYTES:,} are read; shrink it"
        )
    kind = format_of(data)
    if kind is None:
        what, remedy = describe(data)
        raise UnsupportedFormatError(
            f"{name}: not an image that can be read: {what}; {remedy}; "
            f"accepted formats are {ACCEPTED}"
        )
    jpeg = image_jpeg.read_structure(data) if kind == "JPEG" else None
    _check_structure(data, name, kind, jpeg)
    if kind == "HEIF":
        _check_heif(name)
    if jpeg is not None and jpeg.end is None:
        data = _with_end(data, name, jpeg)
    image = _open(kind, data)
    width, height = image.size
    if jpeg is not None and (jpeg.width, jpeg.height) != image.size:
        if jpeg.end is None:
            raise InputError(f"{name}: damaged image (it declares two sizes); replace the file")
        jpeg = None
    # Before anything else is asked of the image, for which Pillow might decode it.
    reduction = _reduction(name, width, height, jpeg, max_pixels)
    opened = Opened(
        name=name,
        data=data,
        image=image,
        format=kind,
        width=width,
        height=height,
        grey=_stores_grey(image),
        orientation=_orientation(image, data, name),
        several=_several(image, kind),
        jpeg=jpeg,
        reduction=reduction,
    )
    opened.reduce(image)
    return opened


def _open(kind: str, data: bytes) -> Image.Image:
    # Not by ``Image.open``, which refuses large images before they can be reduced.
    if kind == "JPEG":
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    if kind == "HEIF":
        import pillow_heif

        # Not registered with Pillow, which would change what other code can open.
        opened: Image.Image = pillow_heif.HeifImageFile(io.BytesIO(data))
        return opened
    return Image.open(io.BytesIO(data), formats=(kind,))


def _check_structure(data: bytes, name: str, kind: str, jpeg: image_jpeg.Jpeg | None) -> None:
    """Refuse what Pillow must not even open, or could not decode faithfully."""
    reason = None
    if jpeg is not None:
        if excess := image_tiff.excess(jpeg.exif):
            raise _too_many_tags(name, excess)
        reason = image_jpeg.why_not(jpeg)
    elif kind == "TIFF":
        if excess := image_tiff.excess(data):
            raise _too_many_tags(name, excess)
        reason = image_tiff.why_not(data, MAX_PIXELS)
    elif kind == "JPEG2000":
        reason = image_jpeg2000.why_not(data)
    elif kind in ("AVIF", "HEIF", "JPEG"):
        _check_exif(data, name)
        if kind == "AVIF" and image_avif.largest_frame(data) > MAX_PIXELS:
            raise TooLargeError(f"{name}: frames of more than {MAX_PIXELS:,} pixels; shrink it")
    if reason:
        raise UnsupportedFormatError(f"{name}: {reason}")


def _check_heif(name: str) -> None:
    try:
        require_extra("heic", "HEIC", ["pillow_heif"])
    except UsageError as error:
        raise UnsupportedFormatError(f"{name}: {error}") from None


def _with_end(data: bytes, name: str, jpeg: image_jpeg.Jpeg) -> bytes:
    if not jpeg.every_scan_is_there:
        raise InputError(f"{name}: truncated image (scans are missing); replace the file")
    return image_jpeg.without_end(data) + image_jpeg.END


def _reduction(
    name: str, width: int, height: int, jpeg: image_jpeg.Jpeg | None, max_pixels: int | None
) -> int:
    """Return by how much an image must be reduced, or raise ``TooLargeError``."""
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    if width * height <= limit:
        return 1
    if max_pixels is not None or jpeg is None or not jpeg.reducible:
        raise _too_many_pixels(name, width, height, limit)
    if width * height > MAX_JPEG_PIXELS:
        raise _too_many_pixels(name, width, height, MAX_JPEG_PIXELS)
    if jpeg.coefficient_bytes > MAX_COEFFICIENT_BYTES:
        raise TooLargeError(
            f"{name}: {width} x {height} pixels in several scans (progressive JPEG), which take "
            f"{jpeg.coefficient_bytes // 10**6:,} MB to decode; at most "
            f"{MAX_COEFFICIENT_BYTES // 10**6:,} are used; save it as baseline JPEG or shrink it"
        )
    return next(
        factor for factor in _REDUCTIONS if -(-width // factor) * -(-height // factor) <= limit
    )


def _too_many_pixels(name: str, width: int, height: int, most: int) -> TooLargeError:
    return TooLargeError(
        f"{name}: {width} x {height} pixels; at most {most:,} are decoded; shrink it"
    )


def _stores_grey(image: Image.Image) -> bool:
    tiles: list[Any] = getattr(image, "tile", [])
    return (
        image.mode in ("1", "L", "LA")
        or image.mode.startswith("I")
        or (bool(tiles) and tiles[0].args == "LA;16B")
    )


def _orientation(image: Image.Image, data: bytes, name: str) -> int:
    # Pillow turns TIFF images itself, and pillow_heif turns HEIC images.
    if image.format in ("TIFF", "HEIF"):
        return 1
    if image.format == "PNG":
        # Pillow would decode the whole image to see whether EXIF data follow it.
        if not any(key in data for key in _EXIF_IN_PNG):
            return 1
        _check_exif(data, name)
        if _RAW_EXIF in image.info:
            _check_exif(bytes.fromhex("".join(image.info[_RAW_EXIF].split("\n")[3:])), name)
    elif image.format == "WEBP" and "exif" in image.info:
        _check_exif(data, name)
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    # Damaged EXIF data say nothing about the pixels.
    except Exception:
        return 1
    return found if isinstance(found, int) else 1


def _check_exif(data: bytes, name: str) -> None:
    if reason := image_tiff.excess_anywhere(data):
        raise _too_many_tags(name, reason)


def _too_many_tags(name: str, reason: str) -> TooLargeError:
    return TooLargeError(f"{name}: {reason}; save it without its metadata")


def _several(image: Image.Image, kind: str) -> str | None:
    # Not ``n_frames``, for which Pillow walks through the whole file.
    if kind == "JPEG" or not getattr(image, "is_animated", False):
        return None
    return {
        "TIFF": "several pages; only the first is used",
        "HEIF": "several images; only the main one is used",
    }.get(kind, "animated; only its first frame is used")
