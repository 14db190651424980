"""The page driven as a visitor does, in Chromium, against a server that has only the page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.classifier import Classifier
from cifarlab.data.image import read_image
from cifarlab.serving.page.interface import PageContext
from serving.page.steps import (
    bare_page,
    chromium,
    click,
    connections,
    find,
    noise,
    open_tab,
    pixels,
    png,
    requested,
    resize,
    served,
    text_of,
    until,
    upload,
)

pytest_plugins = ["serving.page.fixtures"]
LOCAL = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True, kw_only=True)
class Visit:
    browser: Any
    address: str
    classifier: Classifier
    connections: list[str]


@pytest.fixture(scope="module")
def visit(brightness_run: Path) -> Iterator[Visit]:
    """The page of a run, open."""
    classifier = Classifier.load(brightness_run)
    context = PageContext(
        name="brightness-1",
        model=brightness_run,
        classifier=lambda: classifier,
        lock=threading.Lock(),
    )
    with chromium() as browser, connections() as made, served(bare_page(context)) as address:
        browser.get(address)
        until(lambda: find(browser, "#upload input[type=file]"))
        yield Visit(browser=browser, address=address, classifier=classifier, connections=made)


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    file = tmp_path / "bright.png"
    file.write_bytes(png(noise(2, 99, height=40, width=60)))
    return file


def test_an_upload_is_answered_as_the_library_does(visit: Visit, bright: Path) -> None:
    upload(visit.browser, bright)
    until(lambda: find(visit.browser, "#answer .bars"))
    best = visit.classifier.predict(bright).top(3)[0]
    assert best[0][0] == "bright"
    assert "bright" in text_of(visit.browser, "#answer [role=status]")
    bars = text_of(visit.browser, "#answer .bars").split()
    assert bars == [word for name, share in best for word in (name, f"{share:.1%}")]
    assert np.array_equal(pixels(visit.browser, "#answer .seen img"), read_image(bright))
    assert pixels(visit.browser, "#answer .saliency img").std() > 0


def test_another_fit_is_shown_at_once(visit: Visit, bright: Path) -> None:
    upload(visit.browser, bright)
    until(lambda: find(visit.browser, "#answer .bars"))
    assert click(visit.browser, "#mode input[value=pad]")
    expected = read_image(bright, resize_mode="pad")
    until(lambda: np.array_equal(pixels(visit.browser, "#answer .seen img"), expected))


def test_a_text_file_gets_a_clear_message(visit: Visit, tmp_path: Path) -> None:
    disguised, plain = tmp_path / "notes.png", tmp_path / "notes.txt"
    for file in (disguised, plain):
        file.write_text("no image at all")
    upload(visit.browser, disguised)
    message = until(lambda: text_of(visit.browser, "#answer [role=alert]"))
    assert message.startswith("notes.png: not an image that can be read")
    assert "\n" not in message
    upload(visit.browser, plain)
    until(lambda: "Invalid file type" in text_of(visit.browser, "[data-testid=toast-body]"))


def test_a_test_image_can_be_chosen_and_is_explained(visit: Visit) -> None:
    open_tab(visit.browser, "Test images")
    until(lambda: find(visit.browser, "#grid button[data-index]"))
    first = find(visit.browser, "#grid button[data-index]")[0]
    visit.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", first)
    first.send_keys("\ue007")
    until(lambda: "The label says" in text_of(visit.browser, "#chosen"))
    assert find(visit.browser, "#chosen .saliency img")


def test_the_confusion_matrix_is_there(visit: Visit) -> None:
    open_tab(visit.browser, "Confusion matrix")
    until(lambda: any(i.is_displayed() for i in find(visit.browser, ".matrix img")))


def test_nothing_is_wider_than_a_telephone(visit: Visit, bright: Path) -> None:
    resize(visit.browser, 390)
    open_tab(visit.browser, "Your image")
    upload(visit.browser, bright)
    until(lambda: find(visit.browser, "#answer .bars"))
    too_wide = visit.browser.execute_script(
        "return document.documentElement.scrollWidth <= innerWidth ? [] :"
        "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right >"
        " innerWidth).map(e => e.className)"
    )
    assert too_wide == []


def test_nobody_has_connected_elsewhere_and_nothing_has_failed(visit: Visit) -> None:
    asked = requested(visit.browser)
    assert any(url.startswith(visit.address) for url in asked)
    own = (visit.address, "data:", "blob:")
    assert {url for url in asked if not url.startswith(own)} == set()
    assert set(visit.connections) <= LOCAL
    assert [line for line in visit.browser.get_log("browser") if line["level"] == "SEVERE"] == []
