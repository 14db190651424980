"""Images of any shape side by side on a sheet, each whole and in its place."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cifarlab.reporting.images import LARGEST_SIDE, Sheet, image_uri, sheet

SHAPES = ((8, 8, 1), (28, 28, 1), (32, 32, 3), (32, 64, 3), (48, 32, 1), (64, 64, 3), (256, 200, 3))


def content(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def part(drawn: np.ndarray, of: Sheet, index: int) -> np.ndarray:
    column, row = of.cells[index]
    right, down = of.pitch
    return drawn[row * down :, column * right :][: of.height, : of.width]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_image_is_in_its_place_and_none_bleeds_into_another(shape) -> None:
    # Black and white in turn: the worst for neighbours.
    images = np.zeros((60, *shape), np.uint8)
    images[::2] = 255
    made = sheet(images, range(60))
    drawn = content(made.uri)
    assert drawn.shape[:2] == (made.rows * made.pitch[1], made.columns * made.pitch[0])
    for index in range(60):
        assert np.abs(part(drawn, made, index) - int(images[index, 0, 0, 0])).max() <= 3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_proportions_stay_and_small_images_keep_their_pixels(shape) -> None:
    images = np.zeros((2, *shape), np.uint8)
    made = sheet(images, [0, 1])
    assert made.width / made.height == pytest.approx(shape[1] / shape[0], rel=0.02)
    if max(shape[:2]) <= LARGEST_SIDE:
        assert (made.height, made.width) == shape[:2]
    assert 48 <= made.side <= 72


@pytest.mark.parametrize(
    ("side", "shown", "enlarged"),
    [(8, 72, True), (28, 56, True), (32, 64, True), (36, 72, True), (48, 64, False)],
)
def test_small_images_are_enlarged_by_whole_numbers(side: int, shown: int, enlarged: bool) -> None:
    made = sheet(np.zeros((1, side, side, 3), np.uint8), [0])
    assert (made.side, made.enlarged) == (shown, enlarged)


def test_a_grey_image_is_shown_in_grey() -> None:
    grey = np.full((28, 28, 1), 77, np.uint8)
    assert (np.abs(content(image_uri(grey)) - 77) <= 2).all()
