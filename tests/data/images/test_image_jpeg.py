"""Large, unfinished and cut-off JPEG files: read where all pixels are there, or refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.image import MAX_PIXELS, decode_image
from cifarlab.data.images.jpeg import END, read_structure
from cifarlab.errors import InputError, TooLargeError, UnsupportedFormatError
from image_files import Array, decode_apart, encode, noise, smooth

KINDS = {
    "baseline": {},
    "no subsampling": {"subsampling": 0},
    "grey": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 1},
    "restart rows": {"restart_marker_rows": 1},
    "best quality": {"quality": 100, "subsampling": 0},
}


def jpeg(kind: str, seed: int = 0, height: int = 45, width: int = 61) -> bytes:
    image = smooth(height, width, seed) if seed % 2 else Image.fromarray(noise(height, width, seed))
    return encode(image.convert("L") if kind == "grey" else image, "JPEG", **KINDS[kind])


def decode(data: bytes, size: tuple[int, int] | None = None) -> Array:
    return decode_image(data, name="image", size=size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(kind: str, seed: int) -> None:
    whole = jpeg(kind, seed)
    assert whole.endswith(END)
    for unfinished in (whole[:-2], whole[:-1], whole[:-2] + bytes(1000)):
        np.testing.assert_array_equal(decode(unfinished), decode(whole))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [b"", b"\xff", bytes(5000)], ids=["nothing", "half", "zeros"])
def test_a_truncated_scan_is_refused_wherever_it_ends(kind: str, ending: bytes) -> None:
    whole = jpeg(kind, 2, height=24, width=24)
    scan = whole.index(b"\xff\xda")
    # The last byte of a scan may hold nothing but filling.
    for length in [*range(len(whole) - 12, len(whole) - 3), *range(scan, len(whole) - 12, 7)]:
        with pytest.raises(InputError, match="truncated"):
            decode(whole[:length] + ending)


@pytest.mark.parametrize("kind", ["baseline", "grey", "restarts", "optimised"])
def test_a_truncated_scan_with_an_end_marker_is_refused(kind: str) -> None:
    whole = jpeg(kind, 2)
    scan = whole.index(b"\xff\xda") + 14
    for share in (0.1, 0.4, 0.7, 0.9):
        cut = whole[: scan + int((len(whole) - scan) * share)]
        with pytest.raises(InputError, match="truncated"):
            decode(cut.rstrip(b"\xff") + END)


def test_an_image_that_is_grey_to_its_last_pixel_is_not_called_truncated() -> None:
    data = encode(Image.new("RGB", (50, 50), (128, 128, 128)), "JPEG")
    np.testing.assert_array_equal(decode(data), np.full((50, 50, 3), 128))


def test_an_unfinished_jpeg_of_two_sizes_is_refused() -> None:
    whole = jpeg("baseline", 2)
    frame = whole.index(b"\xff\xc0")
    length = 2 + int.from_bytes(whole[frame + 2 : frame + 4], "big")
    second = bytearray(whole[frame : frame + length])
    second[6] -= 8
    with pytest.raises(InputError, match="two sizes"):
        decode(whole[: frame + length] + bytes(second) + whole[frame + length : -300])


@pytest.mark.parametrize("rest", [b"garbage", bytes(999), b"\xff\xd8\xff\xe1\x00", END * 3])
def test_what_follows_the_end_marker_does_not_matter(rest: bytes) -> None:
    whole = jpeg("baseline")
    np.testing.assert_array_equal(decode(whole + rest), decode(whole))


def test_scans_that_were_never_written_are_noticed() -> None:
    whole = jpeg("progressive", 1)
    starts = [i for i in range(len(whole)) if whole[i : i + 2] == b"\xff\xda"]
    assert len(starts) > 5
    with pytest.raises(InputError, match="scans are missing"):
        decode(whole[: starts[-1]])


def test_the_structure_is_what_the_file_holds() -> None:
    structure = read_structure(jpeg("baseline", height=45, width=61))
    assert structure is not None
    assert (structure.height, structure.width, len(structure.components)) == (45, 61, 3)
    assert structure.coefficient_bytes == 0
    progressive = read_structure(jpeg("progressive", height=64, width=64))
    assert progressive is not None
    # 64x64 luminance and twice 32x32 of colour, two bytes each.
    assert progressive.coefficient_bytes == (64 * 64 + 2 * 32 * 32) * 2
    assert progressive.every_scan_is_there


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [(4, 12, "a JPEG of 12 bits a value; save it with 8"), (9, 2, "a JPEG of 2 bands")],
)
def test_jpegs_that_no_decoder_here_reads_are_refused_by_name(
    at: int, value: int, message: str
) -> None:
    data = bytearray(jpeg("baseline"))
    data[data.index(b"\xff\xc0") + at] = value
    with pytest.raises(UnsupportedFormatError, match=message):
        decode(bytes(data))


# Large photographs


def test_a_large_photograph_is_decoded_small_and_nearly_the_same() -> None:
    image = smooth(4200, 6400)
    assert image.width * image.height > MAX_PIXELS
    data = encode(image, "JPEG", quality=90)
    del image
    small = decode(data, (64, 64))
    with Image.open(io.BytesIO(data)) as opened:
        full = np.asarray(opened.resize((64, 64), Image.Resampling.BICUBIC))
    assert np.abs(small.astype(int) - full).mean() < 0.5
    assert np.abs(small.astype(int) - full).max() <= 4


def test_up_to_200_megapixels_take_less_memory_than_25_in_full() -> None:
    limit = encode(smooth(5000, 5000), "JPEG")
    _, allowed, _ = decode_apart(limit)
    for height, width, options in (
        (10_000, 10_000, {}),
        (12_500, 16_000, {}),
        (7_000, 9_000, {"progressive": True}),
    ):
        data = encode(smooth(height, width), "JPEG", **options)
        result, taken, _ = decode_apart(data)
        assert result.startswith("decoded")
        # What 25 megapixels took when every image was decoded in full and copied twice.
        assert taken < 287
        assert taken < 3 * allowed


def test_a_large_progressive_photograph_is_refused_with_its_memory() -> None:
    data = encode(smooth(9_000, 9_000), "JPEG", progressive=True)
    with pytest.raises(
        TooLargeError, match=r"progressive JPEG.*take 243 MB.*at most 190.*baseline"
    ):
        decode(data, (32, 32))


def test_more_than_200_megapixels_are_refused() -> None:
    data = bytearray(encode(Image.new("L", (16, 16)), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = bytes([0x4E, 0x21, 0x4E, 0x21])
    with pytest.raises(TooLargeError, match="20001 x 20001 pixels; at most 200,000,000"):
        decode(bytes(data), (32, 32))


def test_a_callers_own_limit_is_never_passed_by_reducing() -> None:
    data = encode(smooth(5200, 5000), "JPEG")
    for limit in (MAX_PIXELS, 1000):
        with pytest.raises(TooLargeError, match=f"at most {limit:,} are decoded"):
            decode_image(data, name="image", max_pixels=limit)


def test_a_large_photograph_is_not_reduced_below_the_size_asked_for() -> None:
    data = encode(smooth(5200, 5000), "JPEG")
    for size in (None, (2700, 100)):
        with pytest.raises(TooLargeError, match="at most 25,000,000"):
            decode(data, size)


def test_a_large_photograph_is_turned_as_its_exif_data_say() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = smooth(4200, 6400)
    turned = decode(encode(image, "JPEG", exif=exif), (64, 42))
    upright = decode(encode(image, "JPEG"), (42, 64))
    assert np.abs(turned.astype(int) - np.rot90(upright, -1)).mean() < 1.5
