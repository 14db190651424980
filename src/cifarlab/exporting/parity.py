"""Whether an exported model gives the predictions of the classifier, and how fast."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data import shapes
from cifarlab.exporting.runners import Predict

IMAGES = 1000
# Of any probability, for formats that compute in float32.
TOLERANCE = 1e-4
GENERATED, TEST = "generated", "test"
# Small, odd and large calls: the number of images must not be fixed.
CHUNKS = (1, 7, 64)
BATCH, ROUNDS = 64, 5


@dataclass(frozen=True, kw_only=True)
class Parity:
    """An exported model beside the classifier on the same images.

    Attributes:
        images: how many.
        source: where they are from, ``"generated"`` or ``"test"``.
        agreement: share of them with the same top class, 0 to 1. Where the classifier's two
            best classes are within ``TOLERANCE`` of each other, either is the same.
        largest_difference: of any probability.
        images_per_second, classifier_images_per_second: in batches of 64, medians.
    """

    images: int
    source: str
    agreement: float
    largest_difference: float
    images_per_second: float
    classifier_images_per_second: float

    @property
    def exact(self) -> bool:
        """Whether the predictions are the same, but for rounding in float32."""
        return self.agreement == 1.0 and self.largest_difference < TOLERANCE


def compare(
    predict: Predict, classifier: Classifier, images: np.ndarray[Any, Any], source: str
) -> Parity:
    """Run both on uint8 ``[N, H, W, 3]``, and time them alternating."""
    expected = classifier.predict_proba(images)
    exported = _in_chunks(predict, images)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(_rate(classifier.predict_proba, images[:BATCH]))
        theirs.append(_rate(predict, images[:BATCH]))
    return Parity(
        images=len(images),
        source=source,
        agreement=float(_same_class(exported, expected).mean()),
        largest_difference=float(np.abs(exported - expected).max()),
        images_per_second=statistics.median(theirs),
        classifier_images_per_second=statistics.median(ours),
    )


def comparison_images(side: tuple[int, int], count: int = IMAGES) -> np.ndarray[Any, Any]:
    """Generate images without a dataset: half shapes, a quarter smooth, a quarter noise.

    Args:
        side: their height and width.

    Returns:
        uint8 ``[count, *side, 3]``, always the same.
    """
    generator = np.random.default_rng(0)
    height, width = side
    drawn = [shapes.draw_image(i % 10, generator) for i in range(count // 2)]
    smooth = [generator.integers(0, 256, (4, 4, 3), np.uint8) for _ in range(count // 4)]
    resized = [
        np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC))
        for one in drawn + smooth
    ]
    noise = generator.integers(0, 256, (count - len(resized), height, width, 3), np.uint8)
    return np.concatenate([np.stack(resized), noise]) if resized else noise


def _in_chunks(predict: Predict, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Predict in calls of one image, then seven, then many."""
    parts: list[np.ndarray[Any, Any]] = []
    start = 0
    while start < len(images):
        size = CHUNKS[min(len(parts), len(CHUNKS) - 1)]
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
