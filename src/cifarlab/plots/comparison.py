"""Accuracies of several recipes over seeds, one row per recipe."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cifarlab.evaluation.comparison import Comparison
from cifarlab.plots.style import BLUE, LINES, ORANGE, finished, new_figure, shortened


def comparison(result: Comparison, title: str) -> Figure:
    """Draw each seed as a dot, and the mean of each recipe with its 95% interval.

    Args:
        title: heading, such as ``"test accuracy by seed"``.
    """
    figure = new_figure(7.0, 1.7 + 0.7 * len(result.samples), title)
    axes = figure.subplots()
    for row, sample in enumerate(result.samples):
        axes.plot(
            sample.accuracies,
            [row] * len(sample.accuracies),
            "o",
            color=BLUE,
            alpha=0.6,
            label="one seed" if row == 0 else None,
        )
        axes.plot(
            [sample.mean],
            [row + 0.24],
            "D",
            color=ORANGE,
            label="mean, 95% interval" if row == 0 else None,
        )
        if sample.interval is not None:
            axes.plot(sample.interval, [row + 0.24] * 2, color=ORANGE)
    names = [shortened(sample.name, 24) for sample in result.samples]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes.grid(axis="x", color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, ncols=2, fontsize=9, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return finished(figure)
