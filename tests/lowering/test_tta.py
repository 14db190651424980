"""Several looks at an image: which ones, how they are weighted, and for which images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cifarlab.backend import keras
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


def by_hand(model: Any, images: Tensor, mirror: bool, shift: int) -> Tensor:
    """The same average from NumPy's own padding."""

    def look(view: np.ndarray[Any, Any]) -> Tensor:
        ways = [view, view[:, :, ::-1]] if mirror else [view]
        logits = [
            predict_logits(model, torch.from_numpy(way.copy()), torch.float32) for way in ways
        ]
        return torch.stack(logits).mean(0)

    plain = look(images.numpy())
    if not shift:
        return plain
    edges = ((0, 0), (shift, shift), (shift, shift), (0, 0))
    wide = np.pad(images.numpy(), edges, mode="reflect")
    low, high = wide[:, :SIDE, :SIDE], wide[:, 2 * shift :, 2 * shift :]
    return (plain + (look(low) + look(high)) / 2) / 2


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2])
def test_the_views_are_mirrored_and_shifted_images(mirror: bool, shift: int) -> None:
    model, images = lowered(), some_images()
    found = tta_logits(
        model, images, TestTimeAugmentation(mirror=mirror, shift=shift), torch.float32
    )
    assert torch.allclose(found, by_hand(model, images, mirror, shift), atol=1e-5)


def test_a_mirrored_image_gets_the_same_answer() -> None:
    model, images = lowered(), some_images()
    tta = TestTimeAugmentation(mirror=True, shift=0)
    one, other = (tta_logits(model, x, tta, torch.float32) for x in (images, images.flip(2)))
    assert torch.allclose(one, other, atol=1e-6)


def test_only_the_least_sure_get_the_shifted_views() -> None:
    model, images = lowered(), some_images(12)
    plain, full = (by_hand(model, images, True, shift) for shift in (0, 1))
    found = tta_logits(model, images, TestTimeAugmentation(share=0.25), torch.float32)
    gap = plain.softmax(1).topk(2).values.diff(dim=1).abs().flatten()
    shifted = torch.zeros(12, dtype=torch.bool)
    shifted[gap.argsort()[:3]] = True
    assert torch.allclose(found[shifted], full[shifted], atol=1e-5)
    assert torch.allclose(found[~shifted], plain[~shifted], atol=1e-5)
