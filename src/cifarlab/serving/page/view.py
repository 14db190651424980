"""The parts of the page as HTML. Whatever comes from outside is escaped here."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from cifarlab.errors import CifarlabError
from cifarlab.evaluation.metrics import Metrics
from cifarlab.plots.confusion import confusion_matrix
from cifarlab.plots.style import darkened, svg
from cifarlab.reporting import data_uri, image_uri
from cifarlab.serving.page.answer import Explained

Array = np.ndarray[Any, Any]
# Classes that get a bar.
BARS = 5

# How images of another shape are brought to the model's.
FITTED = {
    "squash": "; other shapes are stretched",
    "crop": "; other shapes are cut",
    "pad": "; other shapes get black bars",
}

EMPTY = '<p class="hint">The answer appears here.</p>'


def answer_html(explained: Explained, true_class: str | None = None) -> str:
    """Return the predicted class, a bar for each of the likeliest classes, and the two images.

    Args:
        true_class: what the image shows, where that is known.
    """
    best = explained.predictions.top(BARS)[0]
    verdict, confidence = best[0]
    seen = f"Input of the model: {_input(explained)}"
    height, width = explained.image.shape[:2]
    shape = "images wide" if width > 1.5 * height else "images"
    saliency = f"Saliency: pixels that spoke for {verdict}"
    return (
        '<div class="answer"><div role="status">'
        f"{_verdict(verdict, confidence, sure=explained.sure)}{_truth(verdict, true_class)}</div>"
        f'<ol class="bars">{"".join(_bar(name, share) for name, share in best)}</ol>'
        f'<div class="{shape}">'
        f"{_figure('seen', exact_uri(explained.image), seen)}"
        f"{_figure('saliency', exact_uri(explained.saliency), saliency)}"
        "</div></div>"
    )


def problem_html(error: CifarlabError) -> str:
    """Return the message of an error."""
    return f'<p class="problem" role="alert">{escape(str(error))}</p>'


def about_html(name: str, test: Metrics | None) -> str:
    """Return the name of the model, and its test accuracy."""
    if test is None:
        known = "No test result is stored with this model, so its accuracy is not known."
    else:
        low, high = test.accuracy_interval
        known = (
            f"Its test accuracy is <b>{test.accuracy:.2%}</b> on {test.n:,} images "
            f"(95% interval {low:.2%} to {high:.2%})."
        )
    classes = "" if test is None else f" Its {len(test.class_names)} classes: {_classes(test)}."
    return (
        '<header class="about"><h1>What is in this image?</h1>'
        f"<p>Answers of the model <b>{escape(name)}</b>. {known}{classes} Images go to the server "
        "of this page and no further; they are deleted within 20 minutes.</p></header>"
    )


def matrix_html(test: Metrics, name: str) -> str:
    """Return the confusion matrix, for a light and for a dark page."""
    light = data_uri(svg(confusion_matrix(test, name)), "image/svg+xml")
    dark = data_uri(svg(darkened(confusion_matrix(test, name))), "image/svg+xml")
    text = escape(f"Confusion matrix of {name}: {test.accuracy:.2%} of {test.n:,} images right")
    return (
        '<p class="hint">Rows: true class. Columns: predicted class.</p>'
        '<div class="matrix" tabindex="0" role="region" aria-label="Confusion matrix">'
        f'<img class="light" src="{light}" alt="{text}">'
        f'<img class="dark" src="{dark}" alt="{text}"></div>'
    )


def grid_html(
    images: Array, labels: Array, predicted: Array, indices: Array, class_names: Sequence[str]
) -> str:
    """Return a button for each image at ``indices``, with its true and its predicted class.

    Args:
        images: uint8 ``[N, H, W, C]``.
        labels, predicted: int ``[N]``.
        indices: int ``[M]``, which of them, in order.
    """
    buttons = (
        _thumbnail(images[i], int(i), class_names[labels[i]], class_names[predicted[i]])
        for i in indices
    )
    return f'<div class="grid">{"".join(buttons)}</div>'


def exact_uri(image: Array) -> str:
    """Return uint8 ``[H, W, C]`` as a PNG address: not one pixel differs."""
    file = io.BytesIO()
    _drawn(image).save(file, "PNG")
    return data_uri(file.getvalue(), "image/png")


def _drawn(image: Array) -> Image.Image:
    """Return uint8 ``[H, W, C]`` as Pillow's image, RGB or grey."""
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def _input(explained: Explained) -> str:
    """Return the size of what the model was given, and how the image was brought to it."""
    height, width, channels = explained.image.shape
    size = f"{width}x{height} pixels" if height == width else f"{width} pixels wide, {height} high"
    grey = ", grey" if channels == 1 else ""
    fitted = FITTED.get(explained.resize_mode or "", "")
    return f"{size}{grey}{fitted}"


def _verdict(name: str, confidence: float, *, sure: bool | None) -> str:
    if sure is False:
        return (
            f'<p class="verdict unsure">Not sure</p><p class="hint">Perhaps {escape(name)}; '
            f"a confidence of {confidence:.0%} is below the model's threshold.</p>"
        )
    return f'<p class="verdict">{escape(name)}</p>'


def _truth(predicted: str, true_class: str | None) -> str:
    if true_class is None:
        return ""
    kind = "right" if predicted == true_class else "wrong"
    return f'<p class="{kind}">The label says {escape(true_class)}: {kind}.</p>'


def _bar(name: str, share: float) -> str:
    return (
        f'<li><i style="width:{share:.1%}"></i><span>{escape(name)}</span>'
        f"<span>{share:.1%}</span></li>"
    )


def _figure(kind: str, uri: str, caption: str) -> str:
    caption = escape(caption)
    return (
        f'<figure class="{kind}"><img src="{uri}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _thumbnail(image: Array, index: int, true_class: str, predicted: str) -> str:
    right = true_class == predicted
    words = true_class if right else f"{true_class}, predicted {predicted}"
    return (
        f'<button type="button" class="{"right" if right else "wrong"}" data-index="{index}">'
        f'<img src="{image_uri(_drawn(np.asarray(image)))}" alt="">{escape(words)}</button>'
    )


def _classes(test: Metrics) -> str:
    if len(test.class_names) > 20:
        return f"{escape(', '.join(test.class_names[:20]))} and more"
    return escape(", ".join(test.class_names))
