"""Whatever an image decoder raises or prints becomes one clear error."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from cifarlab.data.images import tiff as image_tiff
from cifarlab.data.images.kinds import format_of
from cifarlab.errors import CifarlabError, InputError, TooLargeError, UnsupportedFormatError


@contextmanager
def clear_errors(data: bytes, name: str, most: int) -> Iterator[None]:
    """Turn whatever Pillow's decoders raise into ``InputError``, and keep them quiet.

    Args:
        data: the file that is decoded.
        name: of the image, fit for messages.
        most: pixels that are decoded, for the message.
    """
    _silence(data)
    try:
        yield
    except CifarlabError:
        raise
    except Image.DecompressionBombError:
        raise TooLargeError(
            f"{name}: far too many pixels; at most {most:,} are decoded; shrink it"
        ) from None
    except UnidentifiedImageError:
        if format_of(data) == "TIFF" and image_tiff.read_tags(data):
            raise UnsupportedFormatError(
                f"{name}: a TIFF file of {image_tiff.layout(data)} in an arrangement that is not "
                "read, or damaged; save it with 8 or 16 bits"
            ) from None
        raise InputError(
            f"{name}: damaged or truncated image (its header cannot be read); replace the file"
        ) from None
    # Damaged files make the decoders raise nearly every built-in exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{name}: damaged or truncated image ({reason}); replace the file"
        ) from None


def _silence(data: bytes) -> None:
    """Keep Pillow's warnings and libtiff's messages from the user; errors are raised anyway.

    Not ``warnings.catch_warnings``, which is unsafe in threads, and images are decoded in many.
    """
    quiet = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
    if quiet not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
    if format_of(data) == "TIFF":
        image_tiff.silence_libtiff()
