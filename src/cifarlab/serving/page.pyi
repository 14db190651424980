"""The web page: a picture in, what the model sees, says and looks at out."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio
import numpy as np
from fastapi import FastAPI

from cifarlab.classifier import Classifier
from cifarlab.data.image import RESIZE_MODES, decode_image
from cifarlab.errors import CifarlabError, InputError
from cifarlab.explain import grad_cam, integrated_gradients, overlay
from cifarlab.exporting.about import about
from cifarlab.predictions import Predictions
from cifarlab.serving.gallery import EVERY_CLASS, Gallery
from cifarlab.serving.model_worker import ModelWorker

# What the model sees is shown this large, in screen pixels.
SIZE = 256
BARS = 5
LARGEST = "16mb"
# Seconds after which uploads are removed, and how often that is looked at.
KEPT = (600, 600)

TITLE = "cifarlab"
PRIVATE = "Pictures stay between this page and its server; nothing is kept."
EMPTY = "<p class='hint'>Drop, paste or choose a picture, or use the webcam.</p>"
CSS = """
.bars { display: grid; gap: .45rem; } .bar { position: relative; padding: .35rem .6rem;
border-radius: 6px; background: var(--background-fill-secondary); overflow: hidden; display: flex;
justify-content: space-between; } .bar i { position: absolute; inset: 0 auto 0 0; opacity: .35;
background: var(--color-accent); } .bar b, .bar span { position: relative; }
.verdict { font-size: 1.5rem; font-weight: 600; margin: 0 0 .2rem; }
.unsure { color: #b45309; } .problem { color: #b91c1c; font-weight: 600; }
.dark .unsure { color: #fbbf24; } .dark .problem { color: #f87171; }
#seen img, #looks img { image-rendering: pixelated; }
"""


@dataclass(frozen=True)
class PageContext:
    """What the page works with.

    Attributes:
        name: of the model.
        model: what ``Classifier.load`` took, or ``None`` if it came from elsewhere.
        classifier: gives the classifier, or raises a ``CifarlabError`` while it is not ready.
        lock: held while the classifier computes.
    """

    name: str
    model: Path | None
    classifier: Callable[[], Classifier]
    lock: threading.Lock


@dataclass(frozen=True)
class Shown:
    """What the page shows of one picture.

    Attributes:
        seen: uint8 ``[H, W, 3]``, as the model sees it.
        looks: uint8 ``[256, 256, 3]``, heat over what spoke for the class.
        predictions: of this one picture.
        sure: as ``Classifier.sure``.
    """

    seen: np.ndarray[Any, Any]
    looks: np.ndarray[Any, Any]
    predictions: Predictions
    sure: bool | None

from gradio.events import Dependency

class Upload(gradio.Image):
    """Hands over the file as it was uploaded: only our own decoder is to touch it."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """Return the path of the uploaded file."""
        return None if payload is None else payload.path
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block
    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component


def look_at(context: PageContext, content: bytes, name: str, resize_mode: str) -> Shown:
    """Classify one picture and explain the answer.

    Raises:
        CifarlabError: no picture that can be read, or the model is not ready.
    """
    classifier = context.classifier()
    size = classifier.input_shape[0]
    seen = decode_image(content, name=name, size=size, resize_mode=resize_mode)
    with context.lock:
        predictions = classifier.predict(seen)
        heat = _saliency(classifier, seen[None])[0]
    sure = classifier.sure(float(predictions.confidence[0]))
    return Shown(seen, overlay(seen, heat, SIZE), predictions, sure)


def answer_in_html(shown: Shown) -> str:
    """Return the verdict and a bar for each of the likeliest classes."""
    best = shown.predictions.top(BARS)[0]
    doubt = shown.sure is False
    verdict = f"Not sure, perhaps {best[0][0]}" if doubt else best[0][0]
    bars = "".join(
        f"<div class='bar'><i style='width:{100 * p:.1f}%'></i>"
        f"<b>{html.escape(name)}</b><span>{p:.1%}</span></div>"
        for name, p in best
    )
    kind = "verdict unsure" if doubt else "verdict"
    return f"<p class='{kind}'>{html.escape(verdict)}</p><div class='bars'>{bars}</div>"


def build_page(context: PageContext) -> gradio.Blocks:
    """Return the page; it shows test pictures only where the data set is on this machine."""
    gallery = Gallery(context.model, context.classifier, context.lock)

    def classify(path: str | None, resize_mode: str) -> tuple[str, Any, Any]:
        if path is None:
            return EMPTY, None, None
        try:
            shown = look_at(context, Path(path).read_bytes(), Path(path).name, resize_mode)
        except CifarlabError as error:
            return f"<p class='problem' role='alert'>{html.escape(str(error))}</p>", None, None
        return answer_in_html(shown), _enlarged(shown.seen), shown.looks

    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=KEPT) as page:
        gradio.Markdown(f"# {TITLE}\n{_known(context)} {PRIVATE}")
        with gradio.Tab("Classify"), gradio.Row():
            with gradio.Column():
                upload = Upload(
                    label="Picture",
                    sources=["upload", "clipboard", "webcam"],
                    height=300,
                    elem_id="upload",
                    buttons=[],
                )
                mode = gradio.Radio(
                    list(RESIZE_MODES), value=RESIZE_MODES[0], label="Fit other shapes by"
                )
            with gradio.Column():
                verdict = gradio.HTML(EMPTY, elem_id="answer")
                with gradio.Row():
                    seen = _picture("What the model sees", "seen")
                    looks = _picture("What spoke for it", "looks")
        for event in (upload.change, mode.change):
            event(
                classify,
                [upload, mode],
                [verdict, seen, looks],
                show_progress="minimal",
                api_visibility="private",
            )
        if gallery.test is not None:
            _gallery_tab(gallery)
        matrix = _confusion(context)
        if matrix is not None:
            with gradio.Tab("Confusion matrix"):
                gradio.Plot(matrix, show_label=False)
    return page


def page_options() -> dict[str, Any]:
    """Return how Gradio is to show and guard the page, for launching and mounting alike."""
    fonts = ["system-ui", "sans-serif"]
    return {
        "theme": gradio.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
        "css": CSS,
        "max_file_size": LARGEST,
        "footer_links": [],
        "ssr_mode": False,
    }


def mount_page(app: FastAPI, name: str, model: str, worker: ModelWorker) -> FastAPI:
    """Show the page at ``/``, below every other endpoint of ``app``."""
    context = PageContext(name, Path(model), worker.ready_classifier, worker.lock)
    blocks = build_page(context)
    return gradio.mount_gradio_app(app, blocks, path="", **page_options())


def _saliency(classifier: Classifier, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    try:
        return grad_cam(classifier, images)
    except InputError:
        # No convolution.
        return integrated_gradients(classifier, images)


def _known(context: PageContext) -> str:
    accuracy = _about(context).get("accuracy")
    if accuracy is None:
        return f"Model: {context.name}."
    return (
        f"Model: {context.name}, right for {accuracy['value']:.2%} of {accuracy['n']:,} test "
        f"pictures (95% interval {accuracy['low']:.2%} to {accuracy['high']:.2%})."
    )


def _about(context: PageContext) -> dict[str, Any]:
    return {} if context.model is None else about(context.model)


def _confusion(context: PageContext) -> Any:
    from cifarlab import plots
    from cifarlab.evaluation.metrics import Metrics

    found = _about(context).get("test")
    if found is None:
        return None
    return plots.confusion_matrix(Metrics.from_json(found), context.name)


def _picture(label: str, place: str) -> Any:
    return gradio.Image(
        label=label,
        elem_id=place,
        interactive=False,
        format="png",
        height=SIZE,
        buttons=[],
    )


def _enlarged(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    times = max(1, SIZE // image.shape[0])
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _gallery_tab(gallery: Gallery) -> None:
    with gradio.Tab("Test pictures") as tab:
        with gradio.Row():
            which = gradio.Dropdown(
                [EVERY_CLASS, *gallery.class_names], value=EVERY_CLASS, label="True class"
            )
            wrong = gradio.Checkbox(label="Only mistakes")
        pictures = gradio.Gallery(columns=8, height=480, object_fit="contain", show_label=False)
    inputs = [which, wrong]
    for event in (tab.select, which.change, wrong.change):
        event(gallery.choose, inputs, pictures, api_visibility="private")