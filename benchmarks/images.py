"""Random images: the speed of training does not depend on what they show."""

from __future__ import annotations

from typing import Any

import numpy as np

SHAPE = (32, 32, 3)
CLASSES = 10


def synthetic(count: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return uint8 ``[count, 32, 32, 3]`` images and int64 ``[count]`` labels 0 to 9."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return images, generator.integers(0, CLASSES, count, dtype=np.int64)
