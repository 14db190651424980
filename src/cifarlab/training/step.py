"""The maths of one training step, and of evaluation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.evaluation.metrics import balanced_accuracy, macro_f1
from cifarlab.lowering.model import LoweredModel
from cifarlab.lowering.predict import predict_logits
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import computing_in
from cifarlab.training.augment import augment
from cifarlab.training.balance import image_weights
from cifarlab.training.batch import Batch
from cifarlab.training.resize import resized
from cifarlab.training.state import TrainState


def train_step(
    state: TrainState,
    batch: Batch,
    recipe: Recipe,
    precision: torch.dtype,
    generator: torch.Generator,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Update the weights on one batch and add it to the state's totals.

    Args:
        batch: as it was drawn, not augmented.
        generator: what augmentation draws from.
        class_weights: what the loss of an image of each class is multiplied by, float32 ``[K]``.

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
        mean = mean_loss(logits, batch.targets[part], loss_spec.label_smoothing, class_weights)
        share = (mean + lowered.penalty()) * (len(images) / len(batch))
        torch.autograd.backward(share * times)
        loss += share.detach()
        correct += (logits.detach().argmax(1) == classes[part]).sum()
    for group in state.groups:
        group.optimizer.step()
    lowered.apply_constraints()
    state.totals.add(loss, correct, len(batch))
    return loss


def mean_loss(
    logits: Tensor, targets: Tensor, label_smoothing: float, class_weights: Tensor | None
) -> Tensor:
    """Return the mean cross-entropy over images, each weighted by its class.

    As with Keras's ``class_weight``, the sum of the weighted losses is divided by the number of
    images, not by the sum of their weights, so that an image counts the same in every batch.

    Args:
        logits: float32 ``[B, K]``.
        targets: int64 ``[B]`` classes, or float32 ``[B, K]`` shares of them.
        class_weights: float32 ``[K]``, or ``None`` for none.
    """
    if class_weights is None:
        return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    losses = F.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")
    return (losses * image_weights(class_weights, targets)).mean()


@torch.inference_mode()
def evaluate(lowered: LoweredModel, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return ``loss``, ``accuracy``, ``balanced_accuracy`` and ``macro_f1``, in float32.

    The loss is the mean cross-entropy without label smoothing, penalties or class weights. Whatever
    precision trains, these are the numbers that the saved model will show.
    """
    logits = predict_logits(lowered, images, torch.float32)
    labels = labels.to(logits.device)
    loss = F.cross_entropy(logits, labels)
    predicted, classes = logits.argmax(1), logits.shape[1]
    accuracy = (predicted == labels).float().mean()
    cells = (labels * classes + predicted).cpu().numpy()
    confusion = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return {
        "loss": float(loss),
        "accuracy": float(accuracy),
        "balanced_accuracy": balanced_accuracy(confusion),
        "macro_f1": macro_f1(confusion),
    }
