"""Figures show the right numbers, keep every text inside, and accept any name and value."""

from __future__ import annotations

import io
import itertools
import math
import subprocess
import sys
import threading

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from cifarlab import plots
from cifarlab.errors import InputError, ResourceError
from cifarlab.evaluation import measure
from cifarlab.plots import style
from cifarlab.predictions import Predictions

pytestmark = pytest.mark.filterwarnings("error")

AWKWARD = (
    "$x_1",
    "a$b$c_{",
    "<b>html</b>&amp;",
    "猫の写真集とても長い名前です犬",
    "new\nline\ttab",
    "n02085620-Chihuahua-with-a-very-long-name",
    "naïve Ünïcode",
    "\\frac{1}",
    "עברית",
    "",
)
HEADINGS = (
    "x",
    "fast94 on shapes10",
    "a recipe on a dataset with a name that takes several lines " * 2,
)


def predictions_of(n: int, names: tuple[str, ...], absent: int | None = None) -> Predictions:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, len(names), n)
    if absent is not None:
        labels[labels == absent] = (absent + 1) % len(names)
    logits = generator.normal(size=(n, len(names)))
    logits[np.arange(n), labels] += 3.0
    rows = np.exp(logits)
    return Predictions(
        probabilities=(rows / rows.sum(axis=1, keepdims=True)).astype(np.float32),
        class_names=names,
        labels=labels,
    )


def numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(classes))


def history_of(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": epoch,
            "loss": 2 / epoch,
            "accuracy": 1 - 0.9 / epoch,
            "val_loss": 2.2 / epoch,
            "val_accuracy": 0.9 - 0.8 / epoch,
            "learning_rate": 0.1,
            "seconds": 1.5,
        }
        for epoch in range(1, epochs + 1)
    ]


def images_of(n: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def texts(figure: Figure) -> list[str]:
    return [
        text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()
    ]


def texts_outside(figure: Figure) -> list[str]:
    """Return texts that the edge of the figure cuts off, without ticks beyond an axis."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    ticks = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        for label in (tick.label1, tick.label2)
    }
    outside = []
    for text in figure.findobj(Text):
        box = text.get_window_extent()
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        if text.get_text() and text.get_visible() and id(text) not in ticks and not inside:
            outside.append(text.get_text())
    return outside


# Curves


def test_curves_show_both_measures_for_training_and_validation():
    history = history_of(5)
    figure = plots.curves(history, 4, "shapes10 · tiny")
    loss, accuracy = figure.axes
    for panel, name in ((loss, "loss"), (accuracy, "accuracy")):
        train, validation = panel.get_lines()[:2]
        assert list(train.get_xdata()) == [1, 2, 3, 4, 5]
        assert list(train.get_ydata()) == [row[name] for row in history]
        assert list(validation.get_ydata()) == [row[f"val_{name}"] for row in history]
        assert train.get_linestyle() != validation.get_linestyle()
    assert loss.get_title() == "loss: 0.5500 on validation at epoch 4"
    assert accuracy.get_title() == "accuracy: 70.00% on validation at epoch 4"
    assert "shapes10 · tiny" in texts(figure)
    assert "chosen epoch" in texts(figure)


def test_without_a_chosen_epoch_the_last_one_gives_the_numbers_and_nothing_is_marked():
    figure = plots.curves(history_of(5), None, "x")
    assert figure.axes[0].get_title().endswith("at epoch 5")
    assert "chosen epoch" not in texts(figure)


@pytest.mark.parametrize("epochs", [1, 2, 12, 200])
def test_epochs_are_whole_numbers(epochs):
    figure = plots.curves(history_of(epochs), 1, "x")
    figure.canvas.draw()
    for panel in figure.axes:
        low, high = panel.get_xlim()
        ticks = [tick for tick in panel.get_xticks() if low <= tick <= high]
        assert ticks
        assert all(tick == int(tick) >= 1 for tick in ticks)
    assert texts_outside(figure) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_leave_a_gap(value):
    history = history_of(4)
    history[1]["val_loss"] = value
    figure = plots.curves(history, 2, "x")
    figure.canvas.draw()
    drawn = figure.axes[0].get_lines()[1].get_ydata()
    assert [math.isfinite(y) for y in drawn] == [True, False, True, True]
    assert figure.axes[0].get_title() == "loss"


def test_a_history_of_only_nan_says_so():
    row = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), math.nan)
    figure = plots.curves([{"epoch": 1, **row}], 1, "x")
    assert texts(figure).count("no finite values") == 2
    assert texts_outside(figure) == []


def test_a_history_without_validation_is_drawn():
    figure = plots.curves([{"epoch": 1, "loss": 1.0, "accuracy": 0.5}], None, "x")
    assert texts_outside(figure) == []


def test_an_empty_history_and_an_unknown_epoch_are_bad_input():
    with pytest.raises(InputError, match="without epochs"):
        plots.curves([], None, "x")
    with pytest.raises(InputError, match="from 1 to 3"):
        plots.curves(history_of(3), 4, "x")


# Confusion matrix


def test_cells_hold_counts_and_row_percentages():
    rows = np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1]]
    labels = np.array([0, 0, 0, 0, 1])
    figure = plots.confusion_matrix(
        measure(Predictions(probabilities=rows, class_names=("cat", "dog"), labels=labels)), "pets"
    )
    shown = texts(figure)
    for cell in ("3\n75.0%", "1\n25.0%", "0\n0.0%", "1\n100.0%"):
        assert cell in shown
    assert shown.count("cat") == shown.count("dog") == 2
    assert any(
        text.startswith("pets\naccuracy 80.00%") and "5 images" in text.replace("\n", " ")
        for text in shown
    )


def test_an_absent_class_has_no_percentages():
    figure = plots.confusion_matrix(measure(predictions_of(60, numbered(3), absent=1)), "x")
    assert sum(text.endswith("\n–") for text in texts(figure)) == 3


@pytest.mark.parametrize("classes", [1, 2, 10, 20, 21, 100, 250])
def test_every_text_is_inside_and_cells_are_written_up_to_20_classes(classes):
    figure = plots.confusion_matrix(measure(predictions_of(500, numbered(classes))), "x")
    assert texts_outside(figure) == []
    cells = [text for text in texts(figure) if "\n" in text and not text.startswith("x\n")]
    assert len(cells) == (classes**2 if classes <= 20 else 0)
    labels = [text for text in texts(figure) if text.startswith("class ")]
    assert len(labels) == 2 * (classes if classes <= 100 else math.ceil(classes / 3))


def test_the_cells_are_coloured_by_row_share():
    metrics = measure(predictions_of(500, numbered(5)))
    (image,) = plots.confusion_matrix(metrics, "x").axes[0].get_images()
    rows = metrics.confusion / metrics.confusion.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(image.get_array()), rows)


# Samples


def test_right_and_wrong_differ_in_mark_and_frame():
    rows = np.array([[0.9, 0.1], [0.75, 0.25]], dtype=np.float32)
    predictions = Predictions(
        probabilities=rows, class_names=("cat", "dog"), labels=np.array([0, 1])
    )
    figure = plots.samples(images_of(2), predictions, "pets")
    right, wrong = figure.axes
    assert (right.get_title(), right.get_xlabel()) == ("✓ cat 90%", "true: cat")
    assert (wrong.get_title(), wrong.get_xlabel()) == ("✗ cat 75%", "true: dog")
    frames = [panel.spines["left"] for panel in (right, wrong)]
    assert frames[0].get_linestyle() != frames[1].get_linestyle()
    assert frames[0].get_linewidth() != frames[1].get_linewidth()
    heading = " ".join(figure.get_suptitle().split())
    assert heading == "pets 2 of 2 test images: 1 right (✓), 1 wrong (✗)"


def test_each_image_goes_with_its_own_prediction():
    names = numbered(100)
    rows = np.eye(100, dtype=np.float32)
    images = np.zeros((100, 4, 4, 3), dtype=np.uint8) + np.arange(100, dtype=np.uint8).reshape(
        100, 1, 1, 1
    )
    figure = plots.samples(
        images, Predictions(probabilities=rows, class_names=names, labels=np.arange(100)), "x"
    )
    assert len(figure.axes) == 25
    for panel in figure.axes:
        (image,) = panel.get_images()
        value = int(np.asarray(image.get_array())[0, 0, 0])
        assert panel.get_title() == f"✓ class {value} 100%"
        assert image.get_interpolation() == "nearest"


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("n", [1, 2, 7, 13, 25, 400])
def test_grids_of_any_number_keep_their_texts_inside(n, heading):
    figure = plots.samples(images_of(n), predictions_of(n, AWKWARD), heading)
    drawn = [panel for panel in figure.axes if panel.get_images()]
    assert len(drawn) == min(n, 25)
    assert texts_outside(figure) == []


@pytest.mark.parametrize("n", [1, 2, 4, 9])
def test_wide_names_do_not_overlap(n):
    names = ("W" * 20, "m" * 18, "n02085620-Chihuahua-with-a-very-long-name")
    figure = plots.samples(images_of(n), predictions_of(n, names), "x")
    assert texts_outside(figure) == []
    boxes = [text.get_window_extent() for panel in figure.axes for text in sample_texts(panel)]
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)


def sample_texts(panel: Axes) -> tuple[Text, Text]:
    return panel.title, panel.xaxis.label


def test_the_same_images_are_drawn_every_time():
    images, predictions = images_of(400), predictions_of(400, numbered(10))
    first, second = (texts(plots.samples(images, predictions, "x")) for _ in range(2))
    assert first == second


def test_without_labels_only_what_was_predicted_is_shown():
    predictions = Predictions(probabilities=np.eye(2, dtype=np.float32), class_names=("cat", "dog"))
    figure = plots.samples(images_of(2, 5, 9), predictions, "x")
    assert [panel.get_title() for panel in figure.axes] == ["cat 100%", "dog 100%"]
    assert not any("true" in text for text in texts(figure))


@pytest.mark.parametrize(
    ("shape", "proportion"),
    [((28, 28, 1), 1.0), ((32, 64, 3), 0.5), ((48, 32, 1), 1.5), ((64, 64, 3), 1.0)],
    ids=str,
)
def test_images_of_any_shape_are_drawn_in_their_proportions_and_grey_as_grey(shape, proportion):
    images = np.random.default_rng(1).integers(0, 256, (4, *shape), dtype=np.uint8)
    figure = plots.samples(images, predictions_of(4, numbered(3)), "x")
    figure.draw_without_rendering()
    for panel in figure.axes:
        shown = panel.images[0].get_array()
        assert shown.shape == (*shape[:2], 3)
        box = panel.get_window_extent()
        assert box.height / box.width == pytest.approx(proportion, rel=0.02)


@pytest.mark.parametrize(
    ("images", "n"),
    [
        (np.zeros((2, 8, 8, 3)), 2),
        (np.zeros((2, 8, 8), dtype=np.uint8), 2),
        (images_of(3), 2),
        (images_of(0), 0),
    ],
)
def test_images_that_do_not_fit_are_bad_input(images, n):
    with pytest.raises(InputError):
        plots.samples(images, predictions_of(n, numbered(3)), "x")


# All of them


def test_awkward_names_are_drawn_literally(tmp_path):
    predictions = predictions_of(100, AWKWARD)
    title = "$a_{ <b> \\frac"
    figures = [
        plots.confusion_matrix(measure(predictions), title),
        plots.samples(images_of(100), predictions, title),
        plots.curves(history_of(2), 1, title),
    ]
    for figure in figures:
        plots.save(figure, tmp_path / "plot.png")
        assert any(text.startswith(title) for text in texts(figure))
    shown = texts(figures[0])
    assert "$x_1" in shown
    assert "<b>html</b>&amp;" in shown
    assert "new line tab" in shown


def test_a_character_that_no_font_has_becomes_a_box(monkeypatch):
    monkeypatch.setattr(style, "FALLBACK_FONTS", ())
    figure = plots.samples(
        images_of(1),
        Predictions(probabilities=np.ones((1, 1), np.float32), class_names=("猫 cat",)),
        "猫",
    )
    figure.canvas.draw()
    assert figure.axes[0].get_title() == "□ cat 100%"
    assert figure.get_suptitle().startswith("□\n")


def test_long_names_keep_both_ends():
    names = tuple(f"shared-prefix-of-all-classes-{i}" for i in range(10))
    figure = plots.confusion_matrix(measure(predictions_of(50, names)), "x")
    labels = [text for text in texts(figure) if text.startswith("shared")]
    assert len(set(labels)) == 10
    assert all("…" in label and len(label) <= 22 for label in labels)


def test_a_saved_figure_is_an_image_and_the_same_every_time(tmp_path):
    for name in ("a.png", "b.png"):
        plots.save(plots.curves(history_of(3), 2, "x"), tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG"
        assert image.size == (1500, 630)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_path_that_cannot_be_written_is_a_resource_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError):
        plots.save(plots.curves(history_of(1), 1, "x"), tmp_path / "file" / "a.png")


def test_global_settings_are_unchanged_and_threads_can_draw(tmp_path):
    before = dict(mpl.rcParams)

    def draw(number: int) -> None:
        plots.save(plots.curves(history_of(5), 2, "x"), tmp_path / f"{number}.png")

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dict(mpl.rcParams) == before
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert len(list(tmp_path.iterdir())) == 4


def test_pyplot_is_never_imported():
    code = "import sys, cifarlab.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
