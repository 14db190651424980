"""A model of the user's: the recipe that trains it, how it ends, and how a run finds it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Dataset
from cifarlab.errors import InputError, UnsafeError, UsageError
from cifarlab.files import replacing
from cifarlab.lowering.plain_form import check_pixels
from cifarlab.recipes import find_recipe
from cifarlab.recipes.parts import Adam, AsCompiled, FewImages, ModelSpec
from cifarlab.recipes.recipe import Recipe, to_json
from cifarlab.runs.directory import RunDirectory
from cifarlab.saving.model_file import load_model
from cifarlab.saving.safe_contents import SUFFIXES
from cifarlab.training.compiled import (
    check_rate,
    compile_as,
    inner_uncompiled,
    load_optimizer_state,
    read_compiled,
    read_compiled_file,
)
from cifarlab.training.endings import TRIED, Finished, finish
from cifarlab.training.losses import is_stock, loss_of
from cifarlab.training.setup import build_model

CUSTOM = "custom"


def rebuild_model(
    run: RunDirectory,
    recipe: Recipe,
    data: Dataset,
    seed: int,
    custom_objects: Mapping[str, Any] | None = None,
) -> KerasModel:
    """Return the model of an interrupted run, for the checkpoint to give it its weights.

    Raises:
        InputError: it is a model of the user's, and none was saved yet.
    """
    if recipe.model.name != CUSTOM:
        return build_model(recipe, data, seed)
    if recipe.as_compiled is not None:
        return _rebuild_compiled(run, recipe.as_compiled, custom_objects)
    # Earlier versions kept the best one only.
    for path in (run.started_with, run.best_keras):
        if path.exists():
            return load_model(path, custom_objects).model
    raise InputError(
        f"{run.path} trains a model of your own and has saved none yet; "
        "resume it from Python: cifarlab.resume(directory, model=model)"
    )


def _rebuild_compiled(
    run: RunDirectory, compiled: AsCompiled, custom_objects: Mapping[str, Any] | None
) -> KerasModel:
    """Return the model that a run was started with, compiled as it was then."""
    remedy = "resume it from Python: cifarlab.resume(directory, model=model)"
    if compiled.own:
        raise InputError(
            f"{run.path} trains a model that was compiled with code of your own "
            f"({', '.join(compiled.own)}), which no file holds; {remedy}"
        )
    try:
        model = load_model(run.started_with, custom_objects).model
    except (InputError, UnsafeError) as error:
        raise InputError(f"{run.path}: {error}; {remedy}") from error
    compile_as(model, compiled)
    load_optimizer_state(model, run.started_with)
    return model


def resolve(
    what: object, custom_objects: Mapping[str, Any] | None = None
) -> tuple[Recipe, KerasModel | None]:
    """Return the recipe, and the model if the user brought one.

    Args:
        what: a recipe, its name, a Keras model, or the path of a model file.
        custom_objects: classes of the user's that the file may ask for, by name.

    Raises:
        InputError, UnsafeError: the file is no model that may be loaded.
        UsageError: anything else, or an unknown name.
    """
    if isinstance(what, str | Path) and Path(what).suffix in SUFFIXES:
        path = Path(what)
        model, compiled = load_model(path, custom_objects).model, read_compiled_file(path)
        if compiled is not None:
            compile_as(model, compiled)
            load_optimizer_state(model, path)
        return _recipe_for(model, compiled), model
    if isinstance(what, str):
        return find_recipe(what), None
    if isinstance(what, Recipe):
        return what, None
    if isinstance(what, keras.Model):
        return _recipe_for(what, read_compiled(what)), what
    raise UsageError(
        f"cannot train a {type(what).__name__}; give a recipe, its name, or a keras.Model"
    )


def _recipe_for(model: KerasModel, compiled: AsCompiled | None) -> Recipe:
    """A plain recipe for a user's model: as it was compiled, with Adam where it was not.

    Raises:
        UsageError: it was not compiled, and has a training step of its own.
    """
    if compiled is None:
        for name in ("train_step", "compute_loss"):
            if not is_stock(getattr(type(model), name)):
                raise UsageError(
                    f"model {model.name!r} has a {name} of its own and was not compiled; compile "
                    "it, or name a recipe: cifarlab.train(recipe, data, model=model)"
                )
    return Recipe(
        name=model.name,
        summary="a Keras model of the user's",
        model=ModelSpec(name=CUSTOM),
        epochs=10,
        batch_size=128,
        optimizers=(Adam(),) if compiled is None else (),
        as_compiled=compiled,
        few_images=FewImages(epochs=10, batch_size=128, updates=1000),
    )


def for_model(recipe: Recipe, model: KerasModel) -> Recipe:
    """Return a recipe for a model of the user's in place of the recipe's own."""
    recipe = dataclasses.replace(recipe, model=ModelSpec(name=CUSTOM))
    if recipe.as_compiled is None:
        return recipe
    compiled = read_compiled(model)
    if compiled is None:
        raise UsageError(
            f"recipe {recipe.name!r} trains a model as it was compiled, and {model.name!r} was "
            "not; compile it"
        )
    return dataclasses.replace(recipe, as_compiled=compiled)


def check_options(recipe: Recipe, model: KerasModel | None, *, compile_network: bool) -> None:
    """Raise ``UsageError`` where a model as it was compiled cannot be trained with options."""
    if recipe.as_compiled is None or model is None:
        return
    check_rate(model, recipe.as_compiled.learning_rate)
    if compile_network:
        raise UsageError(
            f"compile: model {model.name!r} is trained with what it was compiled with, for which "
            "PyTorch does not compile the network; leave it out, or name a recipe"
        )


def check_range(pixels: str | None, *, own: bool) -> None:
    """Raise ``UsageError`` for a range of pixels that is none, or where no model was brought."""
    if pixels is None:
        return
    check_pixels(pixels)
    if not own:
        raise UsageError(
            f"pixels {pixels!r} is about a model of your own; a recipe scales pixels itself: leave "
            "it out"
        )


def finish_for(recipe: Recipe, model: KerasModel, data: Dataset) -> Finished:
    """Return the model with the ending that it needs to give probabilities; see ``finish``.

    Raises:
        InputError: ending and loss contradict each other.
    """
    if recipe.model.name != CUSTOM:
        return Finished(model=model)
    loss = loss_of(model) if recipe.as_compiled is not None else None
    images = np.array(data.train.images[:TRIED])
    own = recipe.as_compiled is not None
    return finish(model, images, loss, as_compiled=own)


def save_start(model: KerasModel, recipe: Recipe, run: RunDirectory) -> None:
    """Save a model of the user's as it is now, to resume from, where a file can hold all of it."""
    if recipe.model.name != CUSTOM or (recipe.as_compiled is not None and recipe.as_compiled.own):
        return
    run.checkpoint.mkdir(exist_ok=True)
    with replacing(run.started_with) as temporary, inner_uncompiled(model, model):
        keras.saving.save_model(model, temporary)


def check_compiled_alike(model: KerasModel, recipe: Recipe) -> None:
    """Raise ``UsageError`` where a model was not compiled as a run's was; compile it if it is not.

    A learning rate may be another one: the run's own is in its checkpoint.
    """
    if recipe.as_compiled is None:
        return
    compiled = read_compiled(model)
    if compiled is None:
        compile_as(model, recipe.as_compiled)
        return
    before, now = (_comparable(to_json(c.config)) for c in (recipe.as_compiled, compiled))
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if changed:
        raise UsageError(
            f"model {model.name!r} was compiled with another {' and '.join(changed)} than the run; "
            "compile it as at the start, or start a new run"
        )


def _comparable(config: Any) -> Any:
    """Return a compilation without names, and without rates, which callbacks may change."""
    if isinstance(config, list):
        return [_comparable(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _comparable(item)
        for key, item in config.items()
        if not (
            key in ("name", "module", "registered_name", "shared_object_id")
            or (key == "learning_rate" and not isinstance(item, dict))
        )
    }
