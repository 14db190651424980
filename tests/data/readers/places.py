"""Folders of small images for the tests of readers, and what a reader understood of them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.samples import Found, Rejected

DEFAULTS = LoadOptions()


def png(seed: int = 0, side: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def made(root: Path, *images: str, **others: str | bytes) -> Path:
    """Make images, each with pixels of its own, and other files: ``labels_csv="..."``."""
    for number, name in enumerate(images):
        write(root / name, png(number))
    for name, content in others.items():
        write(root / name.replace("__", "/").replace("_csv", ".csv"), content)
    return root


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(answer: Found | Rejected) -> Found:
    """Return what was found; a reason against it fails the test."""
    assert isinstance(answer, Found), answer
    return answer


def classes(answer: Found | Rejected) -> dict[str, dict[str, str]]:
    """Return the class of each image by split and name."""
    answer = found(answer)
    return {
        split: {
            name: answer.class_names[label]
            for name, label in zip(samples.names, samples.labels, strict=True)
        }
        for split, samples in answer.splits.items()
    }


def contents(answer: Found | Rejected) -> dict[str, Mapping[str, bytes]]:
    """Return the encoded images by split and name."""
    return {
        split: {
            name: stored if isinstance(stored, bytes) else Path(stored).read_bytes()  # type: ignore[arg-type]
            for name, stored in zip(samples.names, samples.contents(), strict=True)
        }
        for split, samples in found(answer).splits.items()
    }
