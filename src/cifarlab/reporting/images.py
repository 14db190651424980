"""Many small images in one file, so that a page can show each of them without a server."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

# Larger images are shown smaller. A multiple of 16, the block in which WebP mixes colours,
# so that no image bleeds into its neighbour.
LARGEST_SIDE = 64
BLOCK = 16
COLUMNS = 48
QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Images side by side in one image.

    Attributes:
        uri: the image as a ``data:`` URI.
        cells: column and row of each image, by its index in the split.
        columns, rows: of the image.
    """

    uri: str
    cells: dict[int, tuple[int, int]]
    columns: int
    rows: int


def sheet(images: np.ndarray[Any, Any], indices: Sequence[int]) -> Sheet:
    """Put some of ``images`` (uint8 ``[N, H, W, 3]``) on a sheet, each index once."""
    wanted = list(dict.fromkeys(int(i) for i in indices))
    columns = max(1, min(COLUMNS, len(wanted)))
    rows = max(1, math.ceil(len(wanted) / columns))
    side = min(LARGEST_SIDE, math.ceil(max(images.shape[1:3]) / BLOCK) * BLOCK)
    canvas = Image.new("RGB", (columns * side, rows * side))
    cells = {}
    for number, index in enumerate(wanted):
        column, row = number % columns, number // columns
        cells[index] = (column, row)
        image = Image.fromarray(np.asarray(images[index]))
        if image.size != (side, side):
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        canvas.paste(image, (column * side, row * side))
    return Sheet(uri=image_uri(canvas, QUALITY), cells=cells, columns=columns, rows=rows)


def image_uri(image: Image.Image | np.ndarray[Any, Any], quality: int = QUALITY) -> str:
    """Return an image (PIL, or uint8 ``[H, W, 3]``) as a WebP ``data:`` URI."""
    drawn = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    drawn.save(file, "WEBP", quality=quality, method=4)
    return data_uri(file.getvalue(), "image/webp")


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes of a MIME type as a ``data:`` URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
