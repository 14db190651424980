"""Build the network of a run of ``finetune``, its last layer fitted to the training images."""

from __future__ import annotations

from dataclasses import replace

import torch

from cifarlab.backend import KerasModel
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import AUTO, LARGEST, LoadOptions
from cifarlab.data.split import Split
from cifarlab.finetuning.features import Array, features
from cifarlab.finetuning.linear_head import choose_penalty, fit_head
from cifarlab.finetuning.network import body_of, finetuned, set_head
from cifarlab.finetuning.starts import find_start
from cifarlab.recipes.finetune import FINETUNED
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_precision
from cifarlab.runtime.progress import SILENT, Progress


def build_finetuned(recipe: Recipe, data: Dataset, progress: Progress = SILENT) -> KerasModel:
    """Return the network for the data's images and classes, its last layer fitted to them.

    Raises:
        UsageError: an unknown start, or one whose extra is not installed.
        InputError: the start takes other images.
    """
    arguments = recipe.model.arguments
    height, width, channels = data.train.images.shape[1:]
    model = finetuned(
        find_start(str(arguments["start"])),
        (height, width, channels),
        len(data.class_names),
        str(arguments["unfreeze"]),
    )
    fit_last_layer(model, data.train, progress)
    return model


def load_options_for(recipe: Recipe, load: LoadOptions) -> LoadOptions:
    """Return the options with the image size that the recipe's start wants, unless one is given.

    Raises:
        UsageError: an unknown start, or one whose extra is not installed.
    """
    if recipe.model.name != FINETUNED:
        return load
    start = find_start(str(recipe.model.arguments["start"]))
    if start.shape is None:
        return replace(load, photo_size=min(start.photo_size, LARGEST))
    height, width, channels = start.shape
    size = (height, width) if load.size is None else load.size
    colours = "rgb" if channels == 3 else "grey"
    return replace(
        load, image_size=size, channels=colours if load.channels == AUTO else load.channels
    )


def fit_last_layer(model: KerasModel, train: Split, progress: Progress = SILENT) -> float:
    """Fit the last layer to the features of the images as they are, not augmented.

    Returns:
        The penalty, chosen by cross-validation.
    """
    values, classes = features_of(model, train, progress), model.output_shape[-1]
    labels = train.labels.astype("int64")
    penalty = choose_penalty(values, labels, classes)
    set_head(model, fit_head(values, labels, classes, penalty))
    return penalty


def features_of(model: KerasModel, split: Split, progress: Progress = SILENT) -> Array:
    """Return what the last layer of a network of ``finetuned`` is given for each image."""
    device: torch.device = model.variables[0].value.device
    precision: torch.dtype = choose_precision("auto", device)
    return features(body_of(model), split, device, precision, progress)
