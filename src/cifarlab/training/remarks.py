"""What a run says before it begins: the first line, few images, and what is to know of its data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cifarlab.data.dataset import Dataset
from cifarlab.evaluation.data_notes import classes_without_images, data_notes
from cifarlab.files import printable
from cifarlab.recipes.parts import BALANCED, Translate
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.balance import weights_of_classes
from cifarlab.training.setup import opening


def opening_lines(planned: Recipe, recipe: Recipe, data: Dataset) -> Iterator[str]:
    """Yield the lines that a run begins with; the test images are not looked at.

    Args:
        planned: as it was asked for.
        recipe: as it is trained, adapted to the data.
    """
    yield opening(recipe, data)
    yield from _on_few_images(planned, recipe)
    evened_out = recipe.class_weights is not None or recipe.sampler == BALANCED
    yield from data_notes(data, evened_out=evened_out)
    # What is read from files has been warned of by then.
    if not data.loading:
        yield from classes_without_images(data)
    yield from _on_class_weights(recipe, data)


def _on_few_images(planned: Recipe, recipe: Recipe) -> Iterator[str]:
    changes = []
    if recipe.batch_size != planned.batch_size:
        changes.append(f"batches of {recipe.batch_size} instead of {planned.batch_size}")
    if recipe.epochs != planned.epochs:
        changes.append(f"up to {recipe.epochs} epochs instead of {planned.epochs}")
    if recipe.augment != planned.augment:
        reach = max(spec.pixels for spec in recipe.augment if isinstance(spec, Translate))
        changes.append(f"images shifted by up to {reach} px, not mirrored")
    if changes:
        yield f"few images: {', '.join(changes)} (--epochs and --batch-size say otherwise)"


def _on_class_weights(recipe: Recipe, data: Dataset) -> Iterator[str]:
    weights = weights_of_classes(recipe.class_weights, data.train.labels, data.class_names)
    if weights is not None:
        low, high = (int(choose(weights)) for choose in (np.argmin, np.argmax))
        yield (
            f"class weights from {weights[low]:.3g} ({printable(data.class_names[low])}) to "
            f"{weights[high]:.3g} ({printable(data.class_names[high])})"
        )
