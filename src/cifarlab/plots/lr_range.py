"""The learning-rate range test as a figure."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cifarlab.evaluation.lr_range import RangeTest
from cifarlab.plots.style import BLUE, GREY, LINES, ORANGE, finished, new_figure


def learning_rates(test: RangeTest, title: str) -> Figure:
    """Draw the validation loss over the learning rate, with the suggestion and the recipe's rate.

    Args:
        test: from ``evaluation.lr_range``.
        title: heading, such as the dataset and the recipe.
    """
    heading = f"{title}\nsuggested learning rate {test.suggestion:.2g}"
    figure = new_figure(7.5, 4.6, heading)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.plot(test.rates, test.losses, ".", color=GREY, alpha=0.6, ms=5, label="measured")
    axes.plot(test.rates, test.smoothed, color=BLUE, linewidth=2, label="smoothed")
    axes.axvline(test.suggestion, color=ORANGE, label=f"suggestion, {test.suggestion:.2g}")
    axes.axvline(
        test.recipe_rate, color="black", linestyle=":", label=f"the recipe's, {test.recipe_rate:g}"
    )
    # Losses after the divergence are cut off: they would flatten everything else.
    lowest = test.rates.index(test.at_minimum)
    low, high = min(test.losses), max(test.losses[0], *test.smoothed[: lowest + 1])
    span = (high - low) or 1.0
    axes.set_ylim(low - 0.08 * span, high + 0.35 * span)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("validation loss")
    axes.grid(color=LINES, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(frameon=False)
    return finished(figure)
