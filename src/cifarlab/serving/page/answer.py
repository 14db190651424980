"""What the page shows of one image, before it is drawn."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.image import MAX_PIXELS, decode_as
from cifarlab.errors import InputError
from cifarlab.explain import grad_cam, integrated_gradients
from cifarlab.plots.overlay import overlay
from cifarlab.predictions import Predictions

Array = np.ndarray[Any, Any]
# The longer side of the saliency image, in pixels.
OVERLAY = 256


@dataclass(frozen=True, eq=False, kw_only=True)
class Explained:
    """One image, its prediction, and the saliency of that prediction.

    Attributes:
        image: uint8 ``[H, W, C]``, exactly what the model was given.
        saliency: uint8 ``[h, w, 3]``, the image enlarged, with a heat map of the pixels that
            mattered.
        predictions: of this one image.
        resize_mode: how the image was brought to the model's size; ``None`` if it had it.
        sure: as ``Classifier.sure``.
    """

    image: Array
    saliency: Array
    predictions: Predictions
    sure: bool | None
    resize_mode: str | None = None


def explain_file(
    classifier: Classifier,
    lock: threading.Lock,
    content: bytes,
    name: str,
    resize_mode: str | None = None,
) -> Explained:
    """Decode, classify and explain a file.

    Args:
        name: what messages call it.
        resize_mode: by default as in training.

    Raises:
        InputError: not an image that can be read; see ``decode_image``.
        UsageError: ``resize_mode`` does not exist.
    """
    image_format = classifier.image_format.resized_by(resize_mode)
    image = decode_as(image_format, content, name=name, max_pixels=MAX_PIXELS)
    explained = explain_image(classifier, lock, image)
    return replace(explained, resize_mode=image_format.resize_mode)


def explain_image(classifier: Classifier, lock: threading.Lock, image: Array) -> Explained:
    """Classify and explain uint8 ``[H, W, C]`` of the model's size; ``lock`` guards the model.

    Raises:
        InputError: another dtype or size.
    """
    with lock:
        predictions = classifier.predict(image)
        heat = _saliency(classifier, image[None], predictions.predicted)[0]
    return Explained(
        image=image,
        saliency=overlay(image, heat, OVERLAY),
        predictions=predictions,
        sure=classifier.sure(float(predictions.confidence[0])),
    )


def _saliency(classifier: Classifier, images: Array, classes: Array) -> Array:
    try:
        return grad_cam(classifier, images, classes)
    except InputError:
        # Grad-CAM needs a convolution.
        return integrated_gradients(classifier, images, classes)
