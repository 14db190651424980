"""A prepared model gives the same values as the lowered one, for every shape."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cifarlab.backend import keras
from cifarlab.lowering.model import lower
from cifarlab.lowering.prepared import PreparedModel, prepare
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline
from lowering.inputs import randomised
from lowering.parity import assert_close

layers = keras.layers


def images(count: int, side: int = 32) -> torch.Tensor:
    draws = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, side, side, 3), generator=draws, dtype=torch.uint8)


@pytest.fixture
def small() -> PreparedModel:
    return prepare(lower(randomised(airnet(widths=(4, 6, 8)))))


@pytest.mark.parametrize("build", [baseline, lambda: airnet(widths=(4, 6, 8), activation="silu")])
def test_every_shape_gives_the_same_as_the_lowered_model(build: Any) -> None:
    lowered = lower(randomised(build()))
    prepared = prepare(lowered)
    with torch.inference_mode():
        for count in (1, 4):
            for _ in range(4):
                x = images(count)
                assert_close(prepared(x), lowered(x), 2e-5)


def test_repeated_predictions_are_the_same(small: PreparedModel) -> None:
    with torch.inference_mode():
        first, *others = (small(images(2)) for _ in range(4))
    assert all(torch.equal(first, other) for other in others)


def test_integers_and_floats_give_the_same(small: PreparedModel) -> None:
    with torch.inference_mode():
        for _ in range(2):
            assert_close(small(images(2).float()), small(images(2)), 2e-5)


def test_a_non_contiguous_input_gives_the_same_as_a_copy(small: PreparedModel) -> None:
    with torch.inference_mode():
        for strided in (images(2).flip(2), images(2).transpose(1, 2)):
            assert_close(small(strided), small(strided.contiguous()), 2e-5)


def test_the_residual_network_gives_the_same() -> None:
    # Parts of it are fused.
    lowered = lower(randomised(airnet(widths=(4, 6, 8), depth=3, residual=True)))
    prepared = prepare(lowered)
    with torch.inference_mode():
        for count in (1, 4, 4):
            assert_close(prepared(images(count)), lowered(images(count)), 2e-5)


def test_losses_that_layers_add_do_not_accumulate() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, activity_regularizer="l2"), layers.Flatten()]
    )
    prepared = prepare(lower(model))
    with torch.inference_mode():
        for _ in range(3):
            prepared(images(2, 8))
    assert [len(module.added_losses) for module in prepared.keras_modules] == [1]
