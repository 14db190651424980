"""What the record of an earlier run tells: its recipe, and where its data is."""

from __future__ import annotations

import os
from pathlib import Path

from cifarlab.data.catalog import NAMES
from cifarlab.errors import InputError, UsageError
from cifarlab.recipes.recipe import Recipe, from_json
from cifarlab.runs.directory import RunDirectory, find_run, read_json


def data_of(path: Path) -> str | None:
    """Return what ``load`` takes to bring back the data of the run in ``path``.

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
    try:
        record = read_json(file)["dataset"]
        name, source = str(record["name"]), str(record["source"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); name the data with --data") from error
    # Before the name: a copy that was given by path needs no download.
    if Path(source).exists():
        return source
    if name in NAMES:
        return name
    raise UsageError(
        f"{path} was trained on {name} from {source}, which is not there; "
        "name a copy of the same data with --data"
    )


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
