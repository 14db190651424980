"""The maths of one training step, and of evaluation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.engine.augment import augment
from cifarlab.engine.batch import Batch
from cifarlab.engine.device import computing_in
from cifarlab.engine.inference import PreparedModel
from cifarlab.engine.lowering import LoweredModel
from cifarlab.engine.resize import resized
from cifarlab.engine.state import TrainState
from cifarlab.recipes.recipe import Recipe

# What a CPU's caches hold, and what fills a GPU.
LARGEST_PIECE_ON_CPU = 64
LARGEST_PIECE_ELSEWHERE = 2048


def train_step(
    state: TrainState,
    batch: Batch,
    recipe: Recipe,
    precision: torch.dtype,
    generator: torch.Generator,
) -> Tensor:
    """Update the weights on one batch and add it to the state's totals.

    Args:
        batch: as it was drawn, not augmented.
        generator: what augmentation draws from.

    Returns:
        The mean loss over the batch, a scalar on the device.
    """
    lowered, loss_spec = state.lowered, recipe.loss
    lowered.train()
    classes = batch.targets
    batch = augment(batch, recipe.augment, generator)
    side = recipe.resolution_in(batch.epoch)
    for group in state.groups:
        group.optimizer.zero_grad(set_to_none=True)
    loss = torch.zeros((), device=batch.images.device)
    correct = torch.zeros((), device=batch.images.device)
    times = len(batch) if loss_spec.reduction == "sum" else 1
    size = recipe.micro_batch or len(batch)
    for first in range(0, len(batch), size):
        part = slice(first, first + size)
        images = resized(batch.images[part], side).permute(0, 2, 3, 1)
        with computing_in(precision, images.device):
            logits = lowered(images)
        logits = logits.float()
        mean = F.cross_entropy(
            logits, batch.targets[part], label_smoothing=loss_spec.label_smoothing
        )
        share = (mean + lowered.penalty()) * (len(images) / len(batch))
        torch.autograd.backward(share * times)
        loss += share.detach()
        correct += (logits.detach().argmax(1) == classes[part]).sum()
    for group in state.groups:
        group.optimizer.step()
    lowered.apply_constraints()
    state.totals.add(loss, correct, len(batch))
    return loss


@torch.inference_mode()
def predict_logits(
    lowered: LoweredModel | PreparedModel, images: Tensor, precision: torch.dtype
) -> Tensor:
    """Return the logits of all pictures, float32 ``[N, K]``, on the model's device.

    Args:
        images: uint8 ``[N, H, W, C]``, on any device; taken over in batches.
    """
    if isinstance(lowered, LoweredModel) and lowered.training:
        lowered.eval()
    # Past the compiled form, if there is one: it would be compiled for each size again.
    compute = lowered.forward if isinstance(lowered, LoweredModel) else lowered
    if lowered.device.type == "cpu":
        parts = pieces(len(images), LARGEST_PIECE_ON_CPU)
    else:
        largest = LARGEST_PIECE_ELSEWHERE
        parts = [slice(i, i + largest) for i in range(0, len(images), largest)]
    with computing_in(precision, lowered.device):
        if len(parts) == 1:
            return compute(images.to(lowered.device)).float()
        # One block for all results: small ones kept one by one would lie between the large
        # blocks that are freed, and the heap would grow with holes.
        logits = torch.empty(0, device=lowered.device)
        for part in parts:
            found = compute(images[part].to(lowered.device))
            if part.start == 0:
                logits = torch.empty((len(images), found.shape[1]), device=lowered.device)
            logits[part] = found
    return logits


def pieces(count: int, largest: int) -> list[slice]:
    """Cut ``count`` pictures into pieces of ``largest``, of an eighth of it, and so on down to 1.

    On a CPU, models made ready to predict have a form of their own for each size, so there are few.

    Args:
        largest: a power of two.

    Example:
        >>> [part.stop - part.start for part in pieces(147, 64)]
        [64, 64, 8, 8, 1, 1, 1]
    """
    parts: list[slice] = []
    first, size = 0, largest
    while first < count:
        while size > count - first:
            size = max(1, size // 8)
        parts.append(slice(first, first + size))
        first += size
    return parts


@torch.inference_mode()
def evaluate(lowered: LoweredModel, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean cross-entropy (no smoothing, no penalties) and accuracy, in float32.

    Whatever precision trains, these are the numbers that the saved model will show.
    """
    logits = predict_logits(lowered, images, torch.float32)
    labels = labels.to(logits.device)
    loss = F.cross_entropy(logits, labels)
    accuracy = (logits.argmax(1) == labels).float().mean()
    return float(loss), float(accuracy)
