"""A grid of images with their predicted and true classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from cifarlab.data.channels import as_rgb
from cifarlab.errors import InputError
from cifarlab.plots.style import BLUE, ORANGE, finished, new_figure, shortened
from cifarlab.predictions import Predictions

MOST_SAMPLES = 25

# Everything is placed by these lengths in inches, because matplotlib's layout engines leave no
# reliable room for the texts of panels whose images have a fixed aspect.
CELL, IMAGE = 2.1, 1.7
ABOVE, BELOW = 0.3, 0.32
HEADING_LINE, MARGIN = 0.2, 0.12
LEAST_WIDTH = 5.0
# Height of the place for an image, as a share of its width, is at least this, and at most 1.
FLATTEST = 0.1
# Letters of a class name; fewer where they are too wide for the cell.
MOST_LETTERS, LEAST_LETTERS = 18, 4


def samples(images: np.ndarray[Any, Any], predictions: Predictions, title: str) -> Figure:
    """Draw up to 25 images with predicted class, confidence and true class.

    Of more images a random choice is drawn, the same one every time.

    Args:
        images: uint8 ``[N, H, W, C]``, C is 3 or 1.
        predictions: for the same ``N`` images; without labels, no true class is shown.
        title: heading, such as the dataset and the recipe.

    Raises:
        InputError: no images, another dtype or shape, or another number of predictions.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; "
            "they must be uint8 [N, height, width, 1 or 3]; convert them first"
        )
    if len(images) != len(predictions) or len(images) == 0:
        raise InputError(
            f"{len(images)} images and {len(predictions)} predictions: "
            "there must be one prediction for each image, and at least one image"
        )
    count = min(len(images), MOST_SAMPLES)
    chosen = np.sort(np.random.default_rng(0).choice(len(images), count, replace=False))
    columns = math.ceil(math.sqrt(count))
    heading = f"{title}\n{_samples_heading(predictions, chosen)}"
    image_height = IMAGE * min(max(images.shape[1] / images.shape[2], FLATTEST), 1.0)
    figure = _grid(count, columns, image_height, heading)
    for panel, index in zip(figure.axes, chosen, strict=True):
        _draw_sample(panel, images[index], predictions, int(index))
    finished(figure)
    # Measured once the fonts are set.
    for panel, index in zip(figure.axes, chosen, strict=True):
        _fit(panel.title, partial(_prediction, predictions, int(index)), figure)
        if predictions.labels is not None:
            _fit(panel.xaxis.label, partial(_truth, predictions, int(index)), figure)
    return figure


def _grid(count: int, columns: int, image_height: float, heading: str) -> Figure:
    """Return a figure with a heading and ``count`` panels, row by row."""
    width = max(LEAST_WIDTH, CELL * columns)
    figure = new_figure(width, 1.0, heading)
    figure.set_layout_engine("none")
    wrapped = figure.get_suptitle()
    top = 2 * MARGIN + HEADING_LINE * (wrapped.count("\n") + 1)
    cell_height = ABOVE + image_height + BELOW
    height = top + cell_height * math.ceil(count / columns)
    figure.set_size_inches(width, height)
    figure.suptitle(wrapped, fontsize=12, y=1 - MARGIN / height)
    left = (width - CELL * columns) / 2 + (CELL - IMAGE) / 2
    for number in range(count):
        row, column = divmod(number, columns)
        bottom = height - top - cell_height * (row + 1) + BELOW
        position = (left + CELL * column, bottom, IMAGE, image_height)
        x, y, w, h = np.divide(position, (width, height, width, height))
        figure.add_axes((float(x), float(y), float(w), float(h)))
    return figure


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
    panel.set(xticks=[], yticks=[])
    panel.imshow(as_rgb(image), interpolation="nearest")
    panel.set_title(_prediction(predictions, index, MOST_LETTERS), fontsize=9)
    if predictions.labels is None:
        return
    right = int(predictions.labels[index]) == int(predictions.predicted[index])
    colour, width, style = (BLUE, 1.5, "-") if right else (ORANGE, 3.5, "--")
    panel.title.set_color(colour)
    panel.set_xlabel(_truth(predictions, index, MOST_LETTERS), fontsize=9)
    for spine in panel.spines.values():
        spine.set(color=colour, linewidth=width, linestyle=style)


def _prediction(predictions: Predictions, index: int, letters: int) -> str:
    """Return the text above an image, its class name cut to ``letters``."""
    predicted = int(predictions.predicted[index])
    name = shortened(predictions.class_names[predicted], letters)
    answer = f"{name} {predictions.confidence[index]:.0%}"
    if predictions.labels is None:
        return answer
    return f"{'✓' if int(predictions.labels[index]) == predicted else '✗'} {answer}"


def _truth(predictions: Predictions, index: int, letters: int) -> str:
    """Return the text below an image, its class name cut to ``letters``."""
    if predictions.labels is None:
        raise InputError("predictions without labels: the true classes are not known; give them")
    return f"true: {shortened(predictions.class_names[predictions.labels[index]], letters)}"


def _fit(text: Text, write: Callable[[int], str], figure: Figure) -> None:
    """Write a text with as many letters as fit into the width of a cell."""
    for letters in range(MOST_LETTERS, LEAST_LETTERS - 1, -1):
        text.set_text(write(letters))
        if text.get_window_extent().width <= (CELL - MARGIN) * figure.dpi:
            return
