"""What training begins with: its options, its state, and the steps that will be done.

All that can be known to be wrong is found here, before anything is trained or written.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifarlab.backend import KerasModel
from cifarlab.data.dataset import Split
from cifarlab.errors import InputError
from cifarlab.lowering.model import lower
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.averaging import start_average
from cifarlab.training.balance import weights_of_classes
from cifarlab.training.callback_checks import Names, check_callbacks, names_in_logs
from cifarlab.training.callbacks import give_directions
from cifarlab.training.compiled_steps import CompiledSteps
from cifarlab.training.optimizers import build_optimizers, freeze
from cifarlab.training.resize import check_resolutions
from cifarlab.training.state import Totals, TrainState
from cifarlab.training.steps import RecipeSteps, Steps


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """Where and how a run computes: everything that is not the recipe.

    Attributes:
        checkpoints: the folder that they are kept in, or ``None`` to keep none.
        deterministic: allow reproducible kernels only.
        compiled: have PyTorch compile the network, forwards and backwards.
        class_names: in label order, for class weights by name.
    """

    device: torch.device
    precision: torch.dtype
    seed: int
    checkpoints: Path | None = None
    deterministic: bool = False
    compiled: bool = False
    class_names: tuple[str, ...] = ()


def check_beginning(
    model: KerasModel,
    measured: KerasModel,
    train: Split,
    validation: Split,
    recipe: Recipe,
    options: LoopOptions,
    callbacks: Sequence[Any],
) -> None:
    """Raise what ``loop.fit``, given the same, would raise before its first step."""
    weights = class_weights_of(recipe, train, measured.output_shape[-1], options)
    steps_for(model, measured, recipe, dataclasses.replace(options, compiled=False), weights)
    checked_names(callbacks, model, validation)


def checked_names(callbacks: Sequence[Any], model: KerasModel, validation: Split) -> Names:
    """Return what the logs will hold, where every callback finds in them what it waits for.

    Args:
        model: compiled, its metrics built.

    Raises:
        UsageError: a callback that would fail, or do nothing.
    """
    give_directions(callbacks)
    names = names_in_logs(model, validated=len(validation) > 0)
    check_callbacks(callbacks, model, names)
    return names


def steps_for(
    model: KerasModel,
    measured: KerasModel,
    recipe: Recipe,
    options: LoopOptions,
    class_weights: Tensor | None,
) -> Steps:
    """Return the way in which the recipe trains: by itself, or as the model was compiled."""
    if recipe.as_compiled is not None:
        return CompiledSteps(
            model, measured, recipe, options.device, options.precision, class_weights
        )
    state = start(model, recipe, options)
    return RecipeSteps(model, state, recipe, options.precision, class_weights)


def start(model: KerasModel, recipe: Recipe, options: LoopOptions) -> TrainState:
    """Return the state before the first step.

    Raises:
        InputError: the model does not end in a softmax, or takes no images of a resolution of the
            recipe.
    """
    lowered = lower(model, options.device)
    if not lowered.strip_softmax():
        raise InputError(
            f"model {model.name!r} does not end in a softmax layer used once; "
            'make its last layer keras.layers.Softmax() or a Dense with activation="softmax"'
        )
    check_resolutions(lowered, recipe, model.input_shape[1:])
    if options.compiled:
        # One graph for each size of image; evaluation has sizes of its own and is not compiled.
        lowered.compile(dynamic=False)
    free = freeze(lowered.trained_bindings, recipe.frozen)
    groups = build_optimizers(free, recipe.optimizers, options.precision)
    average = None
    if recipe.lookahead is not None:
        average = start_average(recipe.lookahead, [b.tensor for b in lowered.bindings])
    return TrainState(
        lowered=lowered, groups=groups, totals=Totals.zero(options.device), average=average
    )


def on_device(split: Split, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a split's images, uint8 ``[N, H, W, C]``, and labels, int64 ``[N]``, on a device."""
    # PyTorch warns about read-only memory maps, and nothing here writes to them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        images = torch.from_numpy(split.images)
    labels = torch.from_numpy(split.labels.astype("int64"))
    return images.to(device), labels.to(device)


def class_weights_of(
    recipe: Recipe, train: Split, classes: int, options: LoopOptions
) -> Tensor | None:
    """Return the weight of each class on the device, float32 ``[K]``, where the recipe has any."""
    if recipe.class_weights is None:
        return None
    names = options.class_names or tuple(map(str, range(classes)))
    weights = weights_of_classes(recipe.class_weights, train.labels, names)
    return None if weights is None else torch.from_numpy(weights).to(options.device)
