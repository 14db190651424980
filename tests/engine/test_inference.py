"""The form that predicts gives what the form that trains gives, with fewer operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.backend import keras
from cifarlab.engine.inference import PreparedConvolution, prepare
from cifarlab.engine.layers import Apply, MaxPooling
from cifarlab.engine.lowering import LoweredModel, lower
from cifarlab.engine.weighted_layers import BatchNormalization
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline
from engine.inputs import functional, pictures, randomised
from engine.parity import assert_close
from engine.strategies import QUICK, model_from

layers = keras.layers

# Keras's own, about NumPy 2 and about the odd models that are drawn here.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__:DeprecationWarning", "ignore:You are using a softmax:UserWarning"
)


def assert_prepares_exactly(model: Any, x: torch.Tensor | None = None) -> Any:
    lowered: LoweredModel = lower(model)
    x = pictures(model) if x is None else x
    with torch.inference_mode():
        prepared = prepare(lowered)
        assert_close(prepared(x), lowered(x), 2e-5)
    return prepared


def kinds(prepared: Any) -> list[type]:
    return [type(prepared.graph.modules_in_order[step.module]) for step in prepared.graph.steps]


@QUICK
@given(st.data())
def test_any_model_gives_the_same_values(data: Any) -> None:
    assert_prepares_exactly(model_from(data.draw))


def images(side: int = 32) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, side, side, 3), generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize("residual", [False, True])
def test_the_record_network_keeps_no_normalisation_but_before_sums(residual: bool) -> None:
    depth = 3 if residual else 2
    model = randomised(airnet(widths=(4, 6, 8), depth=depth, residual=residual))
    prepared = assert_prepares_exactly(model, images())
    assert BatchNormalization not in kinds(prepared)
    assert kinds(prepared).count(PreparedConvolution) == 1 + 3 * depth


def test_the_baseline_normalises_after_its_activation_so_it_stays() -> None:
    prepared = assert_prepares_exactly(randomised(baseline()), images())
    assert kinds(prepared).count(BatchNormalization) == 2
    assert kinds(prepared).count(PreparedConvolution) == 2


def test_a_negative_factor_is_not_folded_through_a_maximum() -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(2, 3),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
        ]
    )
    norm = model.layers[-1]
    norm.gamma.assign([0.5, -0.5])
    assert BatchNormalization in kinds(assert_prepares_exactly(model, images(8)))
    norm.gamma.assign([0.5, 0.5])
    assert BatchNormalization not in kinds(assert_prepares_exactly(model, images(8)))


def test_pooling_comes_before_a_normalisation_that_turns_no_value_round() -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
        ]
    )
    norm = model.layers[1]
    norm.gamma.assign([0.5, -0.5])
    order = [PreparedConvolution, BatchNormalization, MaxPooling]
    assert kinds(assert_prepares_exactly(model, images(8))) == order
    norm.gamma.assign([0.5, 0.5])
    order = [PreparedConvolution, MaxPooling, BatchNormalization]
    assert kinds(assert_prepares_exactly(model, images(8))) == order


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
def test_an_activation_is_applied_with_the_convolution_where_the_library_can(
    activation: str,
) -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Activation(activation),
        ]
    )
    prepared = assert_prepares_exactly(randomised(model), images(8))
    assert kinds(prepared) == [PreparedConvolution] + [Apply] * (activation == "tanh")


def test_what_somebody_else_uses_too_is_not_folded() -> None:
    def build(x: Any) -> Any:
        convolved = layers.Conv2D(3, 3, padding="same")(x)
        return layers.Add()([layers.BatchNormalization()(convolved), convolved])

    prepared = assert_prepares_exactly(randomised(functional(build, (8, 8, 3))), images(8))
    assert BatchNormalization in kinds(prepared)


def test_a_convolution_used_twice_is_prepared_for_each_use() -> None:
    shared = layers.Conv2D(3, 3, padding="same")

    def build(x: Any) -> Any:
        once = layers.BatchNormalization()(shared(x))
        return layers.BatchNormalization()(shared(once))

    prepared = assert_prepares_exactly(randomised(functional(build, (8, 8, 3))), images(8))
    assert kinds(prepared) == [PreparedConvolution, PreparedConvolution]


def test_nested_models_are_prepared_too() -> None:
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(3, 3), layers.BatchNormalization()]
    )
    outer = keras.Sequential([keras.Input((8, 8, 3)), inner, layers.Flatten()])
    prepared = assert_prepares_exactly(randomised(outer), images(8))
    (nested,) = (m for m in prepared.graph.modules_in_order if hasattr(m, "modules_in_order"))
    assert [type(m) for m in nested.modules_in_order] == [PreparedConvolution]


def test_without_the_special_operations_the_plain_ones_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    prepared = assert_prepares_exactly(randomised(airnet(widths=(4, 6, 8))), images())
    assert not prepared.graph.modules_in_order[1].kernel.is_mkldnn


def test_the_model_that_trains_is_left_as_it_was() -> None:
    lowered = lower(randomised(airnet(widths=(4, 6, 8))))
    before = {name: value.clone() for name, value in lowered.state_dict().items()}
    steps = list(lowered.steps)
    prepare(lowered)
    assert lowered.steps == steps
    after = lowered.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in lowered.parameters())


def test_losses_that_layers_add_do_not_pile_up() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, activity_regularizer="l2"), layers.Flatten()]
    )
    prepared = assert_prepares_exactly(model, images(8))
    with torch.inference_mode():
        for _ in range(3):
            prepared(images(8))
    assert [len(module.added_losses) for module in prepared.foreign] == [1]
