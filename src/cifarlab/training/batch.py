"""What a step is given, and the order in which an epoch visits the images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from cifarlab.recipes.parts import BALANCED, SHUFFLED
from cifarlab.runtime.randomness import derive, permutation
from cifarlab.training.balance import balanced_order


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Images of one step, and all that augmentation may depend on besides its generator.

    Attributes:
        images: uint8 or float ``[B, C, H, W]``, 0 to 255.
        targets: int64 ``[B]`` classes, or float32 ``[B, K]`` shares of them.
        index: int64 ``[B]``, each image's index in the training split.
        epoch: from 0.
        salt: a number of the run's, for draws that hold through all epochs.
        classes: K.
    """

    images: Tensor
    targets: Tensor
    index: Tensor
    epoch: int = 0
    salt: int = 0
    classes: int = 10

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shares(self) -> Tensor:
        """The targets as shares, float32 ``[B, K]``."""
        if self.targets.ndim == 2:
            return self.targets
        return torch.nn.functional.one_hot(self.targets, self.classes).float()


def batches(
    images: Tensor,
    labels: Tensor,
    classes: int,
    batch_size: int,
    seed: int,
    epoch: int,
    first: int = 0,
    sampler: str = SHUFFLED,
) -> Iterator[tuple[int, Batch]]:
    """Yield the steps of an epoch from step ``first`` on.

    Args:
        images: uint8 ``[N, H, W, C]``.
        labels: int64 ``[N]``.
        sampler: ``"shuffled"`` visits every image once, ``"balanced"`` every class equally often.
    """
    if sampler == BALANCED:
        order = balanced_order(labels, seed, epoch).to(images.device)
    else:
        order = permutation(len(labels), seed, epoch).to(images.device)
    salt = derive(seed, "pictures")
    for step, index in enumerate(torch.split(order, batch_size)):
        if step >= first:
            taken = images[index].permute(0, 3, 1, 2)
            yield (
                step,
                Batch(
                    images=taken,
                    targets=labels[index],
                    index=index,
                    epoch=epoch,
                    salt=salt,
                    classes=classes,
                ),
            )
