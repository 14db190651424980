"""The report of predictions that another program made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.errors import InputError
from cifarlab.evaluation.analysis import analyse
from cifarlab.files import write_json, write_text
from cifarlab.predictions import Predictions
from cifarlab.reporting.content import Content
from cifarlab.reporting.page import render

# How far the sum of a row of probabilities may be from 1.
TOLERANCE = 1e-3


def report_predictions(
    predictions: Predictions,
    directory: Path,
    title: str = "predictions",
    images: np.ndarray[Any, Any] | None = None,
) -> Path:
    """Write ``report.html`` and ``metrics.json`` about predictions into ``directory``.

    Args:
        predictions: with labels.
        images: uint8 ``[N, H, W, C]``, C is 3 or 1, of the same images, or ``None``.

    Returns:
        The absolute path of the page.

    Raises:
        InputError: no labels, or images of another shape, type or number.
        ResourceError: ``directory`` cannot be written to.
    """
    if images is not None and (
        images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[-1] not in (1, 3)
        or len(images) != len(predictions)
    ):
        raise InputError(
            f"images are {images.dtype} {list(images.shape)}; they must be uint8 "
            f"[{len(predictions)}, height, width, 1 or 3], one for each prediction"
        )
    content = Content(
        title=title,
        statement="These predictions were read from files; how they were made is not known here.",
        predictions=predictions,
        analysis=analyse(predictions),
        images=images,
        missing=() if images is not None else ("No images: name their file with --images.",),
    )
    analysis = content.analysis
    directory.mkdir(parents=True, exist_ok=True)
    write_json(
        directory / "metrics.json",
        {"test": analysis.metrics.to_json(), "analysis": analysis.to_json()},
    )
    page = directory / "report.html"
    write_text(page, render(content))
    return page.absolute()


def read_prediction_files(labels: Path, probabilities: Path, classes: Path | None) -> Predictions:
    """Read predictions from NumPy files and class names from a text file, one a line.

    Args:
        labels: int ``[N]``.
        probabilities: ``[N, K]``, rows sum to 1.
        classes: K lines; ``None`` counts the classes.

    Raises:
        InputError: a file cannot be read, or the three do not fit together.
    """
    rows, true = read_array(probabilities), read_array(labels)
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.floating):
        raise InputError(
            f"{probabilities}: {rows.dtype} {list(rows.shape)}; probabilities are fractions "
            "[images, classes]"
        )
    if true.ndim != 1 or not np.issubdtype(true.dtype, np.integer):
        raise InputError(
            f"{labels}: {true.dtype} {list(true.shape)}; labels are whole numbers [images]"
        )
    sums = rows.sum(axis=1)
    off = np.flatnonzero(~(np.abs(sums - 1) < TOLERANCE) | (rows < 0).any(axis=1))
    if len(off):
        raise InputError(
            f"{probabilities}: row {off[0]} sums to {sums[off[0]]:.4g}; probabilities are at "
            "least 0 and sum to 1: apply a softmax to logits first"
        )
    names = tuple(f"class {i}" for i in range(rows.shape[1]))
    if classes is not None:
        names = _lines(classes)
    return Predictions(
        probabilities=rows.astype(np.float32), class_names=names, labels=true.astype(np.int64)
    )


def read_array(path: Path) -> np.ndarray[Any, Any]:
    """Return the one array in a ``.npy`` file.

    Raises:
        InputError: it cannot be read, or holds pickled objects or several arrays.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: cannot be read as a NumPy array ({error})") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: holds several arrays; save one with numpy.save")
    return array


def _lines(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error})") from error
    return tuple(line for line in text.splitlines() if line)
