"""Randomness as a pure function of (seed, epoch, step).

There is no state here, so a resumed run needs no saved generator state and draws exactly
what the uninterrupted run would have drawn.
"""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *path: int | str) -> int:
    """Mix ``seed`` with a path such as ``("step", epoch, step)`` into an integer below 2**63.

    Example:
        >>> derive(0, "step", 1, 2) == derive(0, "step", 1, 2) != derive(0, "step", 2, 1)
        True
    """
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *path: int | str) -> torch.Generator:
    """Return a CPU generator seeded with ``derive(seed, *path)``."""
    return torch.Generator().manual_seed(derive(seed, *path))


def seed_global(seed: int, device: torch.device) -> None:
    """Seed the default generators of ``device``, which operations without their own draw from."""
    if device.type == "cpu":
        # torch.manual_seed also visits devices that are absent, which takes longer than a layer.
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def permutation(count: int, seed: int, epoch: int) -> torch.Tensor:
    """Return the order in which an epoch visits ``count`` images, int64 ``[count]``."""
    return torch.randperm(count, generator=generator(seed, "order", epoch))
