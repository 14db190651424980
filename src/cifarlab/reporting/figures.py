"""The report's plots, each for a light and for a dark page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from cifarlab.plots.curves import curves
from cifarlab.plots.quality import class_bars, reliability, risk_coverage, robustness
from cifarlab.plots.style import darkened, svg
from cifarlab.reporting.content import Content
from cifarlab.reporting.images import data_uri


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawing in two colour schemes, and in words.

    Attributes:
        light, dark: ``data:`` addresses.
        text: what it shows, for those who cannot see it.
    """

    light: str
    dark: str
    text: str


def plots(content: Content) -> dict[str, Plot]:
    """Draw what there is to draw, by name."""
    found = content.analysis
    drawn: dict[str, Plot] = {}
    if content.history:
        drawn["curves"] = _plot(
            lambda: curves(content.history, content.chosen_epoch, ""),
            f"Loss and accuracy over {len(content.history)} epochs, on training and validation "
            "images",
        )
    drawn["reliability"] = _plot(
        lambda: reliability(found.calibration, found.calibrated, ""),
        "Share of right answers against the model's confidence: on average they are "
        f"{found.calibration.ece:.1%} apart",
    )
    drawn["classes"] = _plot(
        lambda: class_bars(found.metrics, ""), "Precision and recall of each class, weakest first"
    )
    drawn["risk"] = _plot(
        lambda: risk_coverage(found.curve, found.not_sure, ""),
        "Share of wrong answers against the share of images answered, surest first",
    )
    if found.robustness is not None:
        measured = found.robustness
        drawn["robustness"] = _plot(
            lambda: robustness(measured, ""),
            f"Accuracy by kind and severity of corruption, {measured.mean:.1%} on average",
        )
    return drawn


def _plot(draw: Callable[[], Figure], text: str) -> Plot:
    light = data_uri(svg(draw()), "image/svg+xml")
    dark = data_uri(svg(darkened(draw())), "image/svg+xml")
    return Plot(light=light, dark=dark, text=text)
