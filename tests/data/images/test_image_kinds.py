"""A file that is no image, or of another format than its name says, is named as what it is."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.image import decode_image
from cifarlab.data.images.kinds import ACCEPTED, FORMATS, format_of
from cifarlab.errors import UnsupportedFormatError
from image_files import encode, one_line, tiff

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s12--abc.jpg\n"
LINK = b"../.git/annex/objects/3F/xq/SHA256E-s12--abc.jpg/SHA256E-s12--abc.jpg"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cat.jpg", b"x")
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("cat.jpg"))
    return file.getvalue()


def isobmff(*brands: bytes) -> bytes:
    body = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (len(body) + 4).to_bytes(4, "big") + body + bytes(64)


def array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


OTHERS = {
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page", "download"),
    "html after blanks": (b"\xef\xbb\xbf\r\n <HTML><head>", "an HTML page", "download"),
    "xml error": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML", "download"),
    "git lfs": (LFS, "a Git LFS pointer", "git lfs pull"),
    "git-annex": (ANNEX, "a git-annex pointer", "git annex get"),
    "git-annex link": (LINK, "a git-annex pointer", "git annex get"),
    "text": (b"hello\n", "text", "replace"),
    "text in another language": ("größer 猫\n".encode() * 900, "text", "replace"),
    "text that begins like a bmp": (b"BMW and other makes of car\n", "text", "replace"),
    "json": (b'{"error": "not found"}', "text", "replace"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "an SVG drawing", "convert"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document", "PNG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript drawing", "convert"),
    "zip": (zipped(), "a ZIP archive", "unpack"),
    "gzip": (gzip.compress(b"x"), "a gzip archive", "unpack"),
    "tar": (tarred(), "a tar archive", "unpack"),
    "mp4": (isobmff(b"isom", b"mp42"), "a video", "frames"),
    "mov": (isobmff(b"qt  "), "a video", "frames"),
    "webm": (b"\x1aE\xdf\xa3" + bytes(90), "a video", "frames"),
    "avi": (b"RIFF\x10\0\0\0AVI LIST", "a video", "frames"),
    "photoshop": (b"8BPS\0\x01" + bytes(90), "a Photoshop file", "export"),
    "canon raw, new": (isobmff(b"crx ", b"isom"), "a camera's raw file", "develop"),
    "canon raw": (b"II*\0\x10\0\0\0CR\x02\0" + bytes(99), "a camera's raw file", "develop"),
    "fuji raw": (b"FUJIFILMCCD-RAW 0201", "a camera's raw file", "develop"),
    "panasonic raw": (b"IIU\0" + bytes(99), "a camera's raw file", "develop"),
    "olympus raw": (b"IIRO" + bytes(99), "a camera's raw file", "develop"),
    "mac resource fork": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X", "companion file", "delete"),
    "zeros": (bytes(5000), "nothing but zero bytes", "copy"),
    "jpeg xl": (b"\xff\x0a" + bytes(range(40)), "a JPEG XL image", "convert"),
    "icon": (b"\0\0\x01\0\x01\0" + bytes(40), "an icon", "convert"),
    "dicom": (bytes(128) + b"DICM" + bytes(9), "a DICOM file", "export"),
    "numpy": (array(), "a NumPy array", "PNG"),
    "float map": (b"Pf\n2 2\n-1.0\n" + bytes(16), "floating-point", "16-bit"),
    "noise": (bytes(range(128, 256)) * 9 + b"\0", "unknown", "convert"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_file_named_jpg_that_is_something_else_says_what_it_is(kind: str) -> None:
    data, what, remedy = OTHERS[kind]
    with pytest.raises(UnsupportedFormatError) as caught:
        decode_image(data, name="cat.jpg")
    message = str(caught.value)
    assert message.startswith("cat.jpg: not an image that can be read: ")
    assert what in message
    assert remedy in message.split(";")[1]
    assert message.endswith(f"accepted formats are {ACCEPTED}")
    assert one_line(message)


@pytest.mark.parametrize(
    "tags",
    [{50706: (4, 0x0104)}, {254: (4, 1), 330: (4, 8)}],
    ids=["dng", "preview and sub-images"],
)
def test_a_raw_photograph_that_begins_like_a_tiff_is_not_read_as_its_preview(
    tags: dict[int, tuple[int, int]],
) -> None:
    data = tiff(np.zeros((4, 4, 3), dtype=np.uint8), tags)
    with pytest.raises(UnsupportedFormatError, match="raw file; develop it"):
        decode_image(data, name="cat.jpg")


def test_the_formats_are_known_by_their_beginning() -> None:
    image = Image.new("RGB", (9, 9))
    for name in set(FORMATS) - {"HEIF"}:
        assert format_of(encode(image, name)) == name
    assert format_of(encode(image, "JPEG2000", no_jp2=True)) == "JPEG2000"
    assert format_of(isobmff(b"mif1", b"mif1", b"heic")) == "HEIF"
    assert format_of(isobmff(b"mif1", b"mif1", b"avif")) == "AVIF"
    assert format_of(b"") is None
