"""The web page: an image in; the model's input, its prediction and the saliency out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio
import numpy as np
from fastapi import FastAPI
from starlette.middleware import Middleware

from cifarlab.classifier import Classifier
from cifarlab.errors import CifarlabError, InputError
from cifarlab.evaluation.metrics import Metrics
from cifarlab.exporting import about
from cifarlab.serving.model_worker import ModelWorker
from cifarlab.serving.page.answer import explain_file, explain_image
from cifarlab.serving.page.gallery import EVERY_CLASS, Gallery, find_gallery
from cifarlab.serving.page.gate import PageGate
from cifarlab.serving.page.view import (
    EMPTY,
    about_html,
    answer_html,
    grid_html,
    matrix_html,
    problem_html,
)

TITLE = "What is in this image?"
STYLE = Path(__file__).with_name("page.css")
LARGEST = "16mb"
# Seconds between two searches for old uploads, and their age when they are removed.
KEPT = (600, 600)
# Requests of visitors that may be queued; more are told that the page is busy.
WAITING = 32
# How images of another shape are brought to the model's, and what the visitor reads.
AS_TRAINED = "trained"
RESIZE_CHOICES = [
    ("as in training", AS_TRAINED),
    ("squash: stretch it", "squash"),
    ("crop: cut out the middle", "crop"),
    ("pad: add black bars", "pad"),
]
# Tells Python which image of the grid was clicked; Enter and the space bar click, too.
CLICKED = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-index]');
  if (button) trigger('click', {index: Number(button.dataset.index)});
});
"""


@dataclass(frozen=True, kw_only=True)
class PageContext:
    """What the page works with.

    Attributes:
        name: of the model.
        model: what ``Classifier.load`` took, or ``None`` if it came from elsewhere; test
            results and test images are looked up there.
        classifier: gives the classifier, or raises a ``CifarlabError`` while it is not ready.
        lock: held while the classifier computes.
    """

    name: str
    model: Path | None
    classifier: Callable[[], Classifier]
    lock: threading.Lock


def build_page(context: PageContext) -> gradio.Blocks:
    """Return the page; it has test images only where the dataset is on this machine."""
    test = _test_metrics(context.model)
    gallery = find_gallery(context.model, context.classifier, context.lock)
    page = gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=KEPT)
    with page:
        gradio.HTML(about_html(context.name, test))
        with gradio.Tab("Your image"):
            _image_tab(context)
        if gallery is not None:
            with gradio.Tab("Test images") as tab:
                _gallery_tab(context, gallery, tab)
        if test is not None:
            with gradio.Tab("Confusion matrix"):
                gradio.HTML(matrix_html(test, context.name))
    page.queue(max_size=WAITING, default_concurrency_limit=2, api_open=False)
    return page


def page_options() -> dict[str, Any]:
    """Return how Gradio is to show and guard the page, for launching and mounting alike."""
    # Names of fonts, not Gradio's font objects, which would be loaded.
    theme = gradio.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    return {
        "theme": theme,
        "css_paths": [STYLE],
        "max_file_size": LARGEST,
        "footer_links": [],
        "run_history": False,
        "show_error": False,
        "ssr_mode": False,
        "mcp_server": False,
        "pwa": False,
        "enable_monitoring": False,
        "app_kwargs": {"middleware": [Middleware(PageGate)]},
    }


def mount_page(app: FastAPI, name: str, model: str, worker: ModelWorker) -> FastAPI:
    """Show the page at ``/``, below every other endpoint of ``app``."""
    context = PageContext(
        name=name, model=Path(model), classifier=worker.ready_classifier, lock=worker.lock
    )
    mounted: FastAPI = gradio.mount_gradio_app(app, build_page(context), path="", **page_options())
    return mounted


def answer_upload(context: PageContext, upload: Mapping[str, Any] | None, mode: str) -> str:
    """Return the page's answer to an uploaded file, or why it cannot be read.

    Args:
        upload: Gradio's description of the file, untouched; ``None`` for no file.
        mode: one of ``RESIZE_CHOICES``.
    """
    if upload is None:
        return EMPTY
    name = str(upload.get("orig_name") or "the image")
    try:
        content = _content(upload, name)
        chosen = None if mode == AS_TRAINED else mode
        return answer_html(explain_file(context.classifier(), context.lock, content, name, chosen))
    except CifarlabError as error:
        return problem_html(error)


def answer_test_image(context: PageContext, gallery: Gallery, index: int) -> str:
    """Return the page's answer to one of the test images."""
    try:
        if not 0 <= index < len(gallery.test):
            raise InputError(f"no test image {index}; there are {len(gallery.test):,}")
        image = np.array(gallery.test.images[index])
        explained = explain_image(context.classifier(), context.lock, image)
        return answer_html(explained, gallery.class_names[gallery.test.labels[index]])
    except CifarlabError as error:
        return problem_html(error)


def show_test_images(gallery: Gallery, true_class: str, *, only_mistakes: bool) -> str:
    """Return the test images that match, or why there are none."""
    try:
        chosen = gallery.choose(true_class, only_mistakes=only_mistakes)
        if not len(chosen):
            return '<p class="hint">None: there are no such images.</p>'
        test = gallery.test
        return grid_html(test.images, test.labels, gallery.predicted(), chosen, gallery.class_names)
    except CifarlabError as error:
        return problem_html(error)


def _content(upload: Mapping[str, Any], name: str) -> bytes:
    try:
        return Path(upload["path"]).read_bytes()
    except OSError:
        raise InputError(f"{name}: no longer on the server; choose it again") from None


def _image_tab(context: PageContext) -> None:
    with gradio.Row():
        with gradio.Column():
            upload = gradio.Image(
                label="Drop, paste or choose an image",
                sources=["upload", "clipboard", "webcam"],
                height=320,
                buttons=[],
                elem_id="upload",
            )
            mode = gradio.Radio(
                RESIZE_CHOICES,
                value=AS_TRAINED,
                label="Images of another shape",
                elem_id="mode",
            )
        with gradio.Column():
            answer = gradio.HTML(EMPTY, elem_id="answer")
    # One listener, so that an earlier answer cannot come after a later one.
    gradio.on(
        [upload.change, mode.change],
        lambda file, resize_mode: answer_upload(context, file, resize_mode),
        [upload, mode],
        answer,
        # Gradio would open the image itself, and hand on another one.
        preprocess=False,
        show_progress="minimal",
        trigger_mode="always_last",
        api_visibility="private",
    )


def _gallery_tab(context: PageContext, gallery: Gallery, tab: gradio.Tab) -> None:
    with gradio.Row():
        true_class = gradio.Dropdown(
            [EVERY_CLASS, *gallery.class_names],
            value=EVERY_CLASS,
            label="True class",
            elem_id="true-class",
        )
        mistakes = gradio.Checkbox(label="Only mistakes", elem_id="mistakes")
    chosen = gradio.HTML('<p class="hint">Choose an image to see the answer.</p>', elem_id="chosen")
    grid = gradio.HTML(elem_id="grid", js_on_load=CLICKED)

    def clicked(event: gradio.EventData) -> str:
        index = getattr(event, "index", None)
        return answer_test_image(context, gallery, index if isinstance(index, int) else -1)

    gradio.on(
        [tab.select, true_class.change, mistakes.change],
        lambda name, only: show_test_images(gallery, name, only_mistakes=only),
        [true_class, mistakes],
        grid,
        preprocess=False,
        show_progress="minimal",
        trigger_mode="always_last",
        api_visibility="private",
    )
    grid.click(clicked, None, chosen, show_progress="minimal", api_visibility="private")


def _test_metrics(model: Path | None) -> Metrics | None:
    try:
        test = None if model is None else about(model)["test"]
    except CifarlabError:
        return None
    return None if test is None else Metrics.from_json(test)
