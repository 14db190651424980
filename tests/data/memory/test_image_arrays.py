"""Arrays of images of any usual form become uint8 [N, H, W, C], or are refused with the reason."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.memory.image_arrays import UnsuitableError, extremes, find_axes, find_values

SIDES = st.integers(8, 64)


@given(SIDES, SIDES, st.sampled_from([1, 3]))
def test_axes_are_found_wherever_the_channels_are(height, width, channels):
    last, first = (5, height, width, channels), (5, channels, height, width)
    assert find_axes(last, "x").shape == (height, width, channels)
    assert find_axes(first, "x").shape == (height, width, channels)
    assert find_axes((5, height, width), "x").shape == (height, width, 1)


@given(SIDES, SIDES, st.sampled_from([1, 3]), st.integers(0, 9))
def test_every_pixel_stays_at_its_place(height, width, channels, seed):
    images = np.random.default_rng(seed).integers(0, 256, (2, height, width, channels), np.uint8)
    planes = images.transpose(0, 3, 1, 2)
    assert (find_axes(planes.shape, "x").arrange(planes) == images).all()
    assert (find_axes(images.shape, "x").arrange(images) == images).all()


def test_flat_squares_are_read_row_by_row_and_said():
    axes = find_axes((3, 784), "x")
    assert axes.shape == (28, 28, 1)
    assert "28x28" in axes.note
    flat = np.arange(2 * 784).reshape(2, 784)
    assert axes.arrange(flat)[1, 2, 5, 0] == 784 + 2 * 28 + 5


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((5, 3073), "no square"),
        ((5, 3072), "32x32 in three colours"),
        ((5, 2352), "28x28 in three colours"),
        ((5, 28, 28, 28), "volumes"),
        ((5, 28, 28, 28, 1), "volumes"),
        ((5, 32, 32, 4), "4 channels"),
        ((5, 2, 32, 32), "2 channels"),
        ((5, 3, 32, 3), "first or last"),
        ((0, 32, 32, 3), "[0, 32, 32, 3]"),
        ((5, 0, 32), "[5, 0, 32]"),
        ((5,), "[5]"),
    ],
)
def test_other_axes_are_refused_with_the_reason(shape, reason):
    with pytest.raises(UnsuitableError, match=f"^x: .*{re.escape(reason)}"):
        find_axes(shape, "x")


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        ("uint8", 0, 255, (0, 255)),
        ("int64", 0, 255, (0, 255)),
        ("float32", 0, 255, (0, 255)),
        ("float32", 0, 1, (0, 1)),
        ("float64", 0.1, 0.9, (0, 1)),
        ("float32", -1, 1, (-1, 1)),
        ("float16", -0.9, 0.8, (-1, 1)),
        ("bool", 0, 1, (0, 1)),
        ("uint8", 0, 1, (0, 1)),
        ("uint16", 0, 65535, (0, 65535)),
        ("uint16", 0, 4000, (0, 4095)),
        ("int32", 3, 1000, (0, 1023)),
    ],
)
def test_clear_ranges(dtype, low, high, expected):
    values = find_values(np.dtype(dtype), low, high, "x")
    assert (values.black, values.white) == expected


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("float64", 0, 16),  # scikit-learn's digits
        ("int64", 0, 16),
        ("float32", 0, 1 / 255),  # divided twice
        ("float32", -0.5, 0.5),
        ("float32", -2.1, 2.6),  # standardised
        ("float32", 0, 256),
        ("int16", -1, 255),
        ("uint32", 0, 70000),
    ],
)
def test_ranges_that_are_not_clear_are_refused_with_the_remedy(dtype, low, high):
    with pytest.raises(UnsuitableError, match="value_range=") as caught:
        find_values(np.dtype(dtype), low, high, "x")
    assert f"{low:g} to {high:g}" in str(caught.value)


def test_black_images_are_refused():
    with pytest.raises(UnsuitableError, match="every value is 0"):
        find_values(np.dtype("uint8"), 0, 0, "x")


def test_dark_uint8_images_are_read_and_said():
    values = find_values(np.dtype("uint8"), 0, 16, "x")
    assert (values.black, values.white) == (0, 255)
    assert "dark" in values.note


def test_a_range_that_is_told_is_obeyed_and_checked():
    values = find_values(np.dtype("float64"), 0, 16, "x", value_range=(0, 16))
    assert values.to_uint8(np.array([0.0, 8.0, 16.0])).tolist() == [0, 128, 255]
    with pytest.raises(UnsuitableError, match="outside of the range 0 to 15"):
        find_values(np.dtype("float64"), 0, 16, "x", value_range=(0, 15))
    for wrong in ((1, 0), (0, float("nan")), (0, 0)):
        with pytest.raises(UnsuitableError, match="smaller number"):
            find_values(np.dtype("float64"), 0, 1, "x", value_range=wrong)


@given(st.integers(0, 255))
def test_floats_come_back_to_the_bytes_that_they_were_made_of(value):
    for dtype in (np.float16, np.float32, np.float64):
        unit = find_values(np.dtype(dtype), 0, 1, "x")
        assert unit.to_uint8(np.array([value], dtype) / 255)[0] == value
        both = find_values(np.dtype(dtype), -1, 1, "x")
        found = int(both.to_uint8(np.array([value], dtype) / 127.5 - 1)[0])
        assert abs(found - value) <= (dtype == np.float16)


@given(st.integers(0, 4095))
def test_integers_of_more_bits_keep_the_upper_8_as_image_files_do(value):
    values = find_values(np.dtype("uint16"), 0, 4095, "x")
    assert values.to_uint8(np.array([value], np.uint16))[0] == value >> 4


def test_bits_that_are_told_are_obeyed():
    assert find_values(np.dtype("uint16"), 0, 1000, "x", bits=12).white == 4095
    assert find_values(np.dtype("uint16"), 0, 9000, "x", bits=12).white == 16383


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_no_numbers_are_named_by_their_image(bad):
    images = np.zeros((6, 8, 8))
    images[4, 1, 1] = bad
    with pytest.raises(UnsuitableError, match="image 4 holds NaN"):
        extremes([images[:3], images[3:]], "x")


def test_values_that_are_not_numeric_are_refused():
    with pytest.raises(UnsuitableError, match="images hold numbers"):
        extremes([np.zeros(3, complex)], "x")


def test_looking_for_the_largest_value_ends_where_enough_is_known():
    def blocks():
        yield np.array([0, 200], np.uint8)
        raise AssertionError("read on")

    assert extremes(blocks(), "x", enough=127.5) == (0, 200)
