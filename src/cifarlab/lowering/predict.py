"""Predict the logits of many images, in batches, on the device of the model."""

from __future__ import annotations

import torch
from torch import Tensor

from cifarlab.lowering.model import LoweredModel
from cifarlab.lowering.prepared import PreparedModel
from cifarlab.runtime.device import computing_in

# Images of 32x32 that fit into a CPU's caches, and that keep a GPU busy; of larger images a piece
# has fewer, so that memory does not grow with their size.
LARGEST_PIECE_ON_CPU = 64
LARGEST_PIECE_ELSEWHERE = 2048
PIXELS = 32 * 32


@torch.inference_mode()
def predict_logits(
    lowered: LoweredModel | PreparedModel, images: Tensor, precision: torch.dtype
) -> Tensor:
    """Return the logits of all images, float32 ``[N, K]``, on the model's device.

    Args:
        images: uint8 ``[N, H, W, C]``, on any device; copied in batches.
        precision: the dtype of matrix products.
    """
    if isinstance(lowered, LoweredModel) and lowered.training:
        lowered.eval()
    # Without the compiled form, if there is one: it would be compiled again for each size.
    compute = lowered.forward if isinstance(lowered, LoweredModel) else lowered
    if lowered.device.type == "cpu":
        parts = pieces(len(images), _largest_piece(images, LARGEST_PIECE_ON_CPU))
    else:
        largest = _largest_piece(images, LARGEST_PIECE_ELSEWHERE)
        parts = [slice(i, i + largest) for i in range(0, len(images), largest)]
    with computing_in(precision, lowered.device):
        if len(parts) == 1:
            return compute(images.to(lowered.device)).float()
        # One block for all results: small blocks between the large ones that are freed would
        # fragment the heap.
        logits = torch.empty(0, device=lowered.device)
        for part in parts:
            output = compute(images[part].to(lowered.device))
            if part.start == 0:
                logits = torch.empty((len(images), output.shape[1]), device=lowered.device)
            logits[part] = output
    return logits


def _largest_piece(images: Tensor, largest: int) -> int:
    """Return a power of two, no larger than ``largest``, whose images have no more pixels."""
    pixels = images.shape[1] * images.shape[2]
    while largest > 1 and pixels > PIXELS:
        largest, pixels = largest // 2, pixels // 2
    return largest


def pieces(count: int, largest: int) -> list[slice]:
    """Cut ``count`` images into pieces of ``largest``, of an eighth of it, and so on down to 1.

    Prepared models have a fused form for each size, so there are few sizes.

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
