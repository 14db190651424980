"""Image files that Pillow cannot write, and what the tests of images share."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def encode(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def noise(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> Image.Image:
    """An image of soft blobs, as photographs are mostly."""
    return Image.fromarray(noise(12, 16, seed)).resize((width, height), Image.Resampling.BICUBIC)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(values: Array, colour_type: int, *extra: bytes) -> bytes:
    """A 16-bit PNG of uint16 ``[H, W, C]``; ``extra`` are further chunks."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(
    values: Array, tags: dict[int, tuple[int, int]] | None = None, order: str = "<", **changed: int
) -> bytes:
    """An uncompressed TIFF of one strip, with the samples as they are in ``values``.

    Args:
        values: ``[H, W, C]`` of any integer or float type.
        tags: further or other tags: type and value.
        order: of the bytes.
        changed: ``width`` or ``height`` to declare.
    """
    height, width, bands = values.shape
    bits = values.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    entries = {
        256: (4, changed.get("width", width)),
        257: (4, changed.get("height", height)),
        258: (3, bits),
        259: (3, 1),
        262: (3, 2 if bands >= 3 else 1),
        273: (4, 0),
        277: (3, bands),
        278: (4, height),
        279: (4, values.nbytes),
        284: (3, 1),
        339: (3, kind),
    } | (tags or {})
    start = 8 + 2 + 12 * len(entries) + 4
    entries[273] = (4, start)
    out = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    out += struct.pack(order + "H", len(entries))
    for tag in sorted(entries):
        kind, value = entries[tag]
        packed = struct.pack(
            order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,))
        )
        out += struct.pack(order + "HHI", tag, kind, 1) + packed
    return out + bytes(4) + values.astype(values.dtype.newbyteorder(order)).tobytes()


# The memory of a process of its own, without what it inherits from the one that starts it.
_MEASURE = r"""
import re, sys, warnings
from pathlib import Path
from cifarlab.data.image import decode_image
from cifarlab.errors import InputError
def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
data = sys.stdin.buffer.read()
decode_image(b"P5 1 1 255 a", name="warm up")
before = peak()
try:
    print("decoded", decode_image(data, name="image").mean())
except InputError as error:
    print("refused", error)
print(peak() - before)
"""


def decode_apart(data: bytes) -> tuple[str, int, str]:
    """Decode in another process: what came of it, megabytes at the peak, standard error."""
    done = subprocess.run([sys.executable, "-c", _MEASURE], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr
    result, peak = done.stdout.decode().rsplit("\n", 2)[:2]
    return result, int(peak) // 1024, done.stderr.decode()


def one_line(message: str) -> bool:
    return re.search(r"[\r\n]", message) is None
