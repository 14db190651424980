"""Saliency over an image: its size, its colours, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cifarlab.data.named import shapes
from cifarlab.errors import InputError
from cifarlab.plots.overlay import DIMMED, overlay
from support import one_line


@settings(max_examples=30)
@given(
    image=arrays.arrays(
        np.uint8, st.sampled_from([(1, 1, 3), (4, 6, 3), (12, 12, 1), (8, 256, 1), (48, 32, 3)])
    ),
    saliency=arrays.arrays(np.float32, (5, 5), elements=st.floats(0, 1, width=32)),
    size=st.integers(1, 60),
)
def test_an_overlay_has_the_size_asked_for_and_the_proportions_of_the_image(image, saliency, size):
    result = overlay(image, saliency, size)
    assert max(result.shape[:2]) == size
    longer = max(image.shape[:2])
    for side, own in zip(result.shape, image.shape[:2], strict=False):
        assert abs(side - size * own / longer) < 1
    assert result.shape[2] == 3
    assert result.dtype == np.uint8


def test_saliency_is_visible_and_the_image_stays():
    image = shapes.draw(10, 10).test.images[0]
    cold = overlay(image, np.zeros((32, 32)))
    large = image.repeat(3, axis=0).repeat(3, axis=1)
    np.testing.assert_allclose(cold, large * DIMMED, atol=0.51)
    saliency = np.zeros((32, 32))
    saliency[:16, :16] = 1
    warm = overlay(np.full_like(image, 128), saliency).astype(int)
    assert warm[10, 10].sum() > warm[80, 80].sum() + 150


@pytest.mark.parametrize(
    ("image", "saliency", "size"),
    [
        (np.zeros((8, 8, 3), np.float32), np.zeros((8, 8)), 96),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 8)), 96),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 1)), 96),
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 1.5), 96),
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8), np.nan), 96),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8)), 0),
    ],
)
def test_other_overlays_are_refused(image, saliency, size):
    with pytest.raises(InputError) as error:
        overlay(image, saliency, size)
    one_line(error)
