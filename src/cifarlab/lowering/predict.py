"""What a model says of many images: in batches, on its device."""

from __future__ import annotations

import torch
from torch import Tensor

from cifarlab.lowering.model import LoweredModel
from cifarlab.lowering.prepared import PreparedModel
from cifarlab.runtime.device import computing_in

# What a CPU's caches hold, and what fills a GPU.
LARGEST_PIECE_ON_CPU = 64
LARGEST_PIECE_ELSEWHERE = 2048


@torch.inference_mode()
def predict_logits(
    lowered: LoweredModel | PreparedModel, images: Tensor, precision: torch.dtype
) -> Tensor:
    """Return the logits of all images, float32 ``[N, K]``, on the model's device.

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
    """Cut ``count`` images into pieces of ``largest``, of an eighth of it, and so on down to 1.

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
