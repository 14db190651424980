"""Training curves: loss and accuracy over epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cifarlab.errors import InputError
from cifarlab.plots.style import BLUE, LINES, ORANGE, finished, new_figure


def curves(history: Sequence[Mapping[str, float]], chosen_epoch: int | None, title: str) -> Figure:
    """Draw loss and accuracy over the epochs, for training and validation.

    Args:
        history: one row per epoch with ``epoch`` (from 1), ``loss``, ``accuracy``, ``val_loss``
            and ``val_accuracy``; a value that is missing or not finite leaves a gap. Without
            any validation values only the training curves are drawn.
        chosen_epoch: the epoch whose weights were kept, which is marked; or ``None``.
        title: heading, such as the dataset and the recipe.

    Raises:
        InputError: the history is empty or lacks the chosen epoch.
    """
    epochs = [int(row["epoch"]) for row in history]
    if not epochs:
        raise InputError(
            "history without epochs: there is nothing to draw; train at least one epoch"
        )
    if chosen_epoch is not None and chosen_epoch not in epochs:
        raise InputError(
            f"chosen epoch {chosen_epoch}: the history runs from {min(epochs)} to {max(epochs)}; "
            "choose one of its epochs"
        )
    figure = new_figure(10.0, 4.2, title)
    axes = figure.subplots(1, 2)
    for panel, measure in zip(axes, ("loss", "accuracy"), strict=True):
        train = _finite(history, measure)
        held_out = any(f"val_{measure}" in row for row in history)
        validation = _finite(history, f"val_{measure}") if held_out else None
        _draw_curves(panel, epochs, train, validation)
        at = epochs.index(chosen_epoch) if chosen_epoch is not None else len(epochs) - 1
        where, shown = ("validation", validation) if validation else ("training images", train)
        panel.set_title(_curve_heading(measure, where, epochs[at], shown[at]), fontsize=11)
        if chosen_epoch is not None:
            panel.axvline(chosen_epoch, color="black", linestyle=":", label="chosen epoch")
            panel.plot([chosen_epoch], [shown[at]], "o", color="black", fillstyle="none", ms=11)
        panel.legend(frameon=False)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0))
    return finished(figure)


def _draw_curves(
    panel: Axes, epochs: list[int], train: list[float], validation: list[float] | None
) -> None:
    marker = "." if len(epochs) <= 40 else ""
    panel.plot(epochs, train, color=BLUE, linestyle="--", marker=marker, label="train")
    if validation is not None:
        panel.plot(
            epochs, validation, color=ORANGE, linestyle="-", marker=marker, label="validation"
        )
    panel.set_xlabel("epoch")
    panel.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(color=LINES, linewidth=0.6)
    panel.set_axisbelow(True)
    if not np.isfinite(train + (validation or [])).any():
        panel.text(0.5, 0.5, "no finite values", transform=panel.transAxes, ha="center")
        panel.set_ylim(0.0, 1.0)


def _curve_heading(measure: str, where: str, epoch: int, value: float) -> str:
    if not math.isfinite(value):
        return measure
    shown = f"{value:.2%}" if measure == "accuracy" else f"{value:.4f}"
    return f"{measure}: {shown} on {where} at epoch {epoch}"


def _finite(history: Sequence[Mapping[str, float]], column: str) -> list[float]:
    values = (float(row.get(column, math.nan)) for row in history)
    return [value if math.isfinite(value) else math.nan for value in values]
