"""Augmentation: pure functions of a batch and a generator.

Each takes and gives images of any dtype, ``[B, C, H, W]`` with values 0 to 255, and draws
only from the generator that it is given, on the generator's device. To add one, write its
specification in ``recipes/parts.py``, its function here, and name both in ``AUGMENTATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from cifarlab.errors import InputError
from cifarlab.lowering.shift import shifted
from cifarlab.recipes.parts import (
    AlternatingFlip,
    Augmentation,
    CutMix,
    Cutout,
    Flip,
    Jitter,
    Mixup,
    Translate,
)
from cifarlab.runtime.device import sent
from cifarlab.training.batch import Batch


def flip(batch: Batch, _: Flip, generator: torch.Generator) -> Batch:
    """Mirror each image left to right with probability one half."""
    return _mirror(
        batch, torch.rand(len(batch), generator=generator, device=generator.device) < 0.5
    )


def alternating_flip(batch: Batch, _: AlternatingFlip, __: torch.Generator) -> Batch:
    """Mirror a random half of the images, in the next epoch the other half.

    Which half is a function of the run's salt and an image's index in the training split.
    """
    return _mirror(batch, (_coin(batch.index, batch.salt) + batch.epoch) % 2 == 1)


def translate(batch: Batch, spec: Translate, generator: torch.Generator) -> Batch:
    """Shift each image by up to ``spec.pixels`` both ways, reflecting at the border.

    Raises:
        InputError: the images are too small to be reflected that far.
    """
    images, reach = batch.images, spec.pixels
    count, _, height, width = images.shape
    if reach >= min(height, width):
        raise InputError(
            f"Translate(pixels={reach}) needs images larger than that, these are "
            f"{height}x{width}; use fewer pixels"
        )
    steps = torch.randint(
        -reach, reach + 1, (2, count), generator=generator, device=generator.device
    )
    return replace(batch, images=shifted(images, sent(steps, images.device)))


def cutout(batch: Batch, spec: Cutout, generator: torch.Generator) -> Batch:
    """Paint a square of one colour into each image; into grey ones the mean of the colour.

    Raises:
        InputError: the images are smaller than the square.
    """
    images = batch.images
    count, channels, height, width = images.shape
    if spec.size > min(height, width):
        raise InputError(
            f"Cutout(size={spec.size}) needs images at least that large, these are "
            f"{height}x{width}; use a smaller square"
        )
    rows, columns = (
        sent(_within(side, spec.size, count, generator), images.device) for side in (height, width)
    )
    square = rows.view(count, 1, height, 1) & columns.view(count, 1, 1, width)
    grey = round(sum(spec.colour) / len(spec.colour))
    values = spec.colour if channels == len(spec.colour) else (grey,) * channels
    colour = torch.tensor(values, dtype=images.dtype).view(1, -1, 1, 1)
    return replace(batch, images=torch.where(square, sent(colour, images.device), images))


def jitter(batch: Batch, spec: Jitter, generator: torch.Generator) -> Batch:
    """Change brightness and contrast of each image; values stay within 0 to 255."""
    images = batch.images
    draws = (
        2
        * sent(
            torch.rand(2, len(batch), 1, 1, 1, generator=generator, device=generator.device),
            images.device,
        )
        - 1
    )
    exact = _exact(images)
    stretched = (exact - 127.5) * (1 + spec.contrast * draws[0].to(exact.dtype)) + 127.5
    changed = (stretched + 255 * spec.brightness * draws[1].to(exact.dtype)).clamp(0, 255)
    return replace(batch, images=_like(changed, images))


def mixup(batch: Batch, spec: Mixup, generator: torch.Generator) -> Batch:
    """Blend each image and its label with those of another."""
    share = _beta(spec.alpha, generator)
    partner = sent(
        torch.randperm(len(batch), generator=generator, device=generator.device),
        batch.images.device,
    )
    exact = _exact(batch.images)
    blended = exact.lerp(exact[partner], 1 - share)
    shares = batch.shares.lerp(batch.shares[partner], 1 - share)
    return replace(batch, images=_like(blended, batch.images), targets=shares)


def cutmix(batch: Batch, spec: CutMix, generator: torch.Generator) -> Batch:
    """Paste one box of another image into each; labels blend by area."""
    height, width = batch.images.shape[2:]
    side = (1 - _beta(spec.alpha, generator)) ** 0.5
    rows, columns = (
        _within(extent, round(side * extent), 1, generator) for extent in (height, width)
    )
    box = rows.view(1, 1, height, 1) & columns.view(1, 1, 1, width)
    # Measured before it is sent, because asking the device would wait for it.
    area = float(box.float().mean())
    partner = sent(
        torch.randperm(len(batch), generator=generator, device=generator.device),
        batch.images.device,
    )
    images = torch.where(sent(box, batch.images.device), batch.images[partner], batch.images)
    return replace(batch, images=images, targets=batch.shares.lerp(batch.shares[partner], area))


def _mirror(batch: Batch, which: Tensor) -> Batch:
    images = batch.images
    chosen = sent(which, images.device).view(-1, 1, 1, 1)
    return replace(batch, images=torch.where(chosen, images.flip(3), images))


def _exact(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else images.float()


def _like(changed: Tensor, images: Tensor) -> Tensor:
    """Bring changed images back to the dtype that they had, rounded where it is whole numbers."""
    return (changed if images.is_floating_point() else changed.round()).to(images.dtype)


def _coin(index: Tensor, salt: int) -> Tensor:
    """0 or 1 for each whole number, int64: a multiplicative hash (Knuth), which needs no memory."""
    mixed = (index + salt % 2**31) * 0x9E3779B1
    mixed = (mixed ^ (mixed >> 15)) * 0x85EBCA6B % 2**32
    return (mixed >> 16) & 1


def _within(extent: int, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Mark ``size`` neighbouring pixels at a random position: bool ``[count, extent]``."""
    device = generator.device
    first = torch.randint(0, extent - size + 1, (count, 1), generator=generator, device=device)
    pixels = torch.arange(extent, device=device)
    return (pixels >= first) & (pixels < first + size)


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha), as a quotient of two Gamma draws."""
    shape = torch.full((2,), alpha, dtype=torch.float64, device=generator.device)
    one, other = torch._standard_gamma(shape, generator=generator).tolist()
    return one / (one + other) if one + other > 0 else 0.5


AUGMENTATIONS: dict[type, Callable[[Batch, Any, torch.Generator], Batch]] = {
    Flip: flip,
    AlternatingFlip: alternating_flip,
    Translate: translate,
    Cutout: cutout,
    Jitter: jitter,
    Mixup: mixup,
    CutMix: cutmix,
}


def augment(batch: Batch, specs: Sequence[Augmentation], generator: torch.Generator) -> Batch:
    """Apply the augmentations in order."""
    for spec in specs:
        batch = AUGMENTATIONS[type(spec)](batch, spec, generator)
    return batch
