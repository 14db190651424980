"""Test-time augmentation: which copies, how they are weighted, and for which images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.lowering.model import lower
from cifarlab.lowering.predict import predict_logits
from cifarlab.lowering.tta import tta_logits
from cifarlab.recipes.parts import TestTimeAugmentation
from lowering.inputs import randomised

SIDE = 6


def lowered() -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((SIDE, SIDE, 3)), layers.Rescaling(0.01), layers.Flatten(), layers.Dense(3)]
    )
    return lower(randomised(model))


def some_images(count: int = 8) -> Tensor:
    values = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    return torch.from_numpy(values)


def by_hand(model: KerasModel, images: Tensor, *, mirror: bool, shift: int) -> Tensor:
    """The same average from NumPy's own padding."""

    def mean_logits(pixels: np.ndarray[Any, Any]) -> Tensor:
        copies = [pixels, pixels[:, :, ::-1]] if mirror else [pixels]
        logits = [
            predict_logits(model, torch.from_numpy(one.copy()), torch.float32) for one in copies
        ]
        return torch.stack(logits).mean(0)

    plain = mean_logits(images.numpy())
    if not shift:
        return plain
    edges = ((0, 0), (shift, shift), (shift, shift), (0, 0))
    wide = np.pad(images.numpy(), edges, mode="reflect")
    low, high = wide[:, :SIDE, :SIDE], wide[:, 2 * shift :, 2 * shift :]
    return (plain + (mean_logits(low) + mean_logits(high)) / 2) / 2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_the_copies_are_mirrored_and_shifted(mirror: bool, shift: int) -> None:
    model, images = lowered(), some_images()
    logits = tta_logits(
        model, images, TestTimeAugmentation(mirror=mirror, shift=shift), torch.float32
    )
    assert torch.allclose(logits, by_hand(model, images, mirror=mirror, shift=shift), atol=1e-5)


def test_images_that_are_not_square_and_grey_are_shifted_too() -> None:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((8, 20, 1)), layers.Rescaling(0.01), layers.Flatten(), layers.Dense(3)]
    )
    one = lower(randomised(model))
    values = np.random.default_rng(0).integers(0, 256, (5, 8, 20, 1), dtype=np.uint8)
    tta = TestTimeAugmentation(mirror=False, shift=7)
    logits = tta_logits(one, torch.from_numpy(values), tta, torch.float32)
    wide = np.pad(values, ((0, 0), (7, 7), (7, 7), (0, 0)), mode="reflect")
    copies = (values, wide[:, :8, :20], wide[:, 14:, 14:])
    plain, low, high = (
        predict_logits(one, torch.from_numpy(copy.copy()), torch.float32) for copy in copies
    )
    assert torch.allclose(logits, (plain + (low + high) / 2) / 2, atol=1e-5)


def test_a_mirrored_image_gets_the_same_answer() -> None:
    model, images = lowered(), some_images()
    tta = TestTimeAugmentation(mirror=True, shift=0)
    one, other = (tta_logits(model, x, tta, torch.float32) for x in (images, images.flip(2)))
    assert torch.allclose(one, other, atol=1e-6)


def test_only_the_least_certain_images_are_also_shifted() -> None:
    model, images = lowered(), some_images(12)
    plain, full = (by_hand(model, images, mirror=True, shift=shift) for shift in (0, 1))
    logits = tta_logits(model, images, TestTimeAugmentation(share=0.25), torch.float32)
    gap = plain.softmax(1).topk(2).values.diff(dim=1).abs().flatten()
    shifted = torch.zeros(12, dtype=torch.bool)
    shifted[gap.argsort()[:3]] = True
    assert torch.allclose(logits[shifted], full[shifted], atol=1e-5)
    assert torch.allclose(logits[~shifted], plain[~shifted], atol=1e-5)
