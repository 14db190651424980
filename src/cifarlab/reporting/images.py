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

from cifarlab.data.channels import as_rgb

# Larger images are shown smaller.
LARGEST_SIDE = 64
# Places on a sheet are multiples of the block in which WebP mixes colours, so that no image bleeds
# into its neighbour.
BLOCK = 16
COLUMNS = 48
QUALITY = 88
# The longer side of an image on the page, in CSS pixels, is a multiple of its own up to this, so
# that all its pixels are of one size; where there is no such multiple, it is ``LARGEST_SIDE``.
LARGEST_SHOWN = 72


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Images side by side in one image.

    Attributes:
        uri: the image as a ``data:`` URI.
        cells: column and row of each image, by its index in the split.
        columns, rows: of the image.
        width, height: of each image, in pixels of the sheet.
        pitch: from one image to the next, right and down.
        side: the longer side on the page, in CSS pixels.
    """

    uri: str
    cells: dict[int, tuple[int, int]]
    columns: int
    rows: int
    width: int
    height: int
    pitch: tuple[int, int]
    side: int

    @property
    def enlarged(self) -> bool:
        """Whether the page shows each pixel as a square of several."""
        return self.side % max(self.width, self.height) == 0


def sheet(images: np.ndarray[Any, Any], indices: Sequence[int]) -> Sheet:
    """Put some of ``images`` (uint8 ``[N, H, W, C]``) on a sheet, each index once."""
    wanted = list(dict.fromkeys(int(i) for i in indices))
    columns = max(1, min(COLUMNS, len(wanted)))
    rows = max(1, math.ceil(len(wanted) / columns))
    height, width = _fitting(*images.shape[1:3])
    right, down = (math.ceil(side / BLOCK) * BLOCK for side in (width, height))
    canvas = np.zeros((rows * down, columns * right, 3), np.uint8)
    cells = {}
    for number, index in enumerate(wanted):
        row, column = divmod(number, columns)
        cells[index] = (column, row)
        image = as_rgb(np.asarray(images[index]))
        if image.shape[:2] != (height, width):
            resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
            image = np.asarray(resized)
        # The border is repeated up to the end of its block.
        filled = np.pad(image, ((0, down - height), (0, right - width), (0, 0)), mode="edge")
        canvas[row * down : (row + 1) * down, column * right : (column + 1) * right] = filled
    longer = max(height, width)
    return Sheet(
        uri=image_uri(canvas),
        cells=cells,
        columns=columns,
        rows=rows,
        width=width,
        height=height,
        pitch=(right, down),
        side=LARGEST_SHOWN // longer * longer if 2 * longer <= LARGEST_SHOWN else LARGEST_SIDE,
    )


def _fitting(height: int, width: int) -> tuple[int, int]:
    """Return the size of an image of the same proportions that is at most ``LARGEST_SIDE``."""
    scale = min(1.0, LARGEST_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def image_uri(image: Image.Image | np.ndarray[Any, Any], quality: int = QUALITY) -> str:
    """Return an image (PIL, or uint8 ``[H, W, C]``) as a WebP ``data:`` URI."""
    drawn = image if isinstance(image, Image.Image) else Image.fromarray(as_rgb(image))
    file = io.BytesIO()
    drawn.save(file, "WEBP", quality=quality, method=4)
    return data_uri(file.getvalue(), "image/webp")


def data_uri(content: bytes, kind: str) -> str:
    """Return bytes of a MIME type as a ``data:`` URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
