"""The drawing functions that the lessons share, in the style of all plots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

from cifarlab.lessons.experiment import ExperimentData
from cifarlab.lessons.words import mean
from cifarlab.plots.style import BLUE, GREY, LINES, ORANGE, finished, new_figure, save

# Also from the palette of Okabe and Ito; see plots/style.py.
GREEN = "#009E73"
PURPLE = "#CC79A7"

WIDTH, HEIGHT = 10.0, 4.2

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "course",
    "dots",
    "finished",
    "heading",
    "label_epochs",
    "logarithmic",
    "new_figure",
    "panels",
    "save",
]


def heading(lesson: str, setup: ExperimentData) -> str:
    """Return the heading of a plot: what was compared, on what, how often."""
    seeds = "1 seed" if setup.seeds == 1 else f"{setup.seeds} seeds (line: mean, band: range)"
    return f"{lesson}: {setup.dataset}, {setup.images:,} training images, {seeds}"


def panels(title: str, count: int, *, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` panels side by side."""
    figure = new_figure(WIDTH, HEIGHT, title)
    return figure, list(figure.subplots(1, count, sharey=share_y, squeeze=False)[0])


def course(
    axes: Axes, name: str, values: Sequence[Sequence[float]], colour: str, line: str = "-"
) -> None:
    """Draw the mean over the seeds, epoch by epoch, in a band from the lowest to the highest.

    Args:
        values: for each seed, one value per epoch; one that is not finite leaves a gap.
    """
    rows = np.array(values, dtype=float)
    rows[~np.isfinite(rows)] = math.nan
    epochs = np.arange(1, rows.shape[1] + 1)
    axes.plot(epochs, rows.mean(axis=0), line, marker=".", color=colour, label=name)
    if len(rows) > 1:
        axes.fill_between(epochs, rows.min(axis=0), rows.max(axis=0), color=colour, alpha=0.15)


def dots(axes: Axes, groups: Sequence[tuple[str, Sequence[float], str]]) -> None:
    """Draw a line for each group, from the top: one dot per seed, and a bar at their mean.

    Args:
        groups: name, values and colour of each.
    """
    for row, (_, values, colour) in enumerate(groups):
        shown = [value for value in values if math.isfinite(value)]
        axes.plot(shown, [row] * len(shown), "o", color=colour, alpha=0.6)
        if shown:
            axes.plot([mean(shown)], [row], "|", color=colour, markersize=22, markeredgewidth=2)
    axes.set_yticks(range(len(groups)), [name for name, _, _ in groups])
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)


def label_epochs(axes: Axes, title: str, *, as_percent: bool = False) -> None:
    """Finish a panel whose x axis counts epochs."""
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    if as_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def logarithmic(axes: Axes) -> None:
    """Give the x axis a logarithmic scale with plain numbers."""
    axes.set_xscale("log")
    # Matplotlib's own labels are formulas, which these plots avoid.
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
