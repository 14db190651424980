"""What a run says of its data before it begins: the first line, uneven classes, few images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cifarlab.data.dataset import Dataset, Split
from cifarlab.evaluation.metrics import uneven
from cifarlab.files import printable
from cifarlab.recipes.parts import BALANCED, Translate
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.balance import weights_of_classes
from cifarlab.training.setup import opening

# Longer lists of classes are cut.
NAMED = 5
REMEDY = (
    "; accuracy hardly notices the rare ones, macro-F1 does, and --class-weights balanced trains "
    "them as much as the others"
)


def opening_lines(planned: Recipe, recipe: Recipe, data: Dataset) -> Iterator[str]:
    """Yield the lines that a run begins with; the test split is not looked at.

    Args:
        planned: as it was asked for.
        recipe: as it is trained, adapted to the data.
    """
    yield opening(recipe, data)
    yield from _on_few_images(planned, recipe)
    yield from _on_uneven_classes(recipe, data)
    yield from _on_classes_without_images(data)


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


def _on_uneven_classes(recipe: Recipe, data: Dataset) -> Iterator[str]:
    counts = _present(data.train, data)
    if uneven(list(counts.values())):
        most, fewest = (choose(counts, key=counts.__getitem__) for choose in (max, min))
        evened_out = recipe.class_weights is not None or recipe.sampler == BALANCED
        yield (
            f"uneven classes: {counts[most]:,} images of {printable(most)}, {counts[fewest]:,} of "
            f"{printable(fewest)}{'' if evened_out else REMEDY}"
        )
    weights = weights_of_classes(recipe.class_weights, data.train.labels, data.class_names)
    if weights is not None:
        low, high = (int(choose(weights)) for choose in (np.argmin, np.argmax))
        yield (
            f"class weights from {weights[low]:.3g} ({printable(data.class_names[low])}) to "
            f"{weights[high]:.3g} ({printable(data.class_names[high])})"
        )


def _on_classes_without_images(data: Dataset) -> Iterator[str]:
    trained_on = _present(data.train, data)
    if absent := [name for name in data.class_names if name not in trained_on]:
        yield f"no images for training, so never learnt: {_listed(absent)}"
    if len(data.validation):
        held_out = _present(data.validation, data)
        if unmeasured := [name for name in trained_on if name not in held_out]:
            yield f"trained on, but too few images to validate with: {_listed(unmeasured)}"


def _present(split: Split, data: Dataset) -> dict[str, int]:
    """Return the number of images of each class that has any."""
    counts = np.bincount(split.labels, minlength=len(data.class_names)).tolist()
    return {name: n for name, n in zip(data.class_names, counts, strict=True) if n}


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names[:NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
