"""Whether an exported model gives the predictions of the classifier, and how fast."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.named import shapes
from cifarlab.exporting.runners import Predict, batch_size

IMAGES = 1000
# Of large images fewer are compared, so that it takes no longer than 1,000 of this side.
SIDE, LEAST = 64, 100
# Of any probability, for formats that compute in float32.
TOLERANCE = 1e-4
GENERATED, TEST = "generated", "test"
# Small and odd calls come before full ones: the number of images must not be fixed.
FIRST_CALLS = (1, 7)
ROUNDS = 5


@dataclass(frozen=True, kw_only=True)
class Parity:
    """An exported model beside the classifier on the same images.

    Attributes:
        images: how many.
        source: where they are from, ``"generated"`` or ``"test"``.
        agreement: share of them with the same top class, 0 to 1. Where the classifier's two
            best classes are within ``TOLERANCE`` of each other, either is the same.
        largest_difference: of any probability.
        batch: images in a full call.
        images_per_second, classifier_images_per_second: in full calls, medians.
    """

    images: int
    source: str
    agreement: float
    largest_difference: float
    batch: int
    images_per_second: float
    classifier_images_per_second: float

    @property
    def exact(self) -> bool:
        """Whether the predictions are the same, but for rounding in float32."""
        return self.agreement == 1.0 and self.largest_difference < TOLERANCE


def compare(
    predict: Predict, classifier: Classifier, images: np.ndarray[Any, Any], source: str
) -> Parity:
    """Run both on uint8 ``[N, H, W, C]``, and time them alternating."""
    batch = batch_size(*images.shape[1:3])
    expected = classifier.predict_proba(images)
    exported = _in_calls(predict, images, batch)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_rate(classifier.predict_proba, images[:batch]))
        theirs.append(_rate(predict, images[:batch]))
    return Parity(
        images=len(images),
        source=source,
        agreement=float(_same_class(exported, expected).mean()),
        largest_difference=float(np.abs(exported - expected).max()),
        batch=batch,
        images_per_second=statistics.median(theirs),
        classifier_images_per_second=statistics.median(ours),
    )


def count_for(height: int, width: int) -> int:
    """Return how many images of this size are compared.

    Example:
        >>> count_for(32, 32), count_for(256, 256)
        (1000, 100)
    """
    return max(LEAST, min(IMAGES, IMAGES * SIDE * SIDE // (height * width)))


def comparison_images(
    size: tuple[int, int], count: int = IMAGES, channels: int = 3
) -> np.ndarray[Any, Any]:
    """Generate images without a dataset: half shapes, a quarter smooth, a quarter noise.

    Args:
        size: their height and width.
        channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 ``[count, *size, channels]``, always the same.

    Example:
        >>> comparison_images((28, 40), 8, channels=1).shape
        (8, 28, 40, 1)
    """
    generator = np.random.default_rng(0)
    height, width = size
    drawn = [shapes.draw_image(i % 10, generator) for i in range(count // 2)]
    smooth = [generator.integers(0, 256, (4, 4, 3), np.uint8) for _ in range(count // 4)]
    resized = [_resized(one, size, channels) for one in drawn + smooth]
    shape = (count - len(resized), height, width, channels)
    noise = generator.integers(0, 256, shape, np.uint8)
    return np.concatenate([np.stack(resized), noise]) if resized else noise


def _resized(
    image: np.ndarray[Any, Any], size: tuple[int, int], channels: int
) -> np.ndarray[Any, Any]:
    height, width = size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    if channels == 1:
        resized = resized.convert("L")
    return np.asarray(resized).reshape(height, width, channels)


def _in_calls(predict: Predict, images: np.ndarray[Any, Any], batch: int) -> np.ndarray[Any, Any]:
    """Predict in calls of one image, then seven, then ``batch``."""
    parts: list[np.ndarray[Any, Any]] = []
    start = 0
    while start < len(images):
        size = FIRST_CALLS[len(parts)] if len(parts) < len(FIRST_CALLS) else batch
        parts.append(predict(images[start : start + size]))
        start += size
    return np.concatenate(parts)


def _same_class(
    exported: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    chosen = exported.argmax(1)[:, None]
    lead = expected.max(1) - np.take_along_axis(expected, chosen, 1)[:, 0]
    return np.asarray(lead <= TOLERANCE)


def _rate(predict: Predict, images: np.ndarray[Any, Any]) -> float:
    began = time.perf_counter()
    predict(images)
    return len(images) / (time.perf_counter() - began)
