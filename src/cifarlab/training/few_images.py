"""Few images: more epochs, smaller batches and more patience, so that enough steps are trained."""

from __future__ import annotations

from dataclasses import replace

from cifarlab.recipes.parts import CrossEntropy, EarlyStopping, FewImages, Translate
from cifarlab.recipes.recipe import Recipe


def adapted(recipe: Recipe, images: int) -> Recipe:
    """Return the recipe that is trained on so many images, with ``few_images`` carried out.

    Where there are many it is the recipe itself, but for ``few_images`` that is now ``None``, so
    that it is not adapted again.

    Args:
        images: the number of training images, at least 1.

    Example:
        >>> from cifarlab.recipes.baseline import BASELINE
        >>> adapted(BASELINE, 45_000).epochs
        10
        >>> few = adapted(BASELINE, 90)
        >>> few.batch_size, few.epochs > 100
        (16, True)
    """
    few = recipe.few_images
    if few is None:
        return recipe
    batch_size, epochs = recipe.batch_size, recipe.epochs
    if batch_size == few.batch_size:
        smallest = min(batch_size, few.smallest_batch)
        batch_size = min(batch_size, max(smallest, images // few.steps))
    steps = -(-images // batch_size)
    if epochs == few.epochs:
        epochs = max(epochs, min(few.most_epochs, -(-few.updates // steps)))
    more = epochs > recipe.epochs
    return replace(
        recipe,
        batch_size=batch_size,
        epochs=epochs,
        stop=_patient(recipe.stop, few, steps),
        augment=_shift(few.shift, recipe) if more and few.shift is not None else recipe.augment,
        loss=_smoothed(recipe.loss, few.label_smoothing) if more else recipe.loss,
        few_images=None,
    )


def _smoothed(loss: CrossEntropy, label_smoothing: float | None) -> CrossEntropy:
    return loss if label_smoothing is None else replace(loss, label_smoothing=label_smoothing)


def _patient(stop: EarlyStopping | None, few: FewImages, steps: int) -> EarlyStopping | None:
    if stop is None:
        return None
    return replace(stop, patience=max(stop.patience, -(-few.patience // steps)))


def _shift(share: float, recipe: Recipe) -> tuple[Translate, ...]:
    return (Translate(pixels=max(1, round(share * min(recipe.image_size)))),)
