"""Augmentation: pure functions of a batch and a generator.

Each takes and gives ``[N, C, H, W]`` pictures of any dtype and draws only from the
generator that it is given. To add one, write its specification in
``recipes/recipe.py``, its function here, and name both in ``AUGMENTATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.errors import InputError
from cifarlab.recipes.recipe import Flip, Translate


def flip(images: Tensor, _: Flip, generator: torch.Generator) -> Tensor:
    """Mirror each picture left to right with probability one half."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    mirrored = mirrored.to(images.device).view(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)


def translate(images: Tensor, spec: Translate, generator: torch.Generator) -> Tensor:
    """Shift each picture by up to ``spec.pixels`` both ways, reflecting at the border.

    Raises:
        InputError: the pictures are too small to be reflected that far.
    """
    count, _, height, width = images.shape
    reach = spec.pixels
    if reach >= min(height, width):
        raise InputError(
            f"Translate(pixels={reach}) needs pictures larger than that, these are "
            f"{height}x{width}; use fewer pixels"
        )
    # Reflection padding has no uint8 kernel; float32 holds 0 to 255 exactly.
    exact = images if images.is_floating_point() else images.float()
    padded = F.pad(exact, (reach,) * 4, mode="reflect").to(images.dtype)
    shifts = torch.randint(0, 2 * reach + 1, (2, count), generator=generator).to(images.device)
    rows = shifts[0].view(-1, 1, 1) + torch.arange(height, device=images.device).view(1, -1, 1)
    columns = shifts[1].view(-1, 1, 1) + torch.arange(width, device=images.device).view(1, 1, -1)
    which = torch.arange(count, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows, columns].permute(0, 3, 1, 2)


AUGMENTATIONS: dict[type, Callable[[Tensor, Any, torch.Generator], Tensor]] = {
    Flip: flip,
    Translate: translate,
}


def augment(images: Tensor, specs: Sequence[Any], generator: torch.Generator) -> Tensor:
    """Apply the augmentations in order."""
    for spec in specs:
        images = AUGMENTATIONS[type(spec)](images, spec, generator)
    return images
