"""The page shows the right numbers, runs nothing that a name holds, and suits any data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from cifarlab.evaluation.analysis import analyse, without_duplicates
from cifarlab.evaluation.duplicates import DuplicatePair
from cifarlab.evaluation.robustness import Robustness
from cifarlab.evaluation.selective import NotSure
from cifarlab.predictions import Predictions
from cifarlab.reporting.content import Content, SaliencyOverlay
from cifarlab.reporting.page import CELL_CAPS, MOST_IMAGES, render

EVIL = ('<script>alert("x")</script>', "</script><b>bold</b>", 'a"b&amp;c', "{{ 7 * 7 }}")


def predictions_of(n: int, names: tuple[str, ...], seed: int = 0, never: int = -1) -> Predictions:
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, len(names), n)
    scores = draws.normal(size=(n, len(names)))
    scores[np.arange(n), labels] += 1.5
    if never >= 0:
        scores[:, never] = -50
    rows = np.exp(scores - scores.max(1, keepdims=True))
    rows = (rows / rows.sum(1, keepdims=True)).astype(np.float32)
    return Predictions(
        probabilities=rows,
        class_names=names,
        labels=labels.astype(np.int64),
        names=tuple(map(str, range(n))),
    )


def images_of(n: int, side: int = 32) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {i}" for i in range(classes))


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 64, 3), (48, 32, 1)], ids=str)
def test_images_of_any_shape_are_in_the_report(shape: tuple[int, int, int]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, *shape), dtype=np.uint8)
    content = replace(
        content_of(predictions_of(40, numbered(3)), images), counterparts=tuple(images[:4])
    )
    html = render(content)
    longer = max(shape[:2])
    assert f"--width: calc({shape[1]} * var(--unit)); --height: calc({shape[0]} *" in html
    assert f"--unit: calc(var(--side) / {longer})" in html


def content_of(predictions: Predictions, images: np.ndarray | None = None) -> Content:
    return Content(
        title="a title",
        statement="a statement",
        predictions=predictions,
        analysis=analyse(predictions),
        images=images,
    )


class Page(HTMLParser):
    """What a page holds: its numbers by key, tags, texts, and the data for its script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.numbers: dict[str, set[str]] = {}
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.attributes.append((tag, found))
        self._inside = tag
        if "data-key" in found:
            self.numbers.setdefault(str(found["data-key"]), set()).add(str(found["value"]))

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data

    def handle_endtag(self, _: str) -> None:
        self._inside = ""

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])


def looked_up(document: Any, key: str, names: tuple[str, ...]) -> Any:
    """Follow a key such as ``test.per_class.cat.f1``; names may hold dots."""
    for name in names:
        prefix = f"test.per_class.{name}."
        if key.startswith(prefix):
            return document["test"]["per_class"][name][key.removeprefix(prefix)]
    for part in key.split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def full_content() -> Content:
    predictions, images = predictions_of(300, numbered(5)), images_of(300)
    validation = predictions_of(200, numbered(5), seed=3)
    pairs = tuple(
        DuplicatePair(index=i, other=i + 1, distance=2.5, mirrored=bool(i % 2)) for i in range(4)
    )
    damage = Robustness(n=100, clean=0.7, accuracy={"fog": (0.6, 0.5, 0.4, 0.3, 0.2)})
    analysis = analyse(predictions, validation, without_duplicates(predictions, pairs), damage)
    content = content_of(predictions, images)
    worst = analysis.mistakes[0].index
    return replace(
        content,
        analysis=analysis,
        counterparts=tuple(images[:4]),
        history=[
            {"epoch": e, "loss": 1 / e, "accuracy": 0.5, "val_loss": 1 / e, "val_accuracy": 0.4}
            for e in (1, 2, 3)
        ],
        chosen_epoch=2,
        validation_images=len(validation),
        duplicates_verified=True,
        overlays=(SaliencyOverlay(index=worst, overlay=images_of(1, 96)[0]),),
        provenance=(("command", "cifarlab train"),),
    )


def test_every_number_on_the_page_is_that_of_the_results():
    content = full_content()
    document = {
        "test": content.analysis.metrics.to_json(),
        "analysis": content.analysis.to_json(),
    }
    page = Page(render(content))
    assert len(page.numbers) > 40
    for key, values in page.numbers.items():
        expected = looked_up(document, key, content.predictions.class_names)
        assert values == {repr(expected)}, key


def test_the_matrix_shows_the_counts_and_its_cells_the_images_behind_them():
    content = full_content()
    page = Page(render(content))
    confusion = content.analysis.metrics.confusion
    labels, predicted = content.predictions.labels, content.predictions.predicted
    assert labels is not None
    for key, total in page.data["total"].items():
        row, column = map(int, key.split(","))
        assert confusion[row, column] == total
        shown = page.data["cells"][key]
        assert len(set(shown)) == len(shown) <= total
        assert (labels[shown] == row).all()
        assert (predicted[shown] == column).all()
        assert all(str(i) in page.data["sprites"] for i in shown)
    buttons = {a["data-cell"]: a for tag, a in page.attributes if a.get("data-cell")}
    assert set(buttons) == set(page.data["total"])
    assert sum(page.data["total"].values()) == 300


def test_the_page_needs_nothing_from_anywhere():
    page = Page(render(full_content()))
    addresses = [
        value
        for _, found in page.attributes
        for name, value in found.items()
        if name in ("src", "srcset", "href", "action") and value
    ]
    assert addresses
    assert all(a.startswith(("data:", "#")) for a in addresses)
    assert "http://" not in page.html.replace("http://www.w3.org", "")


def test_names_that_hold_html_are_shown_and_not_run():
    content = content_of(predictions_of(60, EVIL), images_of(60))
    content = replace(
        content,
        title=EVIL[0],
        statement=EVIL[1],
        missing=EVIL,
        provenance=((EVIL[0], EVIL[1]),),
        predictions=replace(content.predictions, names=tuple(EVIL[i % 4] for i in range(60))),
    )
    page = Page(render(content))
    scripts = [a for tag, a in page.attributes if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    assert not [tag for tag, _ in page.attributes if tag == "b" and "bold" in tag]
    assert page.data["classes"] == list(EVIL)
    for name in EVIL:
        assert name in page.text
    assert "49" not in page.text.split("{{ 7 * 7 }}")[0][-3:]


@pytest.mark.parametrize(
    ("n", "classes", "never"), [(10, 10, -1), (50, 1, -1), (400, 100, -1), (80, 4, 2), (1, 3, -1)]
)
@pytest.mark.parametrize("with_images", [True, False])
def test_any_number_of_classes_and_images_gives_a_report(
    n: int, classes: int, never: int, with_images: bool
):
    predictions = predictions_of(n, numbered(classes), never=never)
    page = Page(render(content_of(predictions, images_of(n) if with_images else None)))
    assert "a title" in page.text
    assert page.numbers["test.n"] == {str(n)}
    assert "nan" not in page.text.lower()


def test_a_model_without_mistakes_is_said_to_have_none():
    rows = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    predictions = Predictions(probabilities=rows, class_names=numbered(3), labels=np.arange(30) % 3)
    page = Page(render(content_of(predictions, images_of(30))))
    assert "There are no mistakes." in page.text
    assert "every prediction is right" in page.text


def test_few_images_are_said_to_be_too_few():
    page = Page(render(content_of(predictions_of(10, numbered(3)), images_of(10))))
    assert "10 test images are too few to say how good the model is" in page.text
    assert "10 test images are too few to say" in page.text.split("Calibration")[-1]
    assert "analysis.calibration.ece" not in page.numbers
    content = full_content()
    few = replace(content.analysis.robustness, n=20)
    page = Page(render(replace(content, analysis=replace(content.analysis, robustness=few))))
    assert "20 images are too few to say" in page.text
    assert "analysis.robustness.mean" not in page.numbers


def test_every_share_has_its_number_of_images_and_its_interval():
    content = full_content()
    sure = NotSure(threshold=0.6, coverage=0.5, accuracy=0.9, answered=150, n=300)
    analysis = replace(content.analysis, not_sure=sure)
    text = Page(render(replace(content, analysis=analysis))).text
    # Accuracy, answers that are sure, corrupted and uncorrupted images, without near-duplicates.
    assert text.count("95% interval") == 5
    few = replace(sure, accuracy=1.0, answered=1)
    page = Page(render(replace(content, analysis=replace(analysis, not_sure=few))))
    assert "too few to say how often those answers are right" in page.text
    assert "analysis.not_sure.accuracy" not in page.numbers


def test_mistakes_are_shown_by_falling_loss():
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d\d),", render(full_content()))]
    assert len(losses) > 1
    assert losses == sorted(losses, reverse=True)


def test_the_loss_says_whether_the_temperature_is_applied():
    text = " ".join(Page(render(full_content())).text.split())
    assert re.search(r"before temperature\) \d\.\d{4}; with temperature \d\.\d\d applied", text)
    plain = Page(render(content_of(predictions_of(60, numbered(3))))).text
    assert "Loss (cross-entropy) " in plain


def test_ten_thousand_images_stay_small_enough_to_send():
    predictions = predictions_of(10_000, numbered(10))
    # Noise is the worst that an image format can be given.
    html = render(content_of(predictions, images_of(10_000)))
    assert len(html) < 16e6
    assert len(Page(html).data["sprites"]) <= MOST_IMAGES
    assert CELL_CAPS[-1] == 0


def test_the_same_content_gives_the_same_page():
    assert _without_ids(render(full_content())) == _without_ids(render(full_content()))


def _without_ids(html: str) -> str:
    # Matplotlib numbers the parts of a drawing at random.
    return "".join(part for part in html.split('"') if not part.startswith("data:image/svg"))
