"""From a report's content to one HTML page that needs nothing else."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup

from cifarlab.evaluation.metrics import checked_labels, most_confused, wilson_interval
from cifarlab.evaluation.mistakes import cell
from cifarlab.reporting.content import Content
from cifarlab.reporting.figures import plots
from cifarlab.reporting.images import Sheet, image_uri, sheet
from cifarlab.reporting.rendering import render_template

SAMPLES = 24
LABEL_ISSUES = 24
DUPLICATES = 16
CONFUSED = 5
# All images of a page together: few enough to send the page by mail.
MOST_IMAGES = 3600
# How many images of a cell are shown, as many as the page has room for.
CELL_CAPS = (400, 200, 120, 80, 60, 40, 24, 12, 6, 3, 1, 0)
RIGHT_CELL_CAP = 40

# Statements from fewer images than that are left out: "too few to say".
FEWEST = 30

Cells = dict[str, list[int]]


def render(content: Content) -> str:
    """Return the page; every text from outside is escaped."""
    return render_template("page.html", _view(content))


def _view(content: Content) -> dict[str, Any]:
    analysis, predictions = content.analysis, content.predictions
    samples = _samples(len(predictions))
    suspects = analysis.label_issues.issues[:LABEL_ISSUES]
    pairs = analysis.duplicates.pairs[:DUPLICATES] if analysis.duplicates else ()
    listed = [
        *samples,
        *(mistake.index for mistake in analysis.mistakes),
        *(issue.index for issue in suspects),
        *(pair.index for pair in pairs),
    ]
    cells, total = _cells(content, MOST_IMAGES - len(listed))
    images = None
    if content.images is not None:
        shown = [i for indices in cells.values() for i in indices]
        images = sheet(content.images, [*listed, *shown])
    return {
        "content": content,
        "analysis": analysis,
        "metrics": analysis.metrics,
        "fewest": FEWEST,
        "names": predictions.class_names,
        "matrix": _matrix(content),
        "confused": most_confused(analysis.metrics, CONFUSED),
        "plots": plots(content),
        "samples": [_sample(content, checked_labels(predictions), i) for i in samples],
        "suspects": suspects,
        "pairs": list(zip(pairs, map(image_uri, content.counterparts), strict=False)),
        "saliency": {overlay.index: image_uri(overlay.overlay) for overlay in content.overlays},
        "images": images,
        "data": _data(content, images, cells, total),
        "number": number,
        "interval": interval,
        "script": Markup(_file("page.js")),
    }


def number(key: str, value: float | int | None, form: str) -> Markup:
    """Return a number as people read it, with its key in ``metrics.json`` and its exact value."""
    if value is None:
        return Markup("–")
    return Markup('<data class="n" data-key="{}" value="{}">{}</data>').format(
        key, repr(value), format(value, form)
    )


def interval(share: float, n: int) -> str:
    """Return the 95% interval of a share that was measured on ``n`` images.

    Example:
        >>> interval(0.9, 100)
        '95% interval 82.6% to 94.5%'
    """
    low, high = wilson_interval(round(share * n), n)
    return f"95% interval {low:.1%} to {high:.1%}"


def _samples(count: int) -> list[int]:
    # At random, but the same ones every time.
    chosen = np.random.default_rng(0).choice(count, min(count, SAMPLES), replace=False)
    return [int(i) for i in np.sort(chosen)]


def _sample(content: Content, labels: np.ndarray[Any, Any], index: int) -> dict[str, Any]:
    predictions = content.predictions
    true, predicted = int(labels[index]), int(predictions.predicted[index])
    return {
        "index": index,
        "true": predictions.class_names[true],
        "predicted": predictions.class_names[predicted],
        "confidence": float(predictions.confidence[index]),
        "right": true == predicted,
    }


def _matrix(content: Content) -> list[list[dict[str, Any]]]:
    confusion = content.analysis.metrics.confusion
    support = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    shares = confusion / support
    return [
        [
            {"count": int(count), "share": float(share), "key": f"{row},{column}"}
            for column, (count, share) in enumerate(zip(counts, parts, strict=True))
        ]
        for row, (counts, parts) in enumerate(zip(confusion, shares, strict=True))
    ]


def _cells(content: Content, room: int) -> tuple[Cells, dict[str, int]]:
    """Return which images each cell of the matrix shows, and how many it has."""
    predictions, confusion = content.predictions, content.analysis.metrics.confusion
    members = {
        f"{row},{column}": cell(predictions, int(row), int(column))
        for row, column in np.argwhere(confusion)
    }
    cap = next(cap for cap in CELL_CAPS if _size(members, cap) <= room or cap == 0)
    shown = {key: [int(i) for i in inside[: _cap(key, cap)]] for key, inside in members.items()}
    return shown, {key: len(inside) for key, inside in members.items()}


def _size(members: dict[str, np.ndarray[Any, Any]], cap: int) -> int:
    return sum(min(len(inside), _cap(key, cap)) for key, inside in members.items())


def _cap(key: str, cap: int) -> int:
    row, column = key.split(",")
    return min(cap, RIGHT_CELL_CAP) if row == column else cap


def _data(content: Content, images: Sheet | None, cells: Cells, total: dict[str, int]) -> Markup:
    """Return what the page's script needs, as JSON that no text in it can break out of."""
    predictions = content.predictions
    used = sorted({i for indices in cells.values() for i in indices})
    named = any(name != str(i) for i, name in enumerate(predictions.names))
    data = {
        "classes": predictions.class_names,
        "cells": cells,
        "total": total,
        "confidence": {i: round(float(predictions.confidence[i]), 4) for i in used},
        "names": {i: predictions.names[i] for i in used} if named else {},
        "sprites": {i: images.cells[i] for i in used} if images else {},
    }
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _file(name: str) -> str:
    return resources.files("cifarlab.reporting").joinpath("template", name).read_text("utf-8")
