"""What the page has to say about one image, before it is drawn."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_image
from cifarlab.errors import InputError
from cifarlab.explain import grad_cam, integrated_gradients
from cifarlab.plots.overlay import overlay
from cifarlab.predictions import Predictions

Array = np.ndarray[Any, Any]
# Height and width of the saliency image, in pixels.
OVERLAY = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """One image through the model's eyes.

    Attributes:
        seen: uint8 ``[H, W, 3]``, exactly what the model was given.
        heat: uint8 ``[256, 256, 3]``, the same with what spoke for the answer laid over it.
        predictions: of this one image.
        sure: as ``Classifier.sure``.
    """

    seen: Array
    heat: Array
    predictions: Predictions
    sure: bool | None


def look_at_file(
    classifier: Classifier, lock: threading.Lock, content: bytes, name: str, resize_mode: str
) -> Look:
    """Decode, classify and explain a file; ``name`` is what messages call it.

    Raises:
        InputError: no image that can be read; see ``decode_image``.
        UsageError: ``resize_mode`` is none.
    """
    size = classifier.input_shape[0]
    seen = decode_image(content, name=name, size=size, resize_mode=resize_mode)
    return look_at(classifier, lock, seen)


def look_at(classifier: Classifier, lock: threading.Lock, seen: Array) -> Look:
    """Classify and explain uint8 ``[H, W, 3]`` of the model's size; ``lock`` guards the model.

    Raises:
        InputError: another dtype or size.
    """
    with lock:
        predictions = classifier.predict(seen)
        saliency = _saliency(classifier, seen[None], predictions.predicted)[0]
    sure = classifier.sure(float(predictions.confidence[0]))
    return Look(
        seen=seen, heat=overlay(seen, saliency, OVERLAY), predictions=predictions, sure=sure
    )


def _saliency(classifier: Classifier, images: Array, classes: Array) -> Array:
    try:
        return grad_cam(classifier, images, classes)
    except InputError:
        # A network without convolutions has no map to look at.
        return integrated_gradients(classifier, images, classes)
