"""A prepared model has a fused form for each shape, of the same values."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cifarlab.backend import keras
from cifarlab.engine import inference
from cifarlab.engine.inference import PreparedModel, prepare
from cifarlab.engine.lowering import lower
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline
from engine.inputs import functional, randomised
from engine.parity import assert_close

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


def kind(x: torch.Tensor) -> inference.Kind:
    return x.shape, x.dtype


def test_an_answer_is_the_same_each_time_it_is_asked_for(small: PreparedModel) -> None:
    with torch.inference_mode():
        first, *others = (small(images(2)) for _ in range(4))
    assert all(torch.equal(first, other) for other in others)


def test_this_machine_fuses(small: PreparedModel) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("PyTorch without oneDNN")
    with torch.inference_mode():
        small(images(2))
        assert small.forms[kind(images(2))] is not small.plain


def test_what_cannot_be_fused_is_not_tried_again(
    small: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[torch.Tensor] = []

    def refuse(module: Any, x: torch.Tensor) -> Any:
        tried.append(x)
        return module

    monkeypatch.setattr(inference, "fused", refuse)
    with torch.inference_mode():
        for _ in range(4):
            small(images(2))
    assert len(tried) == 1


def test_whole_numbers_and_fractions_have_forms_of_their_own(small: PreparedModel) -> None:
    with torch.inference_mode():
        for x in [images(2).float(), images(2)] * 3:
            assert_close(small(x), small.plain(x), 2e-5)
    assert len(small.forms) == 2


def test_a_mirrored_view_is_as_good_as_a_copy(small: PreparedModel) -> None:
    with torch.inference_mode():
        for _ in range(3):
            mirrored = images(2).flip(2)
            assert_close(small(mirrored), small.plain(mirrored), 2e-5)


def test_a_value_that_is_used_twice_is_not_fused() -> None:
    # PyTorch 2.13 would look for what to fuse here for ever.
    def build(x: Any) -> Any:
        convolved = layers.Conv2D(3, 3, padding="same")(x)
        return layers.Add()([layers.BatchNormalization()(convolved), convolved])

    prepared = prepare(lower(functional(build, (8, 8, 3))))
    with torch.inference_mode():
        prepared(images(2, 8))
    assert prepared.forms == {}


def test_forms_are_kept_for_few_shapes(small: PreparedModel) -> None:
    small.most_forms = 2
    with torch.inference_mode():
        for count in (1, 2, 3):
            small(images(count))
    assert [shape[0] for shape, _ in small.forms] == [1, 2]


def test_layers_that_run_as_themselves_are_never_traced() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, activity_regularizer="l2"), layers.Flatten()]
    )
    prepared = prepare(lower(model))
    with torch.inference_mode():
        for _ in range(3):
            prepared(images(2, 8))
    assert prepared.forms == {}
    # Losses that they add do not pile up.
    assert [len(module.added_losses) for module in prepared.foreign] == [1]
