"""The maths of one training step, and of evaluation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.lowering.model import LoweredModel
from cifarlab.lowering.predict import predict_logits
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import computing_in
from cifarlab.training.augment import augment
from cifarlab.training.batch import Batch
from cifarlab.training.resize import resized
from cifarlab.training.state import TrainState


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
    resolution = recipe.resolution_in(batch.epoch)
    for group in state.groups:
        group.optimizer.zero_grad(set_to_none=True)
    loss = torch.zeros((), device=batch.images.device)
    correct = torch.zeros((), device=batch.images.device)
    times = len(batch) if loss_spec.reduction == "sum" else 1
    size = recipe.micro_batch or len(batch)
    for first in range(0, len(batch), size):
        part = slice(first, first + size)
        images = resized(batch.images[part], resolution).permute(0, 2, 3, 1)
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
def evaluate(lowered: LoweredModel, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean cross-entropy (no smoothing, no penalties) and accuracy, in float32.

    Whatever precision trains, these are the numbers that the saved model will show.
    """
    logits = predict_logits(lowered, images, torch.float32)
    labels = labels.to(logits.device)
    loss = F.cross_entropy(logits, labels)
    accuracy = (logits.argmax(1) == labels).float().mean()
    return float(loss), float(accuracy)
