"""Whatever values a file holds, they become the right 8 bits, or are refused by name."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PIL import Image, ImageCms

from cifarlab.data.image import decode_details, probe
from cifarlab.errors import UnsupportedFormatError
from image_files import Array, encode, noise, png, smooth, tiff

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)


def decode(data: bytes, bits: int = 16) -> Array:
    return decode_details(data, name="image", size=None, bits=bits).pixels


def ppm(values: Array, white: int, magic: str) -> bytes:
    kind = ">u2" if white > 255 else "u1"
    head = f"{magic}\n{values.shape[1]} {values.shape[0]}\n{white}\n".encode()
    if magic in ("P2", "P3"):
        return head + " ".join(map(str, values.ravel())).encode()
    return head + values.astype(kind).tobytes()


# 10-, 12- and 14-bit values in 16-bit files


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize(
    "make",
    [
        lambda grey: png(grey, 0),
        lambda grey: tiff(grey),
        lambda grey: tiff(grey, order=">"),
        lambda grey: tiff(grey.astype(np.int32)),
        lambda grey: ppm(grey, 65535, "P5"),
        lambda grey: ppm(grey, 65535, "P2"),
    ],
    ids=["png", "tiff", "big-endian tiff", "32-bit tiff", "pgm", "plain pgm"],
)
def test_grey_values_of_fewer_than_16_bits_are_scaled_by_their_range(
    make: object, bits: int
) -> None:
    values = np.linspace(0, 2**bits - 1, 256).astype(np.uint16).reshape(16, 16, 1)
    found = decode_details(make(values), name="image", size=None, bits=bits)  # type: ignore[operator]
    assert found.highest == 2**bits - 1
    assert found.grey
    np.testing.assert_array_equal(found.pixels[..., :1], values >> (bits - 8))
    assert found.pixels.max() == 255


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize(
    "make",
    [
        lambda colour: png(colour, 2),
        lambda colour: tiff(colour),
        lambda colour: tiff(colour, order=">"),
        lambda colour: ppm(colour, 65535, "P6"),
    ],
    ids=["png", "tiff", "big-endian tiff", "ppm"],
)
def test_colour_values_of_fewer_than_16_bits_are_scaled_too(make: object, bits: int) -> None:
    values = np.random.default_rng(bits).integers(0, 2**bits, (20, 30, 3)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    found = decode_details(make(values), name="image", size=None, bits=bits)  # type: ignore[operator]
    assert found.highest == 2**bits - 1
    np.testing.assert_array_equal(found.pixels, values >> (bits - 8))
    assert found.pixels[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_compressed_16_bit_tiff_is_scaled_too(compression: str) -> None:
    data = encode(Image.fromarray(RAMP), "TIFF", compression=compression)
    found = decode_details(data, name="image", size=None, bits=12)
    assert found.highest == 4095
    np.testing.assert_array_equal(found.pixels[..., 0], RAMP >> 4)


def test_values_above_the_range_are_white() -> None:
    values = np.array([[[1023], [1024], [65535]]], dtype=np.uint16)
    assert decode(png(values, 0), bits=10)[0, :, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("white", [15, 100, 254, 1000, 1023, 4095, 40_000])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_a_pgm_is_scaled_by_the_range_that_it_declares(white: int, magic: str) -> None:
    bands = 3 if magic in ("P3", "P6") else 1
    values = np.linspace(0, white, 256).round().astype(np.int64).reshape(16, 16, 1)
    values = np.repeat(values, bands, axis=-1)
    found = decode_details(ppm(values, white, magic), name="image", size=None, bits=10)
    assert found.highest is None
    assert found.pixels.max() == 255
    assert np.abs(found.pixels[..., :bands] - values * 255 / white).max() <= 1


def test_a_12_bit_tiff_declares_its_range() -> None:
    packed = np.frombuffer(bytes.fromhex("fff000 800123".replace(" ", "")), np.uint8)
    data = tiff(packed.reshape(1, 6, 1), {256: (4, 4), 258: (3, 12), 279: (4, 6)})
    found = decode_details(data, name="image", size=None, bits=16)
    assert found.highest is None
    assert found.pixels[0, :, 0].tolist() == [255, 0, 0x80, 0x12]


def test_jpeg_2000_values_are_scaled_by_the_depth_that_the_file_declares() -> None:
    data = encode(Image.fromarray(RAMP << 4), "JPEG2000")
    np.testing.assert_array_equal(decode(data)[..., 0], RAMP >> 4)
    odd = decode_details(
        encode(Image.fromarray(RAMP), "JPEG2000"), name="image", size=None, bits=12
    )
    assert odd.highest == 4095
    np.testing.assert_array_equal(odd.pixels[..., 0], RAMP >> 4)


def test_8_bit_files_have_no_highest_value() -> None:
    for name in ("PNG", "JPEG", "TIFF", "PPM", "AVIF", "JPEG2000", "BMP", "GIF", "WEBP"):
        data = encode(Image.new("L", (8, 8), 200), name)
        assert decode_details(data, name="image").highest is None


def test_16_bit_grey_with_transparency_is_put_on_white() -> None:
    values = np.zeros((2, 2, 2), dtype=np.uint16)
    values[..., 0], values[0, :, 1], values[1, :, 1] = 1023, 65535, 0
    values[0, 0, 0] = 0
    found = decode_details(png(values, 4), name="image", size=None, bits=10)
    assert found.highest == 1023
    assert found.pixels[..., 0].tolist() == [[0, 255], [255, 255]]
    assert probe(png(values, 4)).grey


def test_16_bit_colour_with_transparency_is_put_on_white() -> None:
    values = np.full((1, 2, 4), 0x8000, dtype=np.uint16)
    values[0, 0, 3], values[0, 1, 3] = 65535, 0
    assert decode(png(values, 6))[0].tolist() == [[128, 128, 128], [255, 255, 255]]
    values = np.array([[[100, 0, 0, 1023], [100, 0, 0, 0]]], dtype=np.uint16)
    assert decode(png(values, 6), bits=10)[0].tolist() == [[25, 0, 0], [255, 255, 255]]


def test_the_16_bit_colour_that_a_png_calls_transparent_is_white() -> None:
    from image_files import chunk

    values = np.array([[[256, 1, 2], [256, 1, 3]]], dtype=np.uint16)
    data = png(values, 2, chunk(b"tRNS", b"\1\0\0\1\0\2"))
    assert decode(data)[0].tolist() == [[255, 255, 255], [1, 0, 0]]


def test_a_16_bit_tiff_of_which_0_is_white_is_turned_over() -> None:
    values = np.array([[[0], [4095], [1000]]], dtype=np.uint16)
    pixels = decode(tiff(values, {262: (3, 0)}), bits=12)
    assert pixels[0, :, 0].tolist() == [255, 0, 255 - (1000 >> 4)]
    eight = tiff(np.array([[[0], [255]]], dtype=np.uint8), {262: (3, 0)})
    assert decode(eight)[0, :, 0].tolist() == [255, 0]


def test_signed_values_are_read_where_none_is_negative() -> None:
    values = np.array([[[0], [4095]]], dtype=np.int16)
    for order in "<>":
        assert decode(tiff(values, order=order), bits=12)[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("values", "tags", "message"),
    [
        (np.array([[[-5], [7]]], np.int16), {}, "values from -5 to 7, which have no agreed white"),
        (np.array([[[0], [70_000]]], np.int32), {}, "values from 0 to 70000"),
        (np.array([[[-5], [7]]], np.int8), {}, "signed"),
        (np.zeros((2, 2, 1), np.float32), {}, "floating-point values, which have no agreed white"),
        (np.zeros((2, 2, 3), np.float32), {}, "floating-point"),
        (np.zeros((2, 2, 13), np.uint16), {}, "13 bands; at most 4 are read"),
        (np.zeros((2, 2, 5), np.uint8), {338: (3, 0)}, "5 bands; at most 4 are read"),
        (np.zeros((2, 2, 4), np.uint8), {262: (3, 1)}, "4 bands of 8 bits in an arrangement"),
        (np.zeros((2, 2, 3), np.uint32), {}, "3 bands of 32 bits in an arrangement"),
        (np.zeros((2, 2, 3), np.uint16), {284: (3, 2)}, "one after another"),
        (np.zeros((2, 2, 4), np.uint16), {338: (3, 1)}, "multiplied by their transparency"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, str) else "",
)
def test_values_without_an_agreed_range_and_further_bands_are_refused_by_name(
    values: Array, tags: dict[int, tuple[int, int]], message: str
) -> None:
    with pytest.raises(UnsupportedFormatError, match=re.escape(message)):
        decode(tiff(values, tags))


# Colours


def test_lab_becomes_rgb() -> None:
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    image = Image.new("RGB", (8, 8), (200, 30, 60))
    lab = ImageCms.applyTransform(image, to_lab)
    assert lab is not None
    assert np.abs(decode(encode(lab, "TIFF")).astype(int) - [200, 30, 60]).max() <= 3


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_ycbcr_in_tiff_becomes_rgb(compression: str) -> None:
    image = Image.new("RGB", (16, 16), (200, 30, 60)).convert("YCbCr")
    data = encode(image, "TIFF", compression=compression)
    assert np.abs(decode(data).astype(int) - [200, 30, 60]).max() <= 4


def test_uncompressed_ycbcr_in_tiff_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedFormatError, match="YCbCr values without compression"):
        decode(encode(Image.new("YCbCr", (16, 16)), "TIFF"))


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(name: str) -> None:
    options = {"quality": 100} if name == "JPEG" else {}
    data = encode(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), name, **options)
    assert np.abs(decode(data).astype(int) - [255, 0, 0]).max() <= 3


def test_a_palette_with_several_transparencies_is_put_on_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    pixels = decode(encode(image, transparency=bytes([0, 255, 127])))
    assert pixels[0].tolist() == [[255, 255, 255], [255, 0, 0], [128, 128, 255]]


def test_a_palette_with_an_alpha_band_is_put_on_white() -> None:
    image = Image.new("PA", (2, 1))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.putpixel((0, 0), (1, 255))
    image.putpixel((1, 0), (1, 0))
    assert decode(encode(image, "TIFF"))[0].tolist() == [[200, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("name", ["TIFF", "PPM"])
def test_one_bit_images_are_black_and_white(name: str) -> None:
    image = Image.fromarray(noise(9, 13)).convert("1")
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(decode(encode(image, name)), expected)


def test_one_bit_fax_images_are_black_and_white() -> None:
    image = smooth(40, 50).convert("1")
    data = encode(image, "TIFF", compression="group4")
    np.testing.assert_array_equal(decode(data), np.asarray(image.convert("RGB")))


def test_one_channel_is_the_luminance_of_the_colours_and_grey_itself() -> None:
    colours = noise(20, 20)
    grey = np.repeat(colours[..., :1], 3, axis=-1)
    one = decode_details(encode(Image.fromarray(colours)), name="x", size=None, channels=1)
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(one.pixels[..., 0], expected)
    assert not one.grey
    same = decode_details(encode(Image.fromarray(grey)), name="x", size=None, channels=1)
    np.testing.assert_array_equal(same.pixels, grey[..., :1])
    assert same.grey
