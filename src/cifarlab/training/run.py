"""A finished run as one value: what it trained, on what, and what came of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset
from cifarlab.errors import CifarlabError, InputError
from cifarlab.evaluation.metrics import Metrics
from cifarlab.predictions import Predictions, read_predictions, write_predictions
from cifarlab.recipes.recipe import Recipe
from cifarlab.runs.directory import RunDirectory, find_run, read_history, read_json
from cifarlab.runs.record import dataset_of, read_recipe
from cifarlab.training.best import chosen_epoch


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """The numbers of a finished run; no validation where that split was trained on."""

    test: Metrics
    validation: Metrics | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run, with everything that is known of it.

    Attributes:
        directory: the run directory, absolute.
        recipe: what was trained.
        dataset: the name of what it was trained on.
        metrics: test and validation numbers.
        history: one row per epoch, as in ``history.csv``.
        classifier: the trained model, on the device that was chosen.
        predictions: of ``"test"``, and of ``"validation"`` unless that was trained on. Their
            probabilities are those before the classifier's temperature.
        data: the splits as they were trained on; ``None`` only in a run that was read from disk
            and whose data is no longer available.
        no_data: why ``data`` is ``None``.

    Example:
        >>> run = train("baseline", epochs=3)  # doctest: +SKIP
        >>> run.metrics.test.accuracy, run.chosen_epoch  # doctest: +SKIP
        (0.7012, 3)
        >>> run.predictions["test"].predicted[:3]  # doctest: +SKIP
        array([3, 8, 8])
    """

    directory: Path
    recipe: Recipe
    dataset: str
    metrics: RunMetrics
    history: tuple[dict[str, float], ...]
    classifier: Classifier = field(repr=False, compare=False)
    predictions: Mapping[str, Predictions] = field(repr=False, compare=False)
    data: Dataset | None = field(repr=False, compare=False)
    no_data: str = field(default="", repr=False, compare=False)

    @property
    def chosen_epoch(self) -> int:
        """The epoch (from 1) whose weights were kept."""
        return chosen_epoch(self.recipe, self.history)


def read_run(
    directory: str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str] | None = None,
    *,
    device: str = "auto",
) -> Run:
    """Read a finished run from disk: the value that ``train`` returned.

    Args:
        directory: the run's.
        data: needed only where the run's own data is no longer where it was.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``, for the classifier.

    Raises:
        InputError: no finished run, a damaged file, or ``data`` is not what it was trained on.
        UnsafeError: the model file asks for more than stock layers.
        UsageError: ``device`` is not there.

    Example:
        >>> run = read_run("runs/baseline-1")  # doctest: +SKIP
        >>> run.metrics.test.accuracy  # doctest: +SKIP
        0.7012
    """
    run = find_run(Path(directory))
    if not run.metrics.exists():
        raise InputError(
            f"{run.path}: not finished, so there is nothing to report; "
            f"go on with: cifarlab train --resume {shlex.quote(str(run.path))}"
        )
    name, metrics = _read_metrics(run.metrics)
    history = tuple(read_history(run.history))
    if not history:
        raise InputError(f"{run.history}: holds no epochs; train again or restore the file")
    classifier = Classifier.load(run.path, device)
    available, problem = _available(run.path, data)
    return Run(
        directory=run.path,
        recipe=read_recipe(run.path),
        dataset=name,
        metrics=metrics,
        history=history,
        classifier=classifier,
        predictions=_read_predictions(run, classifier, available),
        data=available,
        no_data=problem,
    )


def _available(
    directory: Path, data: Dataset | str | os.PathLike[str] | None
) -> tuple[Dataset | None, str]:
    """Return the run's data, or why there is none; data that was named must be the right one."""
    try:
        return dataset_of(directory, data), ""
    except CifarlabError as error:
        if data is not None:
            raise
        return None, str(error)


def _read_metrics(path: Path) -> tuple[str, RunMetrics]:
    """Return the dataset's name and the numbers."""
    content = read_json(path)
    try:
        validation = content["validation"]
        metrics = RunMetrics(
            test=Metrics.from_json(content["test"]),
            validation=None if validation is None else Metrics.from_json(validation),
        )
        return str(content["dataset"]["name"]), metrics
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: cannot be read as the numbers of a run ({error}); train again"
        ) from error


def _read_predictions(
    run: RunDirectory, classifier: Classifier, data: Dataset | None
) -> dict[str, Predictions]:
    """Read what the run predicted at its end; where that was not kept yet, predict it again."""
    if run.predictions.exists():
        return read_predictions(run.predictions)
    if data is None:
        raise InputError(
            f"{run.predictions}: is not there, and neither is the data; name it with --data"
        )
    splits = {"validation": data.validation, "test": data.test}
    # As a run measures itself: the temperature is one of its results.
    plain = replace(classifier, temperature=1.0)
    predicted = {name: plain.predict_split(split) for name, split in splits.items() if len(split)}
    write_predictions(run.predictions, predicted)
    return predicted
