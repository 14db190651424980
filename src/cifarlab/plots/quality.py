"""Plots of calibration, of results by class, of selective prediction and of robustness."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cifarlab.evaluation.calibration import Calibration
from cifarlab.evaluation.metrics import Metrics
from cifarlab.evaluation.robustness import Robustness
from cifarlab.evaluation.selective import NotSure, RiskCoverage
from cifarlab.plots.style import BLUE, GREY, LINES, ORANGE, finished, new_figure, shortened

# More bars than that are too thin to tell apart.
MOST_CLASSES = 40


def reliability(before: Calibration, after: Calibration | None, title: str) -> Figure:
    """Draw accuracy over confidence: the diagonal is perfect calibration.

    Args:
        before: of the probabilities without a temperature.
        after: of those with a temperature, or ``None``.
    """
    figure = new_figure(6.0, 5.4, title)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1.0))
    top.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    _draw_bins(top, before, BLUE, "o", "uncalibrated")
    if after is not None:
        _draw_bins(top, after, ORANGE, "s", "with temperature")
    top.set_ylabel("accuracy")
    top.legend(frameon=False, loc="upper left")
    for axes in (top, bottom):
        axes.grid(color=LINES, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    top.set(xlim=(0, 1), ylim=(0, 1))
    for bin_ in before.bins:
        width = bin_.high - bin_.low
        bottom.bar(bin_.low, bin_.count / before.n, width * 0.9, align="edge", color=BLUE)
    bottom.set_xlabel("confidence")
    bottom.set_ylabel("images")
    return finished(figure)


def _draw_bins(axes: Axes, calibration: Calibration, colour: str, marker: str, label: str) -> None:
    full = [b for b in calibration.bins if b.count]
    axes.plot(
        [b.confidence for b in full],
        [b.accuracy for b in full],
        color=colour,
        marker=marker,
        label=f"{label}: error {calibration.ece:.1%}",
    )


def class_bars(metrics: Metrics, title: str) -> Figure:
    """Draw precision and recall of each class that has images, the worst F1 first; at most 40."""
    measured = {name: c.f1 for name, c in metrics.per_class.items() if c.f1 is not None}
    order = sorted(measured, key=measured.__getitem__)
    shown = order[:MOST_CLASSES]
    if len(shown) < len(order):
        title += f"\nthe {len(shown)} weakest of {len(order)} classes"
    figure = new_figure(6.0, 1.6 + 0.34 * len(shown), title)
    axes = figure.subplots()
    rows = np.arange(len(shown))
    for offset, measure, colour in ((-0.2, "recall", BLUE), (0.2, "precision", ORANGE)):
        values = [getattr(metrics.per_class[name], measure) for name in shown]
        axes.barh(rows + offset, values, 0.38, color=colour, label=measure)
    axes.set_yticks(rows, [shortened(name, 22) for name in shown])
    axes.set(xlim=(0, 1), ylim=(len(shown) - 0.4, -0.6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="x", color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(frameon=False, ncols=2, loc="outside lower center")
    return finished(figure)


def risk_coverage(curve: RiskCoverage, chosen: NotSure | None, title: str) -> Figure:
    """Draw the error rate over the share of images answered, the most confident first.

    Args:
        chosen: a threshold to mark, or ``None``.
    """
    figure = new_figure(6.0, 4.2, title)
    axes = figure.subplots()
    axes.plot(curve.coverage, curve.risk, color=BLUE)
    if chosen is not None and chosen.accuracy is not None:
        axes.plot([chosen.coverage], [1 - chosen.accuracy], "o", color=ORANGE, ms=8)
        axes.annotate(
            f"not sure below {chosen.threshold:.0%}:\n{chosen.coverage:.0%} answered, "
            f"{1 - chosen.accuracy:.1%} of those wrong",
            (chosen.coverage, 1 - chosen.accuracy),
            xytext=(0.04, 0.86),
            textcoords="axes fraction",
            color="black",
            arrowprops={"arrowstyle": "-", "color": GREY},
            va="center",
        )
    axes.set(xlim=(0, 1), ylim=(0, max(0.02, float(np.max(curve.risk)) * 1.15)))
    axes.set_xlabel("share of images answered, the most confident first")
    axes.set_ylabel("share of wrong answers")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color=LINES, linewidth=0.6)
    return finished(figure)


def robustness(result: Robustness, title: str) -> Figure:
    """Draw accuracy over severity, one panel per corruption."""
    names = list(result.accuracy)
    columns = 4
    rows = math.ceil(len(names) / columns)
    figure = new_figure(9.0, 2.0 * rows + 0.9, title)
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for panel, name in zip(panels, names, strict=False):
        severities = range(len(result.accuracy[name]) + 1)
        panel.axhline(result.clean, color=GREY, linestyle=":", linewidth=1)
        panel.plot(severities, (result.clean, *result.accuracy[name]), color=BLUE, marker=".")
        panel.set_title(name.replace("_", " "), fontsize=10)
        panel.grid(color=LINES, linewidth=0.6)
        panel.set_ylim(0, 1)
        panel.set_xticks(list(severities))
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    figure.supxlabel("severity (0: no corruption)", fontsize=10)
    figure.supylabel("accuracy", fontsize=10)
    return finished(figure)
