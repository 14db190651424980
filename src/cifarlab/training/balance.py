"""Uneven classes: what an image of each class counts, and how often each class is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cifarlab.errors import UsageError
from cifarlab.files import printable
from cifarlab.recipes.parts import BALANCED, ClassWeights
from cifarlab.runtime.randomness import generator


def weights_of_classes(
    weights: str | ClassWeights | Mapping[Any, float] | None,
    labels: np.ndarray[Any, Any],
    class_names: Sequence[str],
) -> np.ndarray[Any, Any] | None:
    """Return what the loss of an image of each class is multiplied by, or ``None`` for nothing.

    ``"balanced"`` gives a class with n of the N images the weight ``N / (K * n)``, where K classes
    have images (King and Zeng, "Logistic regression in rare events data", 2001), so that the mean
    weight of the images is 1.

    Args:
        weights: as in ``Recipe.class_weights``.
        labels: int ``[N]``, those of the training split.
        class_names: one for each class, in label order.

    Returns:
        float32 ``[classes]``.

    Raises:
        UsageError: a class that does not exist, or is named twice.

    Example:
        >>> weights_of_classes("balanced", np.array([0, 0, 0, 1]), ("cat", "dog")).round(2).tolist()
        [0.6700000166893005, 2.0]
        >>> weights_of_classes({"dog": 5}, np.array([0, 1]), ("cat", "dog")).tolist()
        [1.0, 5.0]
    """
    if weights is None:
        return None
    if weights == BALANCED:
        counts = np.bincount(labels, minlength=len(class_names))
        present = counts > 0
        balanced = len(labels) / (present.sum() * np.maximum(counts, 1))
        return np.where(present, balanced, 1.0).astype(np.float32)
    return _chosen(dict(weights), class_names)  # type: ignore[arg-type]


def _chosen(weights: Mapping[str | int, float], class_names: Sequence[str]) -> np.ndarray[Any, Any]:
    label_of: dict[str | int, int] = {name: label for label, name in enumerate(class_names)}
    label_of |= {label: label for label in range(len(class_names))}
    found = np.ones(len(class_names), np.float32)
    given: set[int] = set()
    for name, weight in weights.items():
        if name not in label_of:
            raise UsageError(
                f"class weights: no class is called {printable(str(name))}; "
                f"choose from {', '.join(map(printable, class_names))}"
            )
        if label_of[name] in given:
            raise UsageError(
                f"class weights: {printable(class_names[label_of[name]])} is given twice, by name "
                "and by label; give one of them"
            )
        given.add(label_of[name])
        found[label_of[name]] = weight
    return found


def image_weights(class_weights: Tensor, targets: Tensor) -> Tensor:
    """Return the weight of each image's loss, float32 ``[B]``.

    Args:
        class_weights: float32 ``[K]``.
        targets: int64 ``[B]`` classes, or float32 ``[B, K]`` shares of them, whose weights are
            then averaged by share.
    """
    return targets @ class_weights if targets.ndim == 2 else class_weights[targets]


def balanced_order(labels: Tensor, seed: int, epoch: int) -> Tensor:
    """Return the images that an epoch visits, in order: equally many of each class.

    There are as many as in the split. Of a class that has too few, each image comes again as often
    as the others or once more; of a class that has too many, some are left out of this epoch.

    Args:
        labels: int64 ``[N]``.

    Returns:
        Indices, int64 ``[N]``, on the CPU: a function of seed, epoch and labels.
    """
    draws = generator(seed, "balanced", epoch)
    labels = labels.cpu()
    present = torch.unique(labels)
    shares = torch.full((len(present),), len(labels) // len(present))
    # What is left over goes to random classes.
    shares[torch.randperm(len(present), generator=draws)[: len(labels) % len(present)]] += 1
    chosen = []
    for label, share in zip(present.tolist(), shares.tolist(), strict=True):
        members = (labels == label).nonzero().flatten()
        rounds = [
            torch.randperm(len(members), generator=draws) for _ in range(-(-share // len(members)))
        ]
        chosen.append(members[torch.cat(rounds)[:share]])
    order = torch.cat(chosen)
    return order[torch.randperm(len(order), generator=draws)]
