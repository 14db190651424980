"""An untrusted image is decoded to the right pixels, or raises one clear error."""

from __future__ import annotations

import io
import os
import socket
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from cifarlab.data.image import (
    MAX_BYTES,
    MAX_PIXELS,
    Header,
    decode_image,
    probe,
    read_bytes,
    read_image,
)
from cifarlab.errors import InputError, TooLargeError, UnsupportedFormatError, UsageError
from image_files import chunk, decode_apart, encode, noise, smooth, tiff
from support import posix_only

ENCODERS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95},
    "WEBP": {"lossless": True},
    "GIF": {},
    "BMP": {},
    "AVIF": {"quality": 90, "subsampling": "4:4:4"},
    "TIFF": {},
    "PPM": {},
    "JPEG2000": {},
}
LOSSLESS = ("PNG", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")


def decode(data: bytes, **options: Any) -> np.ndarray[Any, Any]:
    return decode_image(data, name="image", **options)


def png_header(width: int, height: int, *extra: bytes) -> bytes:
    """A PNG that declares any size at all and holds next to nothing; ``extra`` are chunks."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(50_000)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + chunk(b"IEND", b"")


# Pixels


@pytest.mark.parametrize("image_format", LOSSLESS)
def test_an_image_of_the_right_size_comes_through_bit_for_bit(image_format: str) -> None:
    pixels = noise(32, 32)
    result = decode(encode(Image.fromarray(pixels), image_format, **ENCODERS[image_format]))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, pixels)


def test_red_stays_in_the_first_channel() -> None:
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 2] = 200, 10
    np.testing.assert_array_equal(decode(encode(Image.fromarray(pixels)))[0, 0], [200, 0, 10])


@pytest.mark.parametrize("image_format", ENCODERS)
def test_every_accepted_format_decodes(image_format: str) -> None:
    flat = Image.new("RGB", (40, 50), (0, 128, 255))
    result = decode(encode(flat, image_format, **ENCODERS[image_format]))
    assert result.shape == (32, 32, 3)
    assert np.abs(result.astype(int) - [0, 128, 255]).max() <= 3


def test_size_none_keeps_the_original_size() -> None:
    pixels = noise(7, 11)
    np.testing.assert_array_equal(decode(encode(Image.fromarray(pixels)), size=None), pixels)


def test_the_result_can_be_written_to() -> None:
    result = decode(encode(Image.fromarray(noise(32, 32))))
    result[0, 0] = 1
    assert result[0, 0, 0] == 1


def test_eight_orientations_of_one_image_give_one_result() -> None:
    pixels = noise(20, 30)
    upright = Image.fromarray(pixels)
    stored_as = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation, transposition in stored_as.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored = upright if transposition is None else upright.transpose(transposition)
        np.testing.assert_array_equal(decode(encode(stored, exif=exif), size=None), pixels)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (32, 32), 1), (255, 255, 255)),
        (Image.new("L", (32, 32), 77), (77, 77, 77)),
        (Image.new("LA", (32, 32), (100, 0)), (255, 255, 255)),
        (Image.new("RGBA", (32, 32), (10, 20, 30, 255)), (10, 20, 30)),
        (Image.new("RGBA", (32, 32), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("RGBA", (32, 32), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.new("RGB", (32, 32), (1, 2, 3)).convert("P"), (0, 0, 0)),
        (Image.new("RGB", (32, 32), (255, 0, 0)).quantize(4), (255, 0, 0)),
        (Image.new("I;16", (32, 32), 0x80FF), (0x80, 0x80, 0x80)),
    ],
    ids=["1 bit", "grey", "grey alpha", "opaque", "clear", "veil", "web", "palette", "16 bit"],
)
def test_every_mode_becomes_rgb_as_documented(
    image: Image.Image, expected: tuple[int, int, int]
) -> None:
    np.testing.assert_array_equal(decode(encode(image))[5, 5], expected)


def test_a_transparent_palette_entry_is_put_on_white() -> None:
    image = Image.new("P", (32, 32), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    np.testing.assert_array_equal(decode(encode(image, transparency=1))[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(decode(encode(image, transparency=0))[0, 0], [9, 9, 9])


def test_cmyk_becomes_rgb() -> None:
    data = encode(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(decode(data)[3, 3].astype(int) - [255, 0, 0]).max() <= 3


def test_a_16_bit_grey_ramp_keeps_256_levels() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    result = decode(encode(Image.fromarray(ramp)), size=None)
    np.testing.assert_array_equal(result[..., 0], ramp >> 8)
    np.testing.assert_array_equal(result[..., 0], result[..., 2])


def test_a_transparent_16_bit_grey_value_is_white() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    result = decode(encode(Image.fromarray(ramp), transparency=0), size=None)
    assert result[0, 0, 0] == 255
    assert result[0, 1, 0] == 0


def test_of_an_animation_the_first_frame_is_used_and_said_so() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    for image_format in ("GIF", "WEBP", "PNG", "AVIF"):
        data = encode(frames[0], image_format, save_all=True, append_images=frames[1:], duration=50)
        with pytest.warns(UserWarning, match="image: animated; only its first frame") as caught:
            result = decode(data)
        assert len(caught) == 1
        assert result[0, 0, 0] > 250
        assert result[0, 0, 1:].max() < 5


def test_a_still_image_gives_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for image_format in ENCODERS:
            decode(encode(Image.fromarray(noise(32, 32)), image_format))


# Sizes


def test_fine_stripes_become_even_grey_instead_of_aliasing() -> None:
    stripes = np.zeros((512, 512, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    result = decode(encode(Image.fromarray(stripes))).astype(int)
    assert np.abs(result - 127).max() <= 4


def test_squash_keeps_both_ends_crop_drops_them_and_pad_adds_black() -> None:
    wide = np.full((60, 180, 3), 90, dtype=np.uint8)
    wide[:, :60], wide[:, 120:] = 250, 10
    data = encode(Image.fromarray(wide))
    squashed = decode(data, resize_mode="squash")
    assert (squashed[16, 2, 0], squashed[16, 16, 0], squashed[16, 29, 0]) == (250, 90, 10)
    cropped = decode(data, resize_mode="crop")
    assert np.abs(cropped.astype(int) - 90).max() <= 1
    padded = decode(data, resize_mode="pad")
    assert padded[:10].max() == 0
    assert padded[-10:].max() == 0
    assert (padded[16, 2, 0], padded[16, 16, 0], padded[16, 29, 0]) == (250, 90, 10)


@pytest.mark.parametrize("resize_mode", ["squash", "crop", "pad"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (31, 33), (8, 8)])
def test_any_shape_fits_in_any_mode(shape: tuple[int, int], resize_mode: str) -> None:
    data = encode(Image.fromarray(noise(*shape)))
    assert decode(data, resize_mode=resize_mode).shape == (32, 32, 3)


@pytest.mark.parametrize("size", [0, -3, 10**6])
def test_impossible_sizes_are_a_usage_error(size: int) -> None:
    with pytest.raises(UsageError, match="image size"):
        decode(encode(Image.new("RGB", (8, 8))), size=size)


def test_an_unknown_mode_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'stretch': choose one of squash, crop, pad"):
        decode(encode(Image.new("RGB", (8, 8))), resize_mode="stretch")


# Bad images


def test_an_empty_file_is_named_as_such() -> None:
    with pytest.raises(InputError, match=r"image: the file is empty \(0 bytes\)"):
        decode(b"")


@pytest.mark.parametrize("image_format", ENCODERS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_truncated_image_is_an_error_and_never_filled_up(image_format: str, share: float) -> None:
    data = encode(Image.fromarray(noise(64, 64)), image_format, **ENCODERS[image_format])
    with pytest.raises(InputError):
        decode(data[: int(len(data) * share)])


def test_a_process_that_fills_truncated_images_is_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(UsageError, match="LOAD_TRUNCATED_IMAGES"):
        decode(encode(Image.new("RGB", (8, 8))))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [5_001, 9_500, 20_000, 60_000])
def test_too_many_pixels_are_refused_from_the_header(side: int) -> None:
    with pytest.raises(TooLargeError, match=f"at most {MAX_PIXELS:,} are decoded"):
        decode(png_header(side, side))


def test_a_caller_may_allow_fewer_pixels() -> None:
    data = encode(Image.new("RGB", (30, 20)))
    assert decode_image(data, name="cat.png", max_pixels=600).shape == (32, 32, 3)
    with pytest.raises(TooLargeError, match="30 x 20 pixels; at most 599 are decoded"):
        decode_image(data, name="cat.png", max_pixels=599)


FRAME = Image.new("RGB", (6000, 5000), "red")
BOMBS = {
    "PNG": lambda: png_header(20_000, 20_000),
    "PNG with EXIF": lambda: png_header(12_000, 12_000, chunk(b"eXIf", b"II*\0" + bytes(9))),
    "WEBP": lambda: webp_header(16_383),
    "TIFF": lambda: tiff(np.zeros((1, 1, 3), np.uint8), width=60_000, height=60_000),
    "TIFF of 12,000 by 12,000": lambda: tiff(
        np.zeros((1, 1, 1), np.uint8), width=12_000, height=12_000
    ),
    "TIFF tile": lambda: tiff(
        np.zeros((1, 1, 1), np.uint8), {259: (3, 8), 322: (4, 30_000), 323: (4, 30_000)}
    ),
    "TIFF tags": lambda: tag_bomb(),
    "EXIF tags": lambda: exif_bomb("JPEG"),
    "EXIF tags in WEBP": lambda: exif_bomb("WEBP"),
    "EXIF tags in PNG": lambda: exif_bomb("PNG"),
    "EXIF tags in AVIF": lambda: exif_bomb("AVIF"),
    "PPM": lambda: b"P6 60000 60000 255\n" + bytes(999),
    "plain PPM": lambda: b"P3 60000 60000 255\n" + b"1 " * 999,
    "JPEG 2000": lambda: jp2_header(20_000, 20_000),
    "JPEG 2000 tiles": lambda: jp2_tiles(),
    "AVIF": lambda: avif_header(20_000),
    "AVIF of larger frames": lambda: avif_frames(),
    "AVIF of larger frames, animated": lambda: avif_frames(save_all=True, append_images=[FRAME]),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_that_would_take_much_memory_is_refused_in_little(bomb: str) -> None:
    result, peak, errors = decode_apart(BOMBS[bomb]())
    assert result.startswith("refused")
    assert peak < 50
    assert errors == ""


def tag_bomb() -> bytes:
    """A TIFF whose tags all hold the same megabyte."""
    data = tiff(np.zeros((1000, 1000, 1), np.uint8))
    tags = dict.fromkeys(range(40000, 40900), (4, 0))
    data = bytearray(tiff(np.zeros((1000, 1000, 1), np.uint8), tags))
    for number in range(11, 11 + 900):
        entry = 10 + 12 * number
        struct.pack_into("<HII", data, entry + 2, 7, 1_000_000, 8)
    return bytes(data)


def exif_bomb(image_format: str) -> bytes:
    """EXIF data of 4,000 tags that all hold the same 40 kB."""
    bomb = b"II*\0" + struct.pack("<IH", 8, 4000)
    bomb += b"".join(struct.pack("<HHII", 40_000 + i, 7, 40_000, 8) for i in range(4000))
    harmless = Image.Exif()
    harmless[0x010E] = "x" * 50_000
    data = encode(Image.new("RGB", (9, 9)), image_format, exif=harmless)
    start = data.index(b"MM\0*")
    return data[:start] + bomb + data[start + len(bomb) :]


def jp2_header(width: int, height: int) -> bytes:
    """A JPEG 2000 that declares any size."""
    data = bytearray(encode(Image.new("RGB", (64, 64)), "JPEG2000"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", height, width)
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def jp2_tiles() -> bytes:
    """A JPEG 2000 of 255 x 257 pixels, each a tile of its own."""
    data = bytearray(encode(Image.new("RGB", (255, 257)), "JPEG2000"))
    at = data.index(b"\xff\x51") + 22
    data[at : at + 8] = struct.pack(">II", 1, 1)
    return bytes(data)


def avif_header(side: int) -> bytes:
    """An AVIF that declares any size."""
    data = bytearray(encode(Image.new("RGB", (64, 64)), "AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", side, side)
    return bytes(data)


def webp_header(side: int) -> bytes:
    """A lossy WebP of 64 pixels whose header declares ``side`` by ``side``."""
    data = bytearray(encode(Image.fromarray(noise(64, 64)), "WEBP"))
    start = data.index(b"\x9d\x01\x2a") + 3
    data[start : start + 4] = struct.pack("<HH", side, side)
    return bytes(data)


def avif_frames(**options: Any) -> bytes:
    """An AVIF of 30 megapixels that declares 64 by 64."""
    data = bytearray(encode(Image.new("RGB", FRAME.size), "AVIF", speed=10, **options))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 64, 64)
    return bytes(data)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(TooLargeError, match=f"at most {MAX_BYTES:,} are read"):
        decode(bytes(MAX_BYTES + 1))


def test_pillow_keeps_its_own_limits() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    decode(encode(Image.new("RGB", (8, 8))))
    assert limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_message_is_one_line_whatever_the_name() -> None:
    with pytest.raises(InputError) as caught:
        decode_image(b"x", name="a\nb\x1b[31m.png")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


# Pages, frames and headers


def test_of_a_tiff_of_several_pages_the_first_is_used_and_said_so() -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime")]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.warns(UserWarning, match="image: several pages; only the first is used") as caught:
        result = decode(data)
    assert len(caught) == 1
    np.testing.assert_array_equal(result[0, 0], [255, 0, 0])


def test_a_photograph_with_a_second_image_behind_it_is_no_animation() -> None:
    first, second = Image.fromarray(noise(32, 32)), Image.new("RGB", (32, 32))
    data = encode(first, "MPO", save_all=True, append_images=[second])
    np.testing.assert_array_equal(decode(data), decode(encode(first, "JPEG")))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(orientation: int, compression: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(noise(20, 30))
    turned = decode(encode(image, "TIFF", exif=exif, compression=compression), size=None)
    as_png = decode(encode(image, exif=exif), size=None)
    np.testing.assert_array_equal(turned, as_png)


def test_damaged_exif_data_do_not_damage_the_image() -> None:
    image = Image.fromarray(noise(32, 32))
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0"):
        np.testing.assert_array_equal(decode(encode(image, exif=exif)), np.asarray(image))


def every_mode() -> Iterator[tuple[str, bytes]]:
    for name in (*ENCODERS, "MPO"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"):
            image = Image.new("L" if mode == "I;16" else "RGB", (21, 13)).convert(mode)
            with suppress(OSError, SystemError, ValueError):
                yield f"{name} {mode}", encode(image, name)


def test_the_header_tells_what_decoding_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for case, data in every_mode():
        assert decode(data, size=None).shape == (13, 21, 3), case
        with monkeypatch.context() as patch:
            patch.setattr(ImageFile.ImageFile, "load", None)
            found[case] = probe(data)
        assert (found[case].height, found[case].width) == (13, 21), case
    assert {found[f"PNG {mode}"].grey for mode in ("1", "L", "LA", "I;16")} == {True}
    assert {found[f"PNG {mode}"].grey for mode in ("P", "RGB", "RGBA")} == {False}
    assert found["JPEG L"].grey
    assert found["JPEG2000 I;16"].grey
    assert not found["TIFF CMYK"].grey


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"])
def test_the_header_is_that_of_the_turned_image(image_format: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned"
    path.write_bytes(encode(Image.new("RGB", (21, 13)), image_format, exif=exif))
    assert probe(path) == Header(height=21, width=13, grey=False)
    assert read_image(path, size=None).shape == (21, 13, 3)


def test_the_header_of_a_bad_image_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(TooLargeError, match="at most 25,000,000"):
        probe(png_header(20_000, 20_000))
    with pytest.raises(UnsupportedFormatError, match="image: not an image"):
        probe(b"hello")
    with pytest.raises(InputError, match=r"cat\.jpg: the file is empty"):
        probe(b"", name="cat.jpg")
    with pytest.raises(InputError, match="no such file"):
        probe(tmp_path / "absent.png")
    with pytest.raises(InputError, match="damaged or truncated"):
        probe(b"\xff\xd8\xff\xe0")


# HEIC, which needs an extra


def test_heic_without_its_extra_is_refused_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)
    with pytest.raises(UnsupportedFormatError) as caught:
        decode_image(data, name="cat.heic")
    assert str(caught.value) == (
        "cat.heic: HEIC needs the extra 'heic' (not installed: pillow_heif); run: "
        "pip install 'cifarlab[heic]' (from a checkout: pip install '.[heic]')"
    )


def test_heic_is_read_and_turned_with_its_extra() -> None:
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image = smooth(48, 64).convert("L").convert("RGB")
    heif.from_pillow(image).save(file, exif=exif.tobytes(), quality=95)
    data = file.getvalue()
    turned = decode(data, size=None)
    expected = np.rot90(np.asarray(image), -1)
    assert turned.shape == (64, 48, 3)
    assert np.abs(turned.astype(int) - expected).mean() < 3
    assert probe(data) == Header(height=64, width=48, grey=False)
    assert "HEIF" not in Image.OPEN
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(InputError):
            decode(data[: int(len(data) * share)])
    with pytest.raises(TooLargeError):
        decode(data, max_pixels=1000)


# Whatever comes


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.none() | st.tuples(st.integers(1, 70), st.integers(1, 70)),
    resize_mode=st.sampled_from(["squash", "crop", "pad"]),
    channels=st.sampled_from([1, 3]),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"]),
    image_format=st.sampled_from(list(ENCODERS)),
)
@settings(max_examples=150, deadline=None)
def test_the_result_has_exactly_the_shape_asked_for(
    height: int,
    width: int,
    size: tuple[int, int] | None,
    resize_mode: str,
    channels: int,
    mode: str,
    image_format: str,
) -> None:
    image = Image.fromarray(noise(height, width))
    image = image.convert("L").convert("I;16") if mode == "I;16" else image.convert(mode)
    try:
        data = encode(image, image_format)
    except (OSError, SystemError, ValueError):
        assume(False)
    result = decode(data, size=size, resize_mode=resize_mode, channels=channels)
    assert result.dtype == np.uint8
    assert result.shape == (*(size or (height, width)), channels)


BEGINNINGS = [b"", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"P5 9 9 255\n", b"P2 9 9 999\n", b"P6"]
BEGINNINGS += [
    b"\x89PNG\r\n\x1a\n",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\x1cftypavif",
    b"RIFF____WEBP",
    b"BM",
]


@given(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_raise_input_errors(beginning: bytes, rest: bytes) -> None:
    for read in (decode, probe):
        with suppress(InputError):
            read(beginning + rest)


def mutated(seed: int) -> bytes:
    """An image with some bytes changed, cut out, repeated or cut off."""
    draw = np.random.default_rng(seed)
    image_format = list(ENCODERS)[seed % len(ENCODERS)]
    shape = (int(draw.integers(1, 48)), int(draw.integers(1, 48)))
    image = Image.fromarray(noise(*shape, seed)).convert("L" if seed % 3 == 0 else "RGB")
    if image_format in ("PNG", "WEBP") and seed % 2:
        image = image.convert("RGBA")
    if image_format in ("PNG", "GIF") and seed % 5 == 0:
        image = image.convert("P")
    options: dict[str, Any] = {}
    if image_format == "TIFF":
        options["compression"] = ("raw", "tiff_lzw", "jpeg", "tiff_deflate")[seed // 9 % 4]
    data = bytearray(encode(image, image_format, **options))
    for _ in range(int(draw.integers(1, 6))):
        # Headers are short, and most of what can go wrong is in them.
        reach = len(data) if draw.random() < 0.5 else min(len(data), 64)
        at = int(draw.integers(0, reach))
        match draw.integers(0, 4):
            case 0:
                data[at] = int(draw.integers(0, 256))
            case 1:
                data[at : at + 4] = draw.bytes(4)
            case 2:
                del data[at : at + int(draw.integers(1, 9))]
            case _:
                data[at:at] = data[at : at + int(draw.integers(1, 33))]
        if not data:
            break
    return bytes(data[: int(draw.integers(1, len(data) + 1))] if draw.random() < 0.2 else data)


def survive(seeds: range) -> None:
    messages: list[str] = []
    for seed in seeds:
        try:
            with warnings.catch_warnings():
                # Pillow's own would be errors here.
                warnings.filterwarnings("ignore", "image: (animated|several pages)")
                result = decode(mutated(seed))
        except InputError as error:
            messages.append(str(error))
        else:
            assert result.shape == (32, 32, 3)
    assert not any("\n" in message for message in messages)
    assert len(seeds) / 10 < len(messages) < len(seeds), "the mutations hurt, and not always"


def test_mutated_images_decode_or_raise_input_errors(capfd: pytest.CaptureFixture[str]) -> None:
    survive(range(720))
    assert capfd.readouterr() == ("", ""), "the decoders' libraries keep quiet"


@pytest.mark.slow
def test_many_mutated_images_decode_or_raise_input_errors() -> None:
    survive(range(720, 10_720))


# Files


def test_a_file_is_read_like_its_bytes(tmp_path: Path) -> None:
    pixels = noise(32, 32)
    path = tmp_path / "wrong suffix.jpg"
    path.write_bytes(encode(Image.fromarray(pixels)))
    np.testing.assert_array_equal(read_image(path), pixels)
    assert read_image(str(path), size=16, resize_mode="crop").shape == (16, 16, 3)


def test_files_that_cannot_be_read_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.png: no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="not a file but a folder"):
        read_image(tmp_path)
    with pytest.raises(InputError):
        read_image("null\0byte.png")


@posix_only
@pytest.mark.timeout(20)
def test_pipes_devices_and_sockets_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    Path("link.png").symlink_to("pipe.png")
    Path("zero.png").symlink_to("/dev/zero")
    for path in ("pipe.png", "socket.png", "link.png", "zero.png", "/dev/zero", "/dev/null"):
        for read in (read_bytes, read_image, lambda path: probe(Path(path))):
            with pytest.raises(InputError, match="not a file but a pipe, device or socket"):
                read(path)
    Path("loop.png").symlink_to("loop.png")
    Path("nowhere.png").symlink_to("absent.png")
    for path in ("loop.png", "nowhere.png"):
        with pytest.raises(InputError):
            read_bytes(path)


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(20 * 2**30)
    with pytest.raises(InputError, match="at most"):
        read_image(path)
