"""Name what a file is by its first bytes: an image format that is read, or something else."""

from __future__ import annotations

import re

# Pillow's names of the formats, HEIF apart, which another package reads.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "PPM", "JPEG2000", "HEIF")
ACCEPTED = "PNG, JPEG, WEBP, GIF, BMP, AVIF, TIFF, PPM, PGM, JPEG 2000, HEIC (extra 'heic')"

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG2000",
    **dict.fromkeys(_TIFF, "TIFF"),
}
# Sizes of the header that follows the file's own 14 bytes; without it text may begin like a BMP.
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_PPM = re.compile(rb"P[1-6][\s#]")

# Brands of ISO base media files; see https://mp4ra.org/registered-types/brands
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1"}
_AVIF_BRANDS = {b"avif", b"avis"}

_CONVERT = "convert it to PNG or JPEG"
_RAW = "develop it: save it as PNG or JPEG with the camera's or any photo program"
_EXTRACT = "unpack it and give the images"

_RAW_PHOTOGRAPH = ("a camera's raw file", _RAW)
_ARCHIVE = ("an archive", _EXTRACT)
_VIDEO = ("a video", "save the frames that matter as images")
_DESIGN = ("a layered image of a drawing program", "export it as PNG")
_SCIENTIFIC = ("a scientific data file", "save each image in it as an 8- or 16-bit PNG")

# What a file may be that is named as an image, in the order of looking.
_OTHERS: tuple[tuple[int, bytes, tuple[str, str]], ...] = (
    (8, b"CR", _RAW_PHOTOGRAPH),
    (0, b"IIU\0", _RAW_PHOTOGRAPH),
    (0, b"IIRO", _RAW_PHOTOGRAPH),
    (0, b"IIRS", _RAW_PHOTOGRAPH),
    (0, b"MMOR", _RAW_PHOTOGRAPH),
    (0, b"FUJIFILMCCD-RAW", _RAW_PHOTOGRAPH),
    (0, b"FOVb", _RAW_PHOTOGRAPH),
    (6, b"HEAPCCDR", _RAW_PHOTOGRAPH),
    (
        0,
        b"\0\x05\x16\x07",
        (
            "the companion file that macOS puts beside a file",
            "delete it; the image is another file",
        ),
    ),
    (0, b"BM", ("a truncated BMP image, or text", "replace it by the whole image")),
    (0, b"%PDF-", ("a PDF document", "save its pages as PNG")),
    (0, b"%!PS", ("a PostScript drawing", _CONVERT)),
    (0, b"PK\x03\x04", ("a ZIP archive", _EXTRACT)),
    (0, b"PK\x05\x06", ("a ZIP archive", _EXTRACT)),
    (0, b"\x1f\x8b", ("a gzip archive", _EXTRACT)),
    (0, b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (0, b"Rar!", _ARCHIVE),
    (0, b"BZh", _ARCHIVE),
    (0, b"\xfd7zXZ\0", _ARCHIVE),
    (257, b"ustar", ("a tar archive", _EXTRACT)),
    (0, b"8BPS", ("a Photoshop file (PSD)", "export it as PNG")),
    (0, b"8BPB", ("a Photoshop file (PSB)", "export it as PNG")),
    (0, b"gimp xcf", _DESIGN),
    (0, b"\x1aE\xdf\xa3", _VIDEO),
    (0, b"\0\0\x01\xba", _VIDEO),
    (0, b"FLV\x01", _VIDEO),
    (0, b"\xff\x0a", ("a JPEG XL image", _CONVERT)),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", ("a JPEG XL image", _CONVERT)),
    (0, b"II\xbc\x01", ("a JPEG XR image", _CONVERT)),
    (0, b"\0\0\x01\0", ("an icon (ICO)", _CONVERT)),
    (0, b"v/1\x01", ("an OpenEXR image", _CONVERT)),
    (0, b"#?R", ("a Radiance HDR image", _CONVERT)),
    (0, b"DDS ", ("a DirectDraw texture", _CONVERT)),
    (0, b"Pf", ("a PFM image of floating-point values", "convert it to 8- or 16-bit PNG")),
    (0, b"PF", ("a PFM image of floating-point values", "convert it to 8- or 16-bit PNG")),
    (0, b"P7", ("a PAM image", "convert it to PNG or PPM")),
    (128, b"DICM", ("a DICOM file", "export its image as an 8- or 16-bit PNG")),
    (0, b"\x89HDF\r\n\x1a\n", _SCIENTIFIC),
    (0, b"SIMPLE  =", _SCIENTIFIC),
    (0, b"\x93NUMPY", ("a NumPy array", "save it as PNG, or give the array in Python")),
)


def format_of(data: bytes) -> str | None:
    """Return the format that the first bytes announce, one of ``FORMATS``, or ``None``.

    Example:
        >>> format_of(b"GIF89a...")
        'GIF'
    """
    if data[8:10] == b"CR" and data.startswith(_TIFF):
        return None
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if _PPM.match(data):
        return "PPM"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIC_BRANDS else None


def describe(data: bytes) -> tuple[str, str]:
    """Say what a file of no accepted format is, and what to do about it.

    Example:
        >>> describe(b"%PDF-1.7 ...")
        ('a PDF document', 'save its pages as PNG')
    """
    for start, signature, description in _OTHERS:
        if data.startswith(signature, start):
            return description
    if data.startswith(b"RIFF") and data[8:12] == b"AVI ":
        return _VIDEO
    if data[4:8] in (b"ftyp", b"moov", b"mdat"):
        return _RAW_PHOTOGRAPH if b"crx " in _brands(data) else _VIDEO
    return _describe_text(data[:4096])


def _describe_text(head: bytes) -> tuple[str, str]:
    text = head.decode("utf-8", errors="ignore").lstrip("\ufeff \t\r\n")
    lower = text.lower()
    if text.startswith("version https://git-lfs"):
        return "a Git LFS pointer", "fetch the image with: git lfs pull"
    if "/annex/objects/" in text.split("\n", 1)[0]:
        return "a git-annex pointer", "fetch the image with: git annex get"
    if "<svg" in lower:
        return "an SVG drawing", "convert it to PNG"
    if lower.startswith(("<!doctype html", "<html", "<head", "<body", "<script")):
        return "an HTML page, as a failed download leaves", "download the image again"
    if lower.startswith("<?xml"):
        return "an XML document, as a failed download leaves", "download the image again"
    if not head.strip(b"\0"):
        return "nothing but zero bytes, as an interrupted copy leaves", "copy the image again"
    if not _CONTROL.search(head) and len(text.encode()) + 8 > len(head.strip()):
        return "text", "replace it by the image"
    return "of an unknown format", _CONVERT


# Control characters that no text holds.
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]")


def _brands(data: bytes) -> set[bytes]:
    """Return the brands that an ISO base media file declares, none of other files."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 512)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
