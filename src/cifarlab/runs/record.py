"""What is recorded of a run: its recipe, and the data that it was trained on."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.catalog import NAMES, load
from cifarlab.data.dataset import Dataset, Split, without_validation
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named.fetching import NAMED
from cifarlab.data.named.hub import PREFIX as HUB
from cifarlab.data.split import fingerprint, pixel_digests
from cifarlab.errors import InputError, UsageError
from cifarlab.recipes.recipe import EVERYTHING_BUT_TEST, Recipe, from_json
from cifarlab.runs.directory import RunDirectory, find_run, read_json

# What is loaded when neither data nor a run is named.
DEFAULT_DATASET = "cifar10"
# Of so many training and validation images a model file keeps digests, 11 bytes for each.
MOST_REMEMBERED = 200_000
# How version 0.1 read images, which it did not record.
BEFORE_IT_WAS_RECORDED: Mapping[str, Any] = {"image_size": 32, "channels": "rgb", "bits": 16}


def read_recipe(directory: str | os.PathLike[str]) -> Recipe:
    """Return what the run in ``directory`` trains.

    Raises:
        InputError: it is no run, or its recipe cannot be read.
    """
    path = find_run(Path(directory)).recipe
    recipe = from_json(read_json(path))
    if not isinstance(recipe, Recipe):
        raise InputError(f"{path}: holds no recipe; start a new run")
    return recipe


# Writing down what a run was trained on


def describe_data(data: Dataset) -> dict[str, Any]:
    """Return name, source, and size and fingerprint of all that training sees."""
    return {
        "name": data.name,
        "source": data.source,
        "classes": list(data.class_names),
        "train": describe_split(data.train),
        "validation": describe_split(data.validation),
    }


def trained_on(data: Dataset) -> dict[str, Any]:
    """Return what a model file says of its data: enough to know the same images again.

    Where they were is left out, since model files are given to others. ``digests`` are those of
    ``seen_digests``, in base64; named datasets and very large ones have none.
    """
    described = {key: value for key, value in describe_data(data).items() if key != "source"}
    options = {key: value for key, value in data.loading.items() if key != "labels"}
    seen = (data.train, data.validation)
    if data.name in NAMES or sum(map(len, seen)) > MOST_REMEMBERED:
        return {**described, "load": options}
    digests = np.unique(np.concatenate([pixel_digests(split.images) for split in seen]))
    text = base64.b64encode(digests.astype("<u8").tobytes()).decode()
    return {**described, "load": options, "digests": text}


def seen_digests(record: Mapping[str, Any] | None) -> np.ndarray[Any, Any]:
    """Return the ``pixel_digests`` of the images that a model was trained or validated on.

    Args:
        record: what ``trained_on`` returned, as the model file holds it; need not be trusted.

    Returns:
        uint64 ``[N]``, none where the file does not tell.
    """
    text = (record or {}).get("digests")
    try:
        return np.frombuffer(base64.b64decode(text or "", validate=True), "<u8")
    except (TypeError, ValueError, binascii.Error):
        return np.empty(0, np.uint64)


def describe_split(split: Split, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return size and fingerprint of one split.

    Args:
        like: an earlier description, whose version of the fingerprint is used.
    """
    earlier = None if like is None else like.get("fingerprint")
    version = None
    if earlier is not None:
        version = 2 if str(earlier).startswith("v2:") else 1
    known = len(split) > 0 and not (like is not None and earlier is None)
    return {"images": len(split), "fingerprint": fingerprint(split, version) if known else None}


def describe_loading(data: Dataset) -> dict[str, Any]:
    """Return what ``dataset_of`` has to know beside the source to load the same again."""
    return {**data.loading, "skipped": list(data.skipped)}


# Loading it again


def data_for(recipe: Recipe, data: Dataset) -> Dataset:
    """Return the data with the splits that the recipe trains and validates on."""
    everything = recipe.train_on == EVERYTHING_BUT_TEST and len(data.validation) > 0
    return without_validation(data) if everything else data


def data_of(path: Path) -> str | None:
    """Return what ``load_dataset`` takes to bring back the data of the run in ``path``.

    Returns:
        A path, when the data came from one that is still there; else a name.
        ``None`` when ``path`` is no run, such as a single model file.

    Raises:
        InputError: the record cannot be read.
        UsageError: the data is neither where it was nor known by name.
    """
    file = RunDirectory(path=path).environment
    if not file.exists():
        return None
    record = dataset_record(file)
    name, source = str(record["name"]), str(record["source"])
    # Its source is in the cache, as plain files.
    if name in NAMED or name.startswith(HUB):
        return name
    # Before the other names: a copy that was given by path needs no download.
    if Path(source).exists():
        return source
    if name in NAMES:
        return name
    raise UsageError(
        f"{path} was trained on {name} from {source}, which is not there; "
        "name a copy of the same data with --data"
    )


def dataset_of(
    directory: str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str] | None = None,
    *,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Load exactly what the run in ``directory`` was trained on.

    Bad images that the run left out are left out again; the fingerprints tell whether the rest is
    the same. The test split is compared for a finished run only.

    Args:
        directory: a run's, finished or not.
        data: needed only where the run's own data is no longer where it was.
        offline: never use the network.
        progress: called with one line now and then.

    Returns:
        The splits as the run's recipe trains on them.

    Raises:
        InputError: no run, a damaged record, or other data than it was trained on.
        UsageError: the data is neither where it was nor known by name.
        NetworkError: the data could not be downloaded.
    """
    run = find_run(Path(directory))
    if not isinstance(data, Dataset):
        options = replace(_loading(run), skip_bad=True, offline=offline, progress=progress)
        data = load(data or data_of(run.path) or DEFAULT_DATASET, options)
    data = data_for(read_recipe(run.path), data)
    _check_same(run, data)
    return data


def dataset_record(file: Path) -> Mapping[str, Any]:
    """Return what a run's ``environment.json`` or ``metrics.json`` says of its dataset.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        record: Mapping[str, Any] = read_json(file)["dataset"]
        if {"name", "source"} <= set(record):
            return record
        raise KeyError("name, source")
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); name the data with --data") from error


def _loading(run: RunDirectory) -> LoadOptions:
    """Return how the run's data were read; of what an older run did not record, the default."""
    recorded = read_json(run.environment).get("load", {})
    known = {field.name for field in fields(LoadOptions)}
    try:
        return LoadOptions(
            **{
                **BEFORE_IT_WAS_RECORDED,
                **{name: value for name, value in recorded.items() if name in known},
            }
        )
    except (AttributeError, TypeError, UsageError) as error:
        raise InputError(
            f"{run.environment}: cannot be read ({error}); name the data with --data"
        ) from error


def _check_same(run: RunDirectory, data: Dataset) -> None:
    """Raise ``InputError`` unless the splits are those that the run's record describes."""
    recorded = dict(dataset_record(run.environment))
    if run.metrics.exists():
        recorded["test"] = dataset_record(run.metrics).get("test")
    where = f"{data.source}: not the data of the run {run.path}"
    classes = recorded.get("classes")
    if classes is not None and tuple(classes) != data.class_names:
        raise InputError(
            f"{where}: its classes are {', '.join(data.class_names)} instead of "
            f"{', '.join(map(str, classes))}; name the same data with --data"
        )
    for part in ("train", "validation", "test"):
        before = recorded.get(part)
        now = describe_split(getattr(data, part), before)
        if before is not None and before != now:
            raise InputError(
                f"{where}: its {part} split is not the one that is recorded ({_in_words(now)} "
                f"instead of {_in_words(before)}); name the same data with --data"
            )


def _in_words(split: Mapping[str, Any]) -> str:
    fingerprint = split["fingerprint"]
    return f"{split['images']:,} images, fingerprint {str(fingerprint)[:12]}"
