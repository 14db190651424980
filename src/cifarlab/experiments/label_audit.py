"""Labels of training images that a model contradicts which has not seen them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.dataset import Dataset
from cifarlab.errors import UsageError
from cifarlab.predictions import Predictions
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.progress import SILENT, Part, Progress
from cifarlab.training.train import DEFAULTS, TrainOptions, train


def out_of_fold(
    what: str | Recipe,
    data: Dataset,
    folds: int = 3,
    *,
    epochs: int | None = None,
    options: TrainOptions = DEFAULTS,
    progress: Progress = SILENT,
) -> Predictions:
    """Predict each training image with a model that was trained without it.

    The training split is divided into ``folds`` parts, each class evenly; each part is the test
    split of a run of its own, trained on the others. The dataset's own test split is not read.

    Args:
        what: a recipe or its name.
        folds: at least 2; more of them train on more images, and take longer.
        epochs: instead of the recipe's.
        progress: receives messages, progress bars and epochs.

    Returns:
        Labelled predictions in the order of ``data.train``.

    Raises:
        UsageError: fewer than 2 folds, or more than the smallest class has images.

    Example:
        >>> from cifarlab.evaluation.label_issues import find_label_issues
        >>> predictions = out_of_fold("baseline", data)  # doctest: +SKIP
        >>> find_label_issues(predictions).issues[0].name  # doctest: +SKIP
        'train/31204'
    """
    labels = np.asarray(data.train.labels)
    smallest = int(np.bincount(labels, minlength=len(data.class_names)).min())
    if not 2 <= folds <= max(smallest, 1):
        raise UsageError(
            f"{folds} folds: there must be at least 2, and at most as many as the smallest class "
            f"has images, {smallest}"
        )
    part_of = _parts(labels, folds, options.seed)
    probabilities = np.zeros((len(labels), len(data.class_names)), dtype=np.float32)
    for fold in range(folds):
        progress.message(f"part {fold + 1} of {folds}: training without it")
        held_out = np.flatnonzero(part_of == fold)
        rest = np.flatnonzero(part_of != fold)
        parts = replace(data, train=data.train.subset(rest), test=data.train.subset(held_out))
        with tempfile.TemporaryDirectory(prefix="cifarlab-fold-") as scratch:
            run = train(
                what,
                parts,
                epochs=epochs,
                options=options,
                directory=Path(scratch) / "run",
                progress=Part(progress, f"part {fold + 1}/{folds}"),
            )
        probabilities[held_out] = run.predictions["test"].probabilities
    names = data.train.names or tuple(map(str, range(len(labels))))
    return Predictions(
        probabilities=probabilities, class_names=data.class_names, labels=labels, names=names
    )


def _parts(labels: np.ndarray[Any, Any], folds: int, seed: int) -> np.ndarray[Any, Any]:
    """Return the part of each image, int64 ``[N]``, every class spread evenly."""
    draws = np.random.default_rng(seed)
    part_of = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = draws.permutation(np.flatnonzero(labels == label))
        part_of[members] = np.arange(len(members)) % folds
    return part_of
