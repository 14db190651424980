"""Results as matplotlib figures: training curves, confusion matrix, sample pictures.

Nothing here touches pyplot or matplotlib's global settings, so it works in threads, in
servers and beside a user's own plots.
"""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cifarlab.errors import InputError
from cifarlab.evaluation.metrics import Metrics
from cifarlab.files import atomic_write
from cifarlab.predictions import Predictions

# From the palette of Okabe and Ito ("Color Universal Design", 2008), which the common
# kinds of colour blindness tell apart.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#595959"

MOST_CLASSES_WITH_NUMBERS = 20
MOST_CLASS_LABELS = 100
MOST_SAMPLES = 25

# Fonts that systems bring along for what matplotlib's own font lacks.
FALLBACK_FONTS = (
    *("Noto Sans CJK JP", "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Malgun Gothic"),
    *("WenQuanYi Zen Hei", "Noto Sans", "Arial Unicode MS", "Noto Emoji", "Segoe UI Emoji"),
)


def curves(history: Sequence[Mapping[str, float]], chosen_epoch: int | None, title: str) -> Figure:
    """Draw loss and accuracy over the epochs, for training and validation.

    Args:
        history: a row an epoch with ``epoch`` (from 1), ``loss``, ``accuracy``, ``val_loss``
            and ``val_accuracy``; a value that is missing or not finite leaves a gap. Without
            any validation values only the training curves are drawn.
        chosen_epoch: the epoch whose weights were kept, marked; ``None`` marks nothing.
        title: heading, such as the dataset and the recipe.

    Raises:
        InputError: the history is empty or lacks the chosen epoch.
    """
    epochs = [int(row["epoch"]) for row in history]
    if not epochs:
        raise InputError("history without epochs: there is nothing to draw; train at least one")
    if chosen_epoch is not None and chosen_epoch not in epochs:
        raise InputError(
            f"chosen epoch {chosen_epoch}: the history runs from {min(epochs)} to {max(epochs)}; "
            "choose one of its epochs"
        )
    figure = _figure(10.0, 4.2, title)
    axes = figure.subplots(1, 2)
    for panel, measure in zip(axes, ("loss", "accuracy"), strict=True):
        train = _finite(history, measure)
        held_out = any(f"val_{measure}" in row for row in history)
        validation = _finite(history, f"val_{measure}") if held_out else None
        _draw_curves(panel, epochs, train, validation)
        at = epochs.index(chosen_epoch) if chosen_epoch is not None else len(epochs) - 1
        where, shown = ("validation", validation) if validation else ("training pictures", train)
        panel.set_title(_curve_heading(measure, where, epochs[at], shown[at]), fontsize=11)
        if chosen_epoch is not None:
            panel.axvline(chosen_epoch, color="black", linestyle=":", label="chosen epoch")
            panel.plot([chosen_epoch], [shown[at]], "o", color="black", fillstyle="none", ms=11)
        panel.legend(frameon=False)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0))
    return _finished(figure)


def confusion_matrix(metrics: Metrics, title: str) -> Figure:
    """Draw which class was taken for which, coloured by the share of the true class.

    Up to 20 classes each cell shows its count and that share; a class without pictures
    shows dashes. The colours follow the square root of the share, so that rare mistakes show.
    """
    classes = len(metrics.class_names)
    support = metrics.confusion.sum(axis=1, keepdims=True)
    shares = metrics.confusion / np.maximum(support, 1)
    with_numbers = classes <= MOST_CLASSES_WITH_NUMBERS
    side = max(3.2, 0.62 * classes) if with_numbers else min(14.0, max(9.0, 0.13 * classes))
    low, high = metrics.accuracy_interval
    figure = _figure(
        side + 3.0,
        side + 1.8,
        f"{title}\naccuracy {metrics.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}), "
        f"{metrics.n:,} pictures",
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
    size = min(9.0, 45.0 * side / len(ticks))  # in points: 5/8 of the room for a label
    labels = [_shortened(metrics.class_names[i], 22) for i in ticks]
    axes.set_xticks(ticks, labels, rotation=90, fontsize=size)
    axes.set_yticks(ticks, labels, fontsize=size)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if with_numbers:
        _write_numbers(axes, metrics.confusion, shares, support[:, 0])
    return _finished(figure)


def samples(images: np.ndarray[Any, Any], predictions: Predictions, title: str) -> Figure:
    """Draw up to 25 pictures with what was predicted, how surely, and what is true.

    More pictures than that are drawn by lot, the same ones every time.

    Args:
        images: uint8 ``[N, H, W, 3]``.
        predictions: for the same ``N`` pictures; without labels, only what was predicted.
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
    figure = _figure(max(5.0, 1.9 * columns), tall * rows + 0.8, heading)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels:
        panel.set_axis_off()
    for panel, index in zip(panels, chosen, strict=False):
        _draw_sample(panel, images[index], predictions, int(index))
    return _finished(figure)


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as PNG, whole or not at all; the same figure gives the same bytes.

    Raises:
        ResourceError: the disk is full or the place cannot be written to.
    """
    atomic_write(path, lambda file: figure.savefig(file, format="png", metadata={"Software": None}))


def _figure(width: float, height: float, title: str) -> Figure:
    """Return a white figure of ``width`` by ``height`` inches with a heading that fits into it."""
    # The layout misjudges the label of a square panel by a little; the padding holds it.
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.06)
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    lines = [textwrap.fill(_printable(line), int(width * 9)) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=12)
    return figure


def _finished(figure: Figure) -> Figure:
    """Take every text literally, so that a ``$`` in a name is a dollar, in fonts that exist."""
    fonts = _fonts()
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_fontfamily(fonts)
    return figure


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
    panel.grid(color="#dddddd", linewidth=0.6)
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


def _samples_heading(predictions: Predictions, chosen: np.ndarray[Any, Any]) -> str:
    if predictions.labels is None:
        return f"{len(chosen)} of {len(predictions):,} pictures"
    right = int((predictions.predicted[chosen] == predictions.labels[chosen]).sum())
    return (
        f"{len(chosen)} of {len(predictions):,} test pictures: "
        f"{right} right (✓), {len(chosen) - right} wrong (✗)"
    )


def _draw_sample(
    panel: Axes, image: np.ndarray[Any, Any], predictions: Predictions, index: int
) -> None:
    predicted = int(predictions.predicted[index])
    said = (
        f"{_shortened(predictions.class_names[predicted], 16)} {predictions.confidence[index]:.0%}"
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
    panel.set_xlabel(f"true: {_shortened(predictions.class_names[true], 18)}", fontsize=9)
    for spine in panel.spines.values():
        spine.set(color=colour, linewidth=width, linestyle=style)


def _fonts() -> list[str]:
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in FALLBACK_FONTS if name in installed)]


def _printable(text: str) -> str:
    """Put a space for each control character and a box for each one that no font here has."""
    if text.isascii() and text.isprintable():
        return text
    fonts = [font_manager.get_font(font_manager.findfont(name)) for name in _fonts()]

    def drawable(char: str) -> str:
        if not char.isprintable():
            return " "
        return char if any(font.get_char_index(ord(char)) for font in fonts) else "□"

    return "".join(map(drawable, text))


def _shortened(text: str, width: int) -> str:
    """Cut the middle out of ``text``, so that it takes at most ``width`` letters of room."""
    text = _printable(text)
    room = [2 if unicodedata.east_asian_width(c) in "WF" or c == "□" else 1 for c in text]
    if sum(room) <= width:
        return text
    head, tail = 0, len(text)
    used = 1
    while used + room[head] <= width // 2 + 1:
        used += room[head]
        head += 1
    while used + room[tail - 1] <= width:
        used += room[tail - 1]
        tail -= 1
    return f"{text[:head]}…{text[tail:]}"
