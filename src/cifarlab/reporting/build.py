"""The report of a run: what is known of it, looked at from every side, on one page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset
from cifarlab.errors import CifarlabError, InputError
from cifarlab.evaluation.analysis import Duplicates, analyse, without_duplicates
from cifarlab.evaluation.duplicates import near_duplicates
from cifarlab.evaluation.mistakes import top_losses
from cifarlab.evaluation.robustness import Robustness, measure_robustness
from cifarlab.explain import grad_cam
from cifarlab.files import write_json, write_text
from cifarlab.plots.overlay import overlay
from cifarlab.predictions import Predictions, read_predictions, write_predictions
from cifarlab.recipes.recipe import Recipe
from cifarlab.reporting.content import Content, SaliencyOverlay
from cifarlab.reporting.page import render
from cifarlab.runs.directory import RunDirectory, find_run, read_history, read_json
from cifarlab.runs.record import data_of, read_recipe
from cifarlab.training.results import chosen_epoch
from cifarlab.training.setup import data_for
from cifarlab.training.train import Run

# Of the test split, for each kind and severity of damage.
ROBUSTNESS_IMAGES = 1000
LOOKS = 12

Progress = Callable[[str], object]


def report(
    run: Run | str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str] | None = None,
    *,
    robustness: int = ROBUSTNESS_IMAGES,
    progress: Progress = lambda _: None,
) -> Path:
    """Write ``report.html`` into a finished run's directory, its numbers into ``metrics.json``.

    The test split is not measured anew: the page shows what the run predicted at its end. Where
    the data cannot be had, the page has no images and says so.

    Args:
        run: a run, or its directory.
        data: needed only where the run's own is no longer where it was.
        robustness: how many test images to damage; 0 to leave that out.
        progress: is told what is being done.

    Returns:
        The absolute path of the page.

    Raises:
        InputError: no finished run, or ``data`` is not what it was trained on.
    """
    place = find_run(Path(run.directory if isinstance(run, Run) else run))
    if not place.metrics.exists():
        raise InputError(
            f"{place.path}: not finished, so there is nothing to report; "
            f"go on with: cifarlab train --resume {shlex.quote(str(place.path))}"
        )
    recipe = read_recipe(place.path)
    missing: list[str] = []
    found = _data(place, recipe, data, missing)
    classifier = Classifier.load(place.path)
    predictions = _predictions(place, classifier, found)
    content = _content(place, recipe, classifier, found, predictions, robustness, progress)
    content = replace(content, missing=tuple(missing))
    progress("writing the page")
    metrics = read_json(place.metrics)
    write_json(place.metrics, {**metrics, "analysis": content.analysis.to_json()})
    write_text(place.report, render(content))
    return place.report.absolute()


def _data(
    place: RunDirectory,
    recipe: Recipe,
    data: Dataset | str | os.PathLike[str] | None,
    missing: list[str],
) -> Dataset | None:
    try:
        if not isinstance(data, Dataset):
            # The run has read it before; what it left out is left out again.
            data = load_dataset(data or data_of(place.path) or "", skip_bad=True)
        return data_for(recipe, data)
    except CifarlabError as error:
        if data is not None:
            raise
        missing.append(f"No images, duplicates or robustness here: {error}")
        return None


def _predictions(
    place: RunDirectory, classifier: Classifier, data: Dataset | None
) -> dict[str, Predictions]:
    if not place.predictions.exists():
        if data is None:
            raise InputError(
                f"{place.predictions}: is not there, and neither is the data; name it with --data"
            )
        parts = {"validation": data.validation, "test": data.test}
        # As a run measures itself: the temperature is one of the results.
        plain = replace(classifier, temperature=1.0)
        found = {name: plain.predict_split(part) for name, part in parts.items() if len(part)}
        write_predictions(place.predictions, found)
    found = read_predictions(place.predictions)
    if data is not None and not np.array_equal(data.test.labels, _labels(found["test"])):
        raise InputError(
            f"{data.source}: its test split is not the one that {place.path} was measured on; "
            "name the same data with --data"
        )
    return found


def _labels(predictions: Predictions) -> np.ndarray[Any, Any]:
    assert predictions.labels is not None
    return predictions.labels


def _content(
    place: RunDirectory,
    recipe: Recipe,
    classifier: Classifier,
    data: Dataset | None,
    predictions: Mapping[str, Predictions],
    robustness: int,
    progress: Progress,
) -> Content:
    test = predictions["test"]
    duplicates, damaged = None, None
    like: tuple[np.ndarray[Any, Any], ...] = ()
    overlays: tuple[SaliencyOverlay, ...] = ()
    if data is not None:
        progress("looking for near-duplicates")
        duplicates = _duplicates(test, data)
        like = tuple(np.asarray(data.train.images[pair.other]) for pair in duplicates.pairs)
        progress("looking where the model looks")
        overlays = _looks(classifier, test, data)
        if robustness:
            progress(f"damaging {min(robustness, len(test)):,} images in many ways")
            damaged = _robustness(classifier, data, robustness)
    history = read_history(place.history)
    record = read_json(place.environment)
    metrics = read_json(place.metrics)
    return Content(
        title=f"{recipe.name} on {record['dataset']['name']}",
        statement=_statement(record),
        predictions=test,
        analysis=analyse(test, predictions.get("validation"), duplicates, damaged),
        images=None if data is None else data.test.images,
        like=like,
        history=history,
        chosen_epoch=chosen_epoch(recipe, history),
        overlays=overlays,
        provenance=provenance(recipe, record, metrics),
    )


def _duplicates(test: Predictions, data: Dataset) -> Duplicates:
    return without_duplicates(test, near_duplicates(data.test.images, data.train.images))


def _looks(classifier: Classifier, test: Predictions, data: Dataset) -> tuple[SaliencyOverlay, ...]:
    worst = [mistake.index for mistake in top_losses(test, LOOKS)]
    if not worst:
        return ()
    images = np.array(data.test.images[worst])
    try:
        heat = grad_cam(classifier, images, test.predicted[worst])
    except InputError:
        # A network without convolutions has no map to look at.
        return ()
    return tuple(
        SaliencyOverlay(index=index, overlay=overlay(image, where))
        for index, image, where in zip(worst, images, heat, strict=True)
    )


def _robustness(classifier: Classifier, data: Dataset, count: int) -> Robustness:
    count = min(count, len(data.test))
    chosen = np.sort(np.random.default_rng(0).choice(len(data.test), count, replace=False))
    # One look at each image: sixty damaged versions are many.
    once = replace(classifier, tta=None)
    images = np.array(data.test.images[chosen])
    return measure_robustness(once.predict_proba, images, data.test.labels[chosen])


def _statement(record: Mapping[str, Any]) -> str:
    held_out = record["dataset"]["validation"]["images"]
    chose = f"Every choice was made on {held_out:,} validation images"
    if not held_out:
        chose = "Every choice had been made before: all training images were trained on"
    return f"{chose}; the test images were read once, when training was over."


def provenance(
    recipe: Recipe, record: Mapping[str, Any], metrics: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Return what a reader needs to do it again, as label and value."""
    data, hardware = record["dataset"], record["hardware"]
    program, *arguments = record["command"]
    timing, test = metrics["timing"], metrics["dataset"]["test"]
    seconds = timing["training_seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    where = f"{hardware['processor']}, {hardware['cores']} cores, {hardware['threads']} threads"
    if hardware["accelerator"]:
        where += f", {hardware['accelerator']}"
    counts = ", ".join(
        f"{part['images']:,} {name}"
        for name, part in (
            ("train", data["train"]),
            ("validation", data["validation"]),
            ("test", test),
        )
    )
    optimizers = ", ".join(f"{type(o).__name__} {o.lr:g}" for o in recipe.optimizers)
    return (
        ("command", shlex.join([Path(program).name, *arguments])),
        ("recipe", f"{recipe.name}: {recipe.summary}"),
        ("settings", f"batches of {recipe.batch_size:,}, {optimizers}, seed {_seed(record)}"),
        ("epochs", f"{timing['epochs']} of at most {recipe.epochs}"),
        ("time", f"{seconds:.1f} s, {timing['images_per_second']:,.0f} images/s"),
        ("data", f"{data['name']}: {counts}"),
        ("fingerprint of the test split", str(test["fingerprint"])),
        ("fingerprint of the training split", str(data["train"]["fingerprint"])),
        ("hardware", where),
        ("precision", f"{record['precision']}, {record['reproducible']}"),
        ("versions", f"Python {record['python']}, {versions}"),
        ("source", str(record["git"] or "an installed package")),
    )


def _seed(record: Mapping[str, Any]) -> int:
    return int(record["options"]["seed"])
