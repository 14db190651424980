"""The confusion matrix as an image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cifarlab.evaluation.metrics import Metrics
from cifarlab.plots.style import GREY, finished, new_figure, shortened

MOST_CLASSES_WITH_NUMBERS = 20
MOST_CLASS_LABELS = 100


def confusion_matrix(metrics: Metrics, title: str) -> Figure:
    """Draw the confusion matrix, coloured by the share of the true class.

    With up to 20 classes each cell has its count and that share; a class without images has
    dashes. The colours follow the square root of the share, so that rare mistakes are visible.
    """
    classes = len(metrics.class_names)
    support = metrics.confusion.sum(axis=1, keepdims=True)
    shares = metrics.confusion / np.maximum(support, 1)
    with_numbers = classes <= MOST_CLASSES_WITH_NUMBERS
    side = max(3.2, 0.62 * classes) if with_numbers else min(14.0, max(9.0, 0.13 * classes))
    low, high = metrics.accuracy_interval
    figure = new_figure(
        side + 3.0,
        side + 1.8,
        f"{title}\naccuracy {metrics.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}), "
        f"{metrics.n:,} images",
    )
    axes = figure.subplots()
    norm = PowerNorm(0.5, vmin=0.0, vmax=1.0)
    image = axes.imshow(shares, cmap="Blues", norm=norm, interpolation="nearest")
    bar = figure.colorbar(
        image, ax=axes, shrink=0.8, aspect=30, ticks=[0.0, 0.01, 0.05, 0.2, 0.5, 1.0]
    )
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    bar.set_label("share of the true class")
    every = math.ceil(classes / MOST_CLASS_LABELS)
    ticks = range(0, classes, every)
    size = min(9.0, 45.0 * side / len(ticks))  # in points: 5/8 of the space for a label
    labels = [shortened(metrics.class_names[i], 22) for i in ticks]
    axes.set_xticks(ticks, labels, rotation=90, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if with_numbers:
        _write_numbers(axes, metrics.confusion, shares, support[:, 0])
    return finished(figure)


def _write_numbers(
    axes: Axes,
    confusion: np.ndarray[Any, Any],
    shares: np.ndarray[Any, Any],
    support: np.ndarray[Any, Any],
) -> None:
    for (row, column), count in np.ndenumerate(confusion):
        share = shares[row, column]
        percent = f"{share:.1%}" if support[row] else "–"
        dark = share > 0.3
        axes.text(
            column,
            row,
            f"{count:,}\n{percent}",
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if dark else (GREY if count == 0 else "black"),
        )
