"""Plots of quality, comparisons and the dark style: values, texts inside, any size."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from cifarlab import plots
from cifarlab.evaluation.calibration import measure_calibration
from cifarlab.evaluation.comparison import compare_accuracies
from cifarlab.evaluation.metrics import measure
from cifarlab.evaluation.robustness import Robustness
from cifarlab.evaluation.selective import apply_threshold, risk_coverage
from cifarlab.plots.quality import class_bars, reliability, robustness
from cifarlab.plots.quality import risk_coverage as draw_risk
from cifarlab.plots.style import ON_DARK, darkened, svg
from cifarlab.predictions import Predictions
from plots.test_plots import texts_outside


def predictions_of(n: int, classes: int) -> Predictions:
    draws = np.random.default_rng(0)
    labels = draws.integers(0, classes, n)
    rows = draws.dirichlet(np.full(classes, 0.3), n).astype(np.float32)
    rows[np.arange(n), labels] += 1
    rows /= rows.sum(1, keepdims=True)
    return Predictions(
        probabilities=rows,
        class_names=tuple(f"a class with number {i}" for i in range(classes)),
        labels=labels,
    )


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def assert_texts_inside(figure: Figure) -> None:
    assert texts_outside(figure) == []


@pytest.mark.parametrize(("n", "classes"), [(1, 2), (10, 10), (500, 3), (300, 60), (20, 1)])
def test_every_plot_accepts_any_data(n: int, classes: int) -> None:
    predictions = predictions_of(n, classes)
    calibration = measure_calibration(predictions)
    for figure in (
        reliability(calibration, calibration, "title"),
        reliability(calibration, None, "title"),
        class_bars(measure(predictions), "title"),
        draw_risk(risk_coverage(predictions), apply_threshold(predictions, 0.4), "title"),
        draw_risk(risk_coverage(predictions), None, "title"),
    ):
        assert_texts_inside(figure)


def test_the_weakest_classes_come_first_and_the_rest_is_counted() -> None:
    metrics = measure(predictions_of(900, 60))
    figure = class_bars(metrics, "title")
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    order = sorted(metrics.per_class, key=lambda name: metrics.per_class[name].f1)
    assert len(shown) == 40
    assert order[0].startswith(shown[0].split("…")[0])
    assert any("the 40 weakest of 60 classes" in text for text in texts(figure))


def test_a_threshold_that_answers_nothing_is_left_out() -> None:
    predictions = predictions_of(30, 3)
    figure = draw_risk(risk_coverage(predictions), apply_threshold(predictions, 1.1), "")
    assert not any("not sure" in text for text in texts(figure))


def test_each_corruption_starts_from_the_clean_accuracy() -> None:
    measured = Robustness(
        n=50, clean=0.8, accuracy={"fog": (0.7, 0.6, 0.5, 0.4, 0.3), "snow": (0.6,) * 5}
    )
    figure = robustness(measured, "title")
    fog = figure.axes[0]
    assert fog.get_title() == "fog"
    assert list(fog.lines[1].get_ydata()) == [0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    assert_texts_inside(figure)


@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_a_comparison_shows_every_seed(seeds: int) -> None:
    draws = np.random.default_rng(0)
    comparison = compare_accuracies(
        {name: list(draws.normal(0.7, 0.01, seeds)) for name in ("a", "b", "c")}
    )
    figure = plots.comparison(comparison, "title")
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [list(map(float, line.get_xdata())) for line in dots] == [
        list(sample.accuracies) for sample in comparison.samples
    ]
    assert_texts_inside(figure)


def test_on_a_dark_page_no_dark_text_is_left() -> None:
    predictions = predictions_of(100, 4)
    figure = darkened(
        draw_risk(risk_coverage(predictions), apply_threshold(predictions, 0.4), "title")
    )
    colours = {text.get_color() for text in figure.findobj(Text) if text.get_text()}
    assert "black" not in colours
    content = svg(figure).decode()
    assert content.startswith("<?xml")
    assert ON_DARK["white"] in content
    assert "#000000" not in content
