"""Test-time augmentation (TTA): logits averaged over several copies of each image."""

from __future__ import annotations

import torch
from torch import Tensor

from cifarlab.lowering.model import LoweredModel
from cifarlab.lowering.predict import predict_logits
from cifarlab.lowering.prepared import PreparedModel
from cifarlab.lowering.shift import shifted
from cifarlab.recipes.parts import TestTimeAugmentation


@torch.inference_mode()
def tta_logits(
    lowered: LoweredModel | PreparedModel,
    images: Tensor,
    tta: TestTimeAugmentation | None,
    precision: torch.dtype,
) -> Tensor:
    """Return logits averaged over copies of each image, float32 ``[N, K]``, on the model's device.

    The copies are those of airbench94: the image itself, shifted down and right, and shifted up
    and left; each of them also mirrored. The unshifted ones count as much as all shifted ones.

    Args:
        images: uint8 ``[N, H, W, C]``, on any device.
        tta: which copies; ``None`` for the image itself alone.
        precision: the dtype of matrix products.
    """
    if tta is None:
        return predict_logits(lowered, images, precision)
    logits = _with_mirrored(lowered, images, tta, precision)
    count = round(len(images) * tta.share)
    if tta.shift == 0 or count == 0:
        return logits
    which = slice(None) if count == len(images) else _least_certain(logits, count)
    some = images[which.to(images.device) if isinstance(which, Tensor) else which]
    shifted_logits = [
        _with_mirrored(lowered, _shifted(some, step), tta, precision)
        for step in (tta.shift, -tta.shift)
    ]
    logits[which] = (logits[which] + (shifted_logits[0] + shifted_logits[1]) / 2) / 2
    return logits


def _with_mirrored(
    lowered: LoweredModel | PreparedModel,
    images: Tensor,
    tta: TestTimeAugmentation,
    precision: torch.dtype,
) -> Tensor:
    logits = predict_logits(lowered, images, precision)
    if not tta.mirror:
        return logits
    return (logits + predict_logits(lowered, images.flip(2), precision)) / 2


def _shifted(images: Tensor, step: int) -> Tensor:
    steps = torch.full((2, len(images)), step, device=images.device)
    return shifted(images.permute(0, 3, 1, 2), steps).permute(0, 2, 3, 1)


def _least_certain(logits: Tensor, count: int) -> Tensor:
    best = logits.softmax(1).topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]).argsort(stable=True)[:count]
