"""The recipe as it is trained, and the Keras model that it trains, compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Dataset
from cifarlab.data.split import check_split
from cifarlab.errors import InputError, UsageError
from cifarlab.finetuning.build import build_finetuned
from cifarlab.models import MODELS
from cifarlab.models.whitening import whiten, whitening_sample
from cifarlab.recipes.finetune import FINETUNED
from cifarlab.recipes.fitting import fitted
from cifarlab.recipes.parts import BALANCED, MACRO_F1, SGD, Adam, ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.randomness import derive
from cifarlab.training.few_images import adapted


def override(
    recipe: Recipe,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    *,
    class_weights: str | Mapping[Any, float] | None = None,
    sampler: str | None = None,
    monitor: str | None = None,
    start: str | None = None,
    unfreeze: str | None = None,
) -> Recipe:
    """Return ``recipe`` with the values that are given; few images do not change them again.

    Args:
        learning_rate: of the first optimizer; the others' change by the same factor.
        monitor: what the best epoch is chosen by, and when training stops early. With class weights
            or a balanced sampler it is the validation's macro-F1 unless given, which counts rare
            classes as much as frequent ones; the validation loss does not.
        start, unfreeze: of a recipe that fine-tunes.

    Raises:
        UsageError: a value that the recipe does not have.
    """
    evened = class_weights is not None or sampler == BALANCED
    if monitor is None and evened and recipe.keep == "best":
        monitor = MACRO_F1
    changes: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "class_weights": class_weights,
        "sampler": sampler,
        "monitor": monitor,
    }
    finetuning = {k: v for k, v in (("start", start), ("unfreeze", unfreeze)) if v is not None}
    if finetuning:
        changes["model"] = _started(recipe, finetuning)
    if monitor is not None and recipe.keep == "last" and recipe.stop is None:
        raise UsageError(
            f"monitor {monitor!r}: recipe {recipe.name!r} keeps the last epoch and never stops "
            "early, so there is nothing to choose by it; leave it out, or train baseline"
        )
    if monitor is not None and recipe.stop is not None:
        changes["stop"] = dataclasses.replace(recipe.stop, monitor=monitor)
    if recipe.few_images is not None:
        changes["few_images"] = dataclasses.replace(
            recipe.few_images,
            updates=1 if epochs is not None else recipe.few_images.updates,
            steps=1 if batch_size is not None else recipe.few_images.steps,
        )
    if learning_rate is not None and recipe.as_compiled is not None:
        changes["as_compiled"] = dataclasses.replace(
            recipe.as_compiled, learning_rate=learning_rate
        )
    elif learning_rate is not None:
        factor = learning_rate / recipe.optimizers[0].lr
        changes["optimizers"] = tuple(
            dataclasses.replace(o, lr=learning_rate if i == 0 else o.lr * factor)
            for i, o in enumerate(recipe.optimizers)
        )
    return dataclasses.replace(recipe, **{k: v for k, v in changes.items() if v is not None})


def _started(recipe: Recipe, arguments: Mapping[str, str]) -> ModelSpec:
    if recipe.model.name != FINETUNED:
        raise UsageError(
            f"{' and '.join(arguments)}: recipe {recipe.name!r} does not fine-tune; use the recipe "
            "finetune"
        )
    return ModelSpec(name=FINETUNED, arguments={**recipe.model.arguments, **arguments})


def fit_recipe(recipe: Recipe, data: Dataset) -> Recipe:
    """Return the recipe for the number and the size of the training images.

    Raises:
        InputError: the training split is not sound.
    """
    check_split(data.train, data.class_names, f"{data.name}, train")
    height, width, _ = data.image_format.shape
    return fitted(adapted(recipe, len(data.train)), height, width)


def build_model(recipe: Recipe, data: Dataset, seed: int) -> KerasModel:
    """Build the recipe's Keras model for the data's image size and classes, weights and all.

    Raises:
        UsageError: the recipe names a model that does not exist.
        InputError: it fine-tunes a network that takes other images.
    """
    if recipe.model.name == FINETUNED:
        return build_finetuned(recipe, data)
    if recipe.model.name not in MODELS:
        raise UsageError(
            f"recipe {recipe.name!r}: no model is called {recipe.model.name!r}; "
            f"choose from {', '.join(MODELS)}"
        )
    build = MODELS[recipe.model.name]

    def network() -> KerasModel:
        return build(data.train.images.shape[1:], len(data.class_names), **recipe.model.arguments)

    # A seed gives the same weights on every machine, so they are drawn on the CPU, wherever
    # Keras would draw them.
    with keras.device("cpu"):
        keras.utils.set_random_seed(derive(seed, "weights") % 2**32)
        model = network()
        if recipe.whitening is not None:
            chosen = whitening_sample(data.train.labels, recipe.whitening.images)
            images = np.array(data.train.images[chosen])
            whiten(model, images, recipe.whitening.epsilon)
    if keras.ops.zeros(()).device.type == "cpu":
        return model
    elsewhere = network()
    elsewhere.set_weights(model.get_weights())
    return elsewhere


def opening(recipe: Recipe, data: Dataset) -> str:
    """Return the first line of a run: what is trained on what."""
    height, width = data.train.images.shape[1:3]
    validation = "none for validation"
    if len(data.validation):
        validation = f"{len(data.validation):,} for validation"
    return (
        f"{recipe.name} on {data.name}: {len(data.train):,} images for training, {validation}; "
        f"test set not used yet ({len(data.class_names)} classes, {height}x{width})"
    )


def check_fit(model: KerasModel, data: Dataset) -> None:
    """Raise ``InputError`` unless the training data is sound and the model takes it."""
    check_split(data.train, data.class_names, f"{data.name}, train")
    if len(data.validation):
        check_split(data.validation, data.class_names, f"{data.name}, validation")
    images = tuple(data.train.images.shape[1:])
    classes = len(data.class_names)
    if classes < 2:
        raise InputError(f"{data.name} has {classes} class; a classifier needs at least 2")
    if not model.built:
        raise InputError(
            f"model {model.name!r} has no weights yet; give it an input shape, "
            f"for example keras.Input({images}) as its first layer"
        )
    if tuple(model.input_shape[1:]) != images:
        raise InputError(
            f"model {model.name!r} takes images {list(model.input_shape[1:])}, "
            f"{data.name} has {list(images)}; {_to_fit(model.input_shape[1:], images)}"
        )
    # One unit can tell two classes apart.
    fitting = ((classes,), (1,)) if classes == 2 else ((classes,),)
    if tuple(model.output_shape[1:]) not in fitting:
        raise InputError(
            f"model {model.name!r} gives {list(model.output_shape[1:])} values, {data.name} has "
            f"{classes} classes; {_new_ending(model, classes)}"
        )


def _to_fit(wanted: tuple[int, ...], images: tuple[int, ...]) -> str:
    """Return what makes images fit a model: another size, other channels, or another model."""
    if len(wanted) != 3 or wanted[2] not in (1, 3):
        return f"give the model keras.Input({images})"
    changes = []
    if wanted[:2] != images[:2]:
        changes.append(f"--image-size {wanted[0]}x{wanted[1]}")
    if wanted[2] != images[2]:
        changes.append(f"--channels {'grey' if wanted[2] == 1 else 'rgb'}")
    return f"read the data with {' '.join(changes)}, or give the model keras.Input({images})"


def _new_ending(model: KerasModel, classes: int) -> str:
    """Return how to keep a model's body and give it an output for each of other classes."""
    head = f"keras.layers.Dense({classes}, activation='softmax')"
    ending = (keras.layers.Dense, keras.layers.Activation, keras.layers.Softmax)
    kept = len(model.layers)
    while kept > 1 and isinstance(model.layers[kept - 1], ending):
        kept -= 1
        if isinstance(model.layers[kept], keras.layers.Dense):
            body = f"model.layers[{kept - len(model.layers) - 1}].output"
            return (
                f"keep its body and give it a new last layer, from Python: keras.Model("
                f"model.inputs, {head}({body})); of a file, the model is "
                "cifarlab.Classifier.load(path).model"
            )
    return f"end the model in {head}"


def compile_model(model: KerasModel, recipe: Recipe) -> None:
    """Compile by the recipe for plain Keras: callbacks read it, and it is saved in the files."""
    spec = recipe.optimizers[0]
    if isinstance(spec, Adam):
        optimizer = keras.optimizers.Adam(spec.lr, spec.beta_1, spec.beta_2, spec.epsilon)
    elif isinstance(spec, SGD):
        optimizer = keras.optimizers.SGD(spec.lr, spec.momentum, spec.nesterov)
    else:
        # Keras's own Muon takes no convolutions; whoever trains the file on gets Adam.
        optimizer = keras.optimizers.Adam()
    model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    # Callbacks learn from the built metrics whether more is better.
    classes = model.output_shape[-1]
    model.test_on_batch(np.zeros((1, *model.input_shape[1:]), "float32"), np.eye(classes)[:1])


def compile_finished(model: KerasModel, optimizer: Any) -> None:
    """Compile a model with an ending that was added, to be saved with the optimizer as it is."""
    model.compile(
        optimizer or keras.optimizers.Adam(), loss="categorical_crossentropy", metrics=["accuracy"]
    )
