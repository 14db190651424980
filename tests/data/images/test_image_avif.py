"""The frames in an AVIF file are measured before they are decoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifarlab.data.images.avif import largest_frame
from image_files import encode


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (1, 1), (300, 2), (1025, 770)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_the_frame_is_as_large_as_the_image(
    width: int, height: int, mode: str, frames: int
) -> None:
    images = [Image.new(mode, (width, height), seed) for seed in range(frames)]
    data = encode(images[0], "AVIF", save_all=True, append_images=images[1:], speed=10)
    assert largest_frame(data) == width * height


@given(st.binary(max_size=300))
def test_any_bytes_have_a_largest_frame(rest: bytes) -> None:
    for beginning in (b"", b"iloc\0\0\0\0\x44\0\0\1", b"stco\0\0\0\0\0\0\0\1", b"iloc\2\0\0\0"):
        assert largest_frame(beginning + rest) >= 0
