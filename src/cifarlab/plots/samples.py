"""A grid of images with what was predicted and what is true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cifarlab.errors import InputError
from cifarlab.plots.style import BLUE, ORANGE, finished, new_figure, shortened
from cifarlab.predictions import Predictions

MOST_SAMPLES = 25


def samples(images: np.ndarray[Any, Any], predictions: Predictions, title: str) -> Figure:
    """Draw up to 25 images with what was predicted, how surely, and what is true.

    More images than that are drawn by lot, the same ones every time.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        predictions: for the same ``N`` images; without labels, only what was predicted.
        title: heading, such as the dataset and the recipe.

    Raises:
        InputError: the images are none, of another kind, or not as many as the predictions.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; "
            "they must be uint8 [N, height, width, 3]; convert them first"
        )
    if len(images) != len(predictions) or len(images) == 0:
        raise InputError(
            f"{len(images)} images and {len(predictions)} predictions: "
            "there must be as many of both, and at least one; give those that belong together"
        )
    count = min(len(images), MOST_SAMPLES)
    chosen = np.sort(np.random.default_rng(0).choice(len(images), count, replace=False))
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    heading = f"{title}\n{_samples_heading(predictions, chosen)}"
    height, width = images.shape[1:3]
    tall = 1.9 * min(max(height / width, 0.3), 3.0) + 0.4
    drawing = new_figure(max(5.0, 1.9 * columns), tall * rows + 0.8, heading)
    panels = list(drawing.subplots(rows, columns, squeeze=False).flat)
    for panel in panels:
        panel.set_axis_off()
    for panel, index in zip(panels, chosen, strict=False):
        _draw_sample(panel, images[index], predictions, int(index))
    return finished(drawing)


def _samples_heading(predictions: Predictions, chosen: np.ndarray[Any, Any]) -> str:
    if predictions.labels is None:
        return f"{len(chosen)} of {len(predictions):,} images"
    right = int((predictions.predicted[chosen] == predictions.labels[chosen]).sum())
    return (
        f"{len(chosen)} of {len(predictions):,} test images: "
        f"{right} right (✓), {len(chosen) - right} wrong (✗)"
    )


def _draw_sample(
    panel: Axes, image: np.ndarray[Any, Any], predictions: Predictions, index: int
) -> None:
    predicted = int(predictions.predicted[index])
    said = (
        f"{shortened(predictions.class_names[predicted], 16)} {predictions.confidence[index]:.0%}"
    )
    panel.set_axis_on()
    panel.set(xticks=[], yticks=[])
    panel.imshow(image, interpolation="nearest")
    if predictions.labels is None:
        panel.set_title(said, fontsize=9)
        return
    true = int(predictions.labels[index])
    right = true == predicted
    colour, width, style = (BLUE, 1.5, "-") if right else (ORANGE, 3.5, "--")
    panel.set_title(f"{'✓' if right else '✗'} {said}", fontsize=9, color=colour)
    panel.set_xlabel(f"true: {shortened(predictions.class_names[true], 18)}", fontsize=9)
    for spine in panel.spines.values():
        spine.set(color=colour, linewidth=width, linestyle=style)
