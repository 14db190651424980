"""What a finished run leaves behind: the model files, the numbers and the images.

This is the one place where a run reads the test split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab import plots
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split, fingerprint
from cifarlab.errors import CifarlabError
from cifarlab.evaluation.calibration import fit_temperature, with_temperature
from cifarlab.evaluation.metrics import Metrics, measure
from cifarlab.evaluation.selective import choose_threshold
from cifarlab.files import write_json
from cifarlab.predictions import Predictions, write_predictions
from cifarlab.recipes.recipe import Recipe, to_json
from cifarlab.runs.directory import RunDirectory
from cifarlab.saving.model_file import save_model

TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class RunMetrics:
    """The numbers of a finished run; no validation where that split was trained on."""

    test: Metrics
    validation: Metrics | None


@dataclass(frozen=True, kw_only=True)
class ConfidenceSettings:
    """How far confidence can be trusted, chosen on validation; see ``LoadedModel``."""

    temperature: float = 1.0
    not_sure_below: float | None = None


NOTHING_KNOWN = ConfidenceSettings()


def choose_trust(validation: Predictions | None) -> ConfidenceSettings:
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
    model: Any,
    class_names: Sequence[str],
    recipe: Recipe,
    trust: ConfidenceSettings = NOTHING_KNOWN,
) -> None:
    """Write ``best.keras`` and ``best.h5``, compiled, with class names and recipe inside."""
    for path in (run.best_keras, run.best_h5):
        save_model(
            model,
            path,
            class_names=tuple(class_names),
            recipe=to_json(recipe),
            temperature=trust.temperature,
            not_sure_below=trust.not_sure_below,
        )


def check_models(run: RunDirectory, classifier: Classifier, images: np.ndarray[Any, Any]) -> None:
    """Reload both files with plain Keras and compare with the engine on ``images``.

    Raises:
        CifarlabError: a file does not give the engine's probabilities within 1e-4.
    """
    expected = replace(classifier, tta=None).predict_proba(images)
    own = {kind.__name__: kind for kind in _own_layers(classifier.model)}
    for path in (run.best_keras, run.best_h5):
        reloaded = keras.saving.load_model(path, custom_objects=own, compile=False)
        found = reloaded.predict(images.astype("float32"), verbose=0)
        difference = float(np.abs(found - expected).max())
        if not difference < TOLERANCE:
            raise CifarlabError(
                f"{path}: plain Keras gives probabilities that differ by {difference:.2g} from "
                f"the engine's; at most {TOLERANCE:g} is allowed: please report this model"
            )


def _own_layers(model: Any) -> set[type]:
    """Return the classes of layers that the user wrote, in nested models too."""
    found = set()
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found |= _own_layers(layer)
        if not type(layer).__module__.startswith("keras."):
            found.add(type(layer))
    return found


def write_results(
    run: RunDirectory,
    model: Any,
    data: Dataset,
    recipe: Recipe,
    history: Sequence[Mapping[str, float]],
) -> RunMetrics:
    """Save the model, read the test split once, and write numbers and images."""
    classifier = Classifier.from_keras(model, data.class_names, tta=recipe.tta)
    found = {}
    if len(data.validation):
        found["validation"] = classifier.predict_split(data.validation)
    trust = choose_trust(found.get("validation"))
    save_models(run, model, data.class_names, recipe, trust)
    check_models(run, classifier, np.array(data.train.images[:64]))
    on_test = found["test"] = classifier.predict_split(data.test)
    write_predictions(run.predictions, found)
    measured = {split: measure(predictions) for split, predictions in found.items()}
    test, validation = measured["test"], measured.get("validation")
    write_json(
        run.metrics,
        {
            "test": test.to_json(),
            "validation": validation and validation.to_json(),
            "timing": _timing(history, data),
            "dataset": describe_data(data) | {"test": _describe_split(data.test)},
        },
    )
    _draw(run, recipe, data, history, on_test, test)
    return RunMetrics(test=test, validation=validation)


def describe_data(data: Dataset) -> dict[str, Any]:
    """Return name, source, and size and fingerprint of all that training sees."""
    return {
        "name": data.name,
        "source": data.source,
        "classes": list(data.class_names),
        "train": _describe_split(data.train),
        "validation": _describe_split(data.validation),
    }


def _describe_split(split: Split) -> dict[str, Any]:
    # A fingerprint covers labels of one byte.
    known = len(split) > 0 and int(split.labels.max()) < 256
    return {"images": len(split), "fingerprint": fingerprint(split) if known else None}


def _timing(history: Sequence[Mapping[str, float]], data: Dataset) -> dict[str, float]:
    seconds = sum(row["seconds"] for row in history)
    return {
        "training_seconds": seconds,
        "epochs": len(history),
        "images_per_second": len(history) * len(data.train) / seconds,
    }


def chosen_epoch(recipe: Recipe, history: Sequence[Mapping[str, float]]) -> int:
    """Return the epoch (from 1) whose weights are kept."""
    if recipe.keep == "last":
        return int(history[-1]["epoch"])
    # As SaveBest chooses: the first of the lowest, numbers before NaN.
    losses = [math.inf if math.isnan(row["val_loss"]) else row["val_loss"] for row in history]
    return int(history[losses.index(min(losses))]["epoch"])


def _draw(
    run: RunDirectory,
    recipe: Recipe,
    data: Dataset,
    history: Sequence[Mapping[str, float]],
    on_test: Predictions,
    test: Metrics,
) -> None:
    title = f"{recipe.name} on {data.name}"
    plots.save(plots.curves(history, chosen_epoch(recipe, history), title), run.curves)
    plots.save(plots.confusion_matrix(test, title), run.confusion_matrix)
    plots.save(plots.samples(data.test.images, on_test, title), run.samples)


def paths(run: RunDirectory) -> list[Path]:
    """Return the files of a finished run that exist."""
    return [path for path in run.results if path.exists()]
