"""What the lessons measure besides the history of training."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from cifarlab.data.dataset import Dataset, Split
from cifarlab.lowering.model import lower
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import choose_device
from cifarlab.training.batch import batches
from cifarlab.training.beginning import LoopOptions, on_device, start
from cifarlab.training.step import evaluate


def first_gradient(model: Any, recipe: Recipe, data: Dataset, seed: int) -> float:
    """Return the length of the gradient at the first batch: the L2 norm over all weights.

    In float32 on the CPU, without augmentation; the model stays as it is.
    """
    device = torch.device("cpu")
    state = start(model, recipe, LoopOptions(device=device, precision=torch.float32, seed=seed))
    state.lowered.train()
    images, labels = on_device(data.train, device)
    classes = len(data.class_names)
    _, batch = next(batches(images, labels, classes, recipe.batch_size, seed, 0))
    logits = state.lowered(batch.images.permute(0, 2, 3, 1))
    torch.autograd.backward(F.cross_entropy(logits, batch.targets))
    squares = [t.grad.square().sum() for t in state.lowered.trained() if t.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def accuracy_on(model: Any, split: Split, device: str) -> float:
    """Return the accuracy in evaluation mode, on the images as they are; 0 to 1."""
    chosen = choose_device(device)
    return evaluate(lower(model, chosen), *on_device(split, chosen))["accuracy"]
