"""What a finished run leaves behind: the model files, the numbers and the images.

Only here does a run read the test split.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab import plots
from cifarlab.backend import KerasModel
from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset
from cifarlab.errors import UsageError
from cifarlab.evaluation.calibration import fit_temperature, with_temperature
from cifarlab.evaluation.metrics import measure
from cifarlab.evaluation.selective import choose_threshold
from cifarlab.files import write_json
from cifarlab.predictions import Predictions, write_predictions
from cifarlab.recipes.recipe import Recipe, to_json
from cifarlab.runs.directory import RunDirectory
from cifarlab.runs.record import describe_data, describe_split, trained_on
from cifarlab.saving.model_file import save_model
from cifarlab.training.run import Run, RunMetrics
from cifarlab.training.saving_check import largest_difference, rounding_of


@dataclass(frozen=True, kw_only=True)
class ConfidenceSettings:
    """How far confidence can be trusted, chosen on validation; see ``LoadedModel``."""

    temperature: float = 1.0
    not_sure_below: float | None = None


NOTHING_KNOWN = ConfidenceSettings()


def choose_confidence(validation: Predictions | None) -> ConfidenceSettings:
    """Choose temperature and threshold on images that were not trained on."""
    if validation is None:
        return NOTHING_KNOWN
    temperature = fit_temperature(validation)
    return ConfidenceSettings(
        temperature=temperature,
        not_sure_below=choose_threshold(with_temperature(validation, temperature)),
    )


def save_models(
    run: RunDirectory,
    model: KerasModel,
    recipe: Recipe,
    data: Dataset,
    confidence: ConfidenceSettings = NOTHING_KNOWN,
    *,
    h5: bool = True,
) -> None:
    """Write ``best.keras`` and ``best.h5``, compiled, with all that they are used with inside.

    A model that ``.h5`` cannot hold has a ``.keras`` file only.

    Args:
        h5: whether to try the older format.
    """
    for path in (run.best_keras, run.best_h5) if h5 else (run.best_keras,):
        try:
            save_model(
                model,
                path,
                class_names=data.class_names,
                recipe=to_json(recipe),
                temperature=confidence.temperature,
                not_sure_below=confidence.not_sure_below,
                resize_mode=data.image_format.resize_mode,
                bits=data.image_format.bits,
                trained_on=trained_on(data),
            )
        except UsageError as error:
            if path != run.best_h5:
                raise
            warnings.warn(f"left out: {error}", stacklevel=2)


def check_files(run: RunDirectory, classifier: Classifier, images: np.ndarray[Any, Any]) -> None:
    """Reload the files with plain Keras and warn where they differ from the engine on ``images``.

    Nothing is raised: the run is complete, whatever another program makes of its files.
    """
    expected = replace(classifier, tta=None).predict_proba(images)
    rounding = rounding_of(classifier.model)
    for path in (run.best_keras, run.best_h5):
        if not path.exists():
            continue
        try:
            difference = largest_difference(path, classifier.model, images, expected)
        # Keras and the code of layers that others wrote may raise anything.
        except Exception as error:
            reason = f"plain Keras cannot load it ({' '.join(str(error).split())[:160]})"
            if path == run.best_h5:
                # Written, but of no use to anybody; the other file has all of it.
                path.unlink()
                reason = f"left out: {reason}"
            warnings.warn(f"{path}: {reason}", stacklevel=2)
            continue
        if not difference < rounding:
            warnings.warn(
                f"{path}: in plain Keras its probabilities differ by up to {difference:.2g} from "
                f"the engine's, more than the {rounding:g} of rounding",
                stacklevel=2,
            )


def write_results(
    directory: RunDirectory,
    model: KerasModel,
    data: Dataset,
    recipe: Recipe,
    history: Sequence[Mapping[str, float]],
    device: str,
    *,
    h5: bool = True,
) -> Run:
    """Save the model, read the test split once, and write numbers and images."""
    plain = Classifier.from_keras(model, data.class_names, device, recipe.tta)
    predictions = {}
    if len(data.validation):
        predictions["validation"] = plain.predict_split(data.validation)
    confidence = choose_confidence(predictions.get("validation"))
    save_models(directory, model, recipe, data, confidence, h5=h5)
    check_files(directory, plain, np.array(data.train.images[:64]))
    predictions["test"] = plain.predict_split(data.test)
    write_predictions(directory.predictions, predictions)
    validation = predictions.get("validation")
    run = Run(
        directory=directory.path,
        recipe=recipe,
        dataset=data.name,
        metrics=RunMetrics(
            test=measure(predictions["test"]),
            validation=None if validation is None else measure(validation),
        ),
        history=tuple(dict(row) for row in history),
        classifier=replace(
            plain,
            recipe=to_json(recipe),
            temperature=confidence.temperature,
            not_sure_below=confidence.not_sure_below,
            resize_mode=data.image_format.resize_mode,
            bits=data.image_format.bits,
            trained_on=trained_on(data),
        ),
        predictions=predictions,
        data=data,
    )
    _write_metrics(directory, run, data)
    _draw(directory, run, data)
    return run


def _write_metrics(directory: RunDirectory, run: Run, data: Dataset) -> None:
    test, validation = run.metrics.test, run.metrics.validation
    write_json(
        directory.metrics,
        {
            "test": test.to_json(),
            "validation": None if validation is None else validation.to_json(),
            "timing": _timing(run.history, data),
            "dataset": describe_data(data) | {"test": describe_split(data.test)},
        },
    )


def _timing(history: Sequence[Mapping[str, float]], data: Dataset) -> dict[str, float]:
    seconds = sum(row["seconds"] for row in history)
    return {
        "training_seconds": seconds,
        "epochs": len(history),
        "images_per_second": len(history) * len(data.train) / seconds,
    }


def _draw(directory: RunDirectory, run: Run, data: Dataset) -> None:
    title = f"{run.recipe.name} on {run.dataset}"
    plots.save(plots.curves(run.history, run.chosen_epoch, title), directory.curves)
    plots.save(plots.confusion_matrix(run.metrics.test, title), directory.confusion_matrix)
    plots.save(plots.samples(data.test.images, run.predictions["test"], title), directory.samples)


def paths(run: RunDirectory) -> list[Path]:
    """Return the files of a finished run that exist."""
    return [path for path in run.results if path.exists()]
