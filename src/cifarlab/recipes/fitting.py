"""Fit a recipe to images of another size than the one that it was made for."""

from __future__ import annotations

import math
from dataclasses import replace

from cifarlab.recipes.parts import Augmentation, Cutout, Translate, Whitening
from cifarlab.recipes.recipe import Recipe

# Height and width.
Size = tuple[int, int]

# Training images are not made smaller than this: it would save little, and networks with several
# poolings would run out of pixels.
SMALLEST_SIDE = 16
# Where a recipe has no micro-batches, at most this many pixels go through the network at once, or
# its batch at its own image size: 2,048 images of 32x32.
MOST_PIXELS = 2**21
# Fewer images tell too little of what the patches of all are like.
FEWEST_WHITENED = 500


def fitted(recipe: Recipe, height: int, width: int) -> Recipe:
    """Return the recipe for images of that size, with every length in pixels of these images.

    - Lengths of augmentation and test-time augmentation scale with the shorter side. They are at
      least 1, unless they were 0, and shorter than that side.
    - Resolutions scale side by side. Training images are never enlarged, and no side is made
      smaller than 16 pixels.
    - Of larger images fewer go through the network at once: as many pixels as before, or 2 million
      where the recipe has no micro-batches. A batch is then cut into equal parts.
    - Whitening looks at as many pixels as before, and at 500 images or more.

    Args:
        height, width: of the images, in pixels.

    Returns:
        The recipe with that ``image_size``; ``recipe`` itself where it has that size already.

    Example:
        >>> from cifarlab.recipes.fast import FAST94
        >>> fitted(FAST94, 64, 96).resolution[::3]
        ((40, 60), (48, 72), (56, 84), (64, 96))
    """
    size = (height, width)
    if size == recipe.image_size:
        return recipe
    scale = min(size) / min(recipe.image_size)
    return replace(
        recipe,
        image_size=size,
        resolution=tuple(_resolution(r, recipe.image_size, size) for r in recipe.resolution),
        micro_batch=_micro_batch(recipe, size),
        augment=tuple(_augmentation(spec, scale, min(size)) for spec in recipe.augment),
        whitening=recipe.whitening and _whitening(recipe.whitening, recipe.image_size, size),
        tta=recipe.tta
        and replace(recipe.tta, shift=_length(recipe.tta.shift, scale, min(size) - 1)),
    )


def _length(pixels: int, scale: float, most: int) -> int:
    """Return a length in pixels scaled, rounded, 1 to ``most``; 0 stays 0."""
    return min(max(1, _rounded(pixels * scale)), most) if pixels else 0


def _rounded(value: float) -> int:
    """Return the nearest whole number, of two the larger; ``round`` would take the even one."""
    return math.floor(value + 0.5)


def _augmentation(spec: Augmentation, scale: float, side: int) -> Augmentation:
    if isinstance(spec, Translate):
        return replace(spec, pixels=_length(spec.pixels, scale, side - 1))
    if isinstance(spec, Cutout):
        return replace(spec, size=_length(spec.size, scale, side))
    return spec


def _resolution(resolution: int | Size, old: Size, new: Size) -> int | Size:
    before = (resolution, resolution) if isinstance(resolution, int) else resolution
    height, width = (
        min(max(_rounded(side * own / of), SMALLEST_SIDE), own)
        for side, of, own in zip(before, old, new, strict=True)
    )
    return height if height == width else (height, width)


def _micro_batch(recipe: Recipe, new: Size) -> int | None:
    before = recipe.micro_batch or recipe.batch_size
    pixels = before * math.prod(recipe.image_size)
    if recipe.micro_batch is None:
        pixels = max(pixels, MOST_PIXELS)
    most = max(1, pixels // math.prod(new))
    if most >= before:
        return recipe.micro_batch
    parts = -(-recipe.batch_size // most)
    return -(-recipe.batch_size // parts)


def _whitening(whitening: Whitening, old: Size, new: Size) -> Whitening:
    as_many_pixels = whitening.images * math.prod(old) // math.prod(new)
    images = min(whitening.images, max(as_many_pixels, FEWEST_WHITENED))
    return replace(whitening, images=images)
