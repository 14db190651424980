"""The report of a run: its results, and the images behind them, on one page."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.named.cifar import CIFAR10_TEST_FINGERPRINT
from cifarlab.errors import InputError
from cifarlab.evaluation.analysis import Duplicates, analyse, without_duplicates
from cifarlab.evaluation.duplicates import near_duplicates
from cifarlab.evaluation.mistakes import Mistake
from cifarlab.evaluation.robustness import Robustness, measure_robustness
from cifarlab.explain import grad_cam
from cifarlab.files import write_json, write_text
from cifarlab.plots.overlay import overlay
from cifarlab.predictions import Predictions
from cifarlab.reporting.content import Content, SaliencyOverlay
from cifarlab.reporting.page import render
from cifarlab.reporting.provenance import provenance, statement
from cifarlab.runs.directory import RunDirectory, read_json
from cifarlab.training.run import Run, read_run

# Of the test split, for each corruption and severity.
ROBUSTNESS_IMAGES = 1000

Progress = Callable[[str], object]


def report(
    run: Run | str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
    robustness: int = ROBUSTNESS_IMAGES,
    progress: Progress = lambda _: None,
) -> Path:
    """Write ``report.html`` into a finished run's directory, its numbers into ``metrics.json``.

    The page shows what the run predicted when training was over; the test split is not measured
    again. Where the data is no longer available, the page has no images and says so.

    Args:
        run: a run, or its directory.
        data: needed only where the run's own data is no longer where it was.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``, for a run that is read from its
            directory; a ``Run`` has its classifier on a device already.
        robustness: how many test images to corrupt; 0 to leave that out.
        progress: is told what is being done.

    Returns:
        The absolute path of the page.

    Raises:
        InputError: no finished run, or ``data`` is not what it was trained on.
        UsageError: ``device`` is not there.

    Example:
        >>> report(train("baseline", "shapes10"))  # doctest: +SKIP
        PosixPath('/home/me/runs/baseline-1/report.html')
    """
    if not isinstance(run, Run):
        run = read_run(run, data, device=device)
    elif run.data is None and data is not None:
        run = read_run(run.directory, data, device=device)
    if run.data is None:
        warnings.warn(f"the report has no images: {run.no_data}", stacklevel=2)
    directory = RunDirectory(path=run.directory)
    metrics = read_json(directory.metrics)
    content = _content(run, read_json(directory.environment), metrics, robustness, progress)
    progress("writing the page")
    write_json(directory.metrics, {**metrics, "analysis": content.analysis.to_json()})
    write_text(directory.report, render(content))
    return directory.report.absolute()


def _content(
    run: Run,
    record: Mapping[str, Any],
    metrics: Mapping[str, Any],
    robustness: int,
    progress: Progress,
) -> Content:
    test, validation = run.predictions["test"], run.predictions.get("validation")
    content = Content(
        title=f"{run.recipe.name} on {run.dataset}",
        statement=statement(record),
        predictions=test,
        analysis=analyse(test, validation),
        history=run.history,
        chosen_epoch=run.chosen_epoch,
        validation_images=0 if validation is None else len(validation),
        duplicates_verified=metrics["dataset"]["test"]["fingerprint"] == CIFAR10_TEST_FINGERPRINT,
        provenance=provenance(run.recipe, record, metrics),
    )
    if run.data is None:
        reason = f"No images, near-duplicates or robustness here: {run.no_data}"
        return replace(content, missing=(reason,))
    return _with_images(content, run.classifier, run.data, robustness, progress)


def _with_images(
    content: Content, classifier: Classifier, data: Dataset, robustness: int, progress: Progress
) -> Content:
    """Return the content with the images, and with what only images can tell."""
    progress("searching for near-duplicates")
    duplicates = _duplicates(content.predictions, data)
    progress("computing saliency")
    overlays = _overlays(classifier, content.analysis.mistakes, data.test)
    corrupted = None
    if robustness:
        progress(f"corrupting {min(robustness, len(data.test)):,} images")
        corrupted = _robustness(classifier, data.test, robustness)
    return replace(
        content,
        analysis=replace(content.analysis, duplicates=duplicates, robustness=corrupted),
        images=data.test.images,
        counterparts=tuple(np.asarray(data.train.images[pair.other]) for pair in duplicates.pairs),
        overlays=overlays,
    )


def _duplicates(test: Predictions, data: Dataset) -> Duplicates:
    return without_duplicates(test, near_duplicates(data.test.images, data.train.images))


def _overlays(
    classifier: Classifier, mistakes: Sequence[Mistake], test: Split
) -> tuple[SaliencyOverlay, ...]:
    """Return Grad-CAM saliency of the wrong answers; nothing where the network has no map."""
    if not mistakes:
        return ()
    indices = [mistake.index for mistake in mistakes]
    images = np.array(test.images[indices])
    wrong = np.array([classifier.class_names.index(mistake.predicted) for mistake in mistakes])
    try:
        heat = grad_cam(classifier, images, wrong)
    except InputError:
        # Grad-CAM needs a convolution.
        return ()
    return tuple(
        SaliencyOverlay(index=index, overlay=overlay(image, one))
        for index, image, one in zip(indices, images, heat, strict=True)
    )


def _robustness(classifier: Classifier, test: Split, count: int) -> Robustness:
    count = min(count, len(test))
    chosen = np.sort(np.random.default_rng(0).choice(len(test), count, replace=False))
    # Without test-time augmentation: sixty corrupted versions of each image are many.
    once = replace(classifier, tta=None)
    images = np.array(test.images[chosen])
    return measure_robustness(once.predict_proba, images, test.labels[chosen])
