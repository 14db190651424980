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
    """A plot in two colour schemes, and its description.

    Attributes:
        light, dark: ``data:`` URIs.
        text: what it shows, for those who cannot see it.
    """

    light: str
    dark: str
    text: str


def plots(content: Content) -> dict[str, Plot]:
    """Draw the plots that the content has data for, by name."""
    analysis = content.analysis
    drawn: dict[str, Plot] = {}
    if content.history:
        drawn["curves"] = _plot(
            lambda: curves(content.history, content.chosen_epoch, ""),
            f"Loss and accuracy over {len(content.history)} epochs, on training and validation "
            "images",
        )
    drawn["reliability"] = _plot(
        lambda: reliability(analysis.calibration, analysis.calibrated, ""),
        "Accuracy against the confidence of the model: on average they differ by "
        f"{analysis.calibration.ece:.1%}",
    )
    drawn["classes"] = _plot(
        lambda: class_bars(analysis.metrics, ""),
        "Precision and recall of each class, weakest first",
    )
    drawn["risk"] = _plot(
        lambda: risk_coverage(analysis.curve, analysis.not_sure, ""),
        "Error rate against the share of images answered, highest confidence first",
    )
    if analysis.robustness is not None:
        measured = analysis.robustness
        drawn["robustness"] = _plot(
            lambda: robustness(measured, ""),
            f"Accuracy by kind and severity of corruption, {measured.mean:.1%} on average",
        )
    return drawn


def _plot(draw: Callable[[], Figure], text: str) -> Plot:
    light = data_uri(svg(draw()), "image/svg+xml")
    dark = data_uri(svg(darkened(draw())), "image/svg+xml")
    return Plot(light=light, dark=dark, text=text)
