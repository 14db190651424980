"""The folded graph computes what the lowered model computes, with fewer operations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.backend import KerasModel, keras
from cifarlab.lowering.folding import FoldedConvolution, FoldedDense
from cifarlab.lowering.layers import Apply, Flatten
from cifarlab.lowering.model import LoweredModel, lower
from cifarlab.lowering.pooling import MaxPooling
from cifarlab.lowering.prepared import prepare
from cifarlab.lowering.weighted_layers import BatchNormalization, Rescaling
from cifarlab.models.airnet import airnet
from cifarlab.models.baseline import baseline
from lowering.inputs import functional, randomised, some_images
from lowering.parity import assert_close
from lowering.strategies import QUICK, model_from

layers = keras.layers

# Warnings of Keras, about NumPy 2 and about the unusual models that are drawn here.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__:DeprecationWarning", "ignore:You are using a softmax:UserWarning"
)


def assert_prepares_exactly(model: KerasModel, x: torch.Tensor | None = None) -> Any:
    lowered: LoweredModel = lower(model)
    x = some_images(model) if x is None else x
    with torch.inference_mode():
        prepared = prepare(lowered)
        assert_close(prepared(x), lowered(x), 2e-5)
    return prepared


def module_types(prepared: Any) -> list[type]:
    return [type(prepared.graph.modules_in_order[step.module]) for step in prepared.graph.steps]


@QUICK
@given(st.data())
def test_any_model_gives_the_same_values(data: Any) -> None:
    assert_prepares_exactly(model_from(data.draw))


def images(side: int = 32) -> torch.Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, side, side, 3), generator=draws, dtype=torch.uint8)


@pytest.mark.parametrize("residual", [False, True])
def test_airnet_has_only_convolutions_sums_and_activations(residual: bool) -> None:
    depth = 3 if residual else 2
    model = randomised(airnet(widths=(4, 6, 8), depth=depth, residual=residual))
    types = module_types(assert_prepares_exactly(model, images()))
    assert not {BatchNormalization, Rescaling} & set(types)
    assert types.count(FoldedConvolution) == 1 + 3 * depth


def test_the_baseline_has_only_layers_and_poolings() -> None:
    prepared = assert_prepares_exactly(randomised(baseline()), images())
    block = [FoldedConvolution, MaxPooling]
    assert module_types(prepared) == [*block, *block, Flatten, FoldedDense, FoldedDense]


def sequential(*parts: Any, side: int = 8) -> Any:
    return keras.Sequential([keras.Input((side, side, 3)), *parts])


def test_a_negative_factor_is_not_folded_through_a_maximum() -> None:
    model = sequential(layers.Conv2D(2, 3), layers.MaxPooling2D(), layers.BatchNormalization())
    norm = model.layers[-1]
    norm.gamma.assign([0.5, -0.5])
    assert BatchNormalization in module_types(assert_prepares_exactly(model, images(8)))
    norm.gamma.assign([0.5, 0.5])
    assert BatchNormalization not in module_types(assert_prepares_exactly(model, images(8)))


def test_pooling_comes_before_a_monotonic_normalisation() -> None:
    model = sequential(
        layers.Conv2D(2, 3, activation="silu"), layers.BatchNormalization(), layers.MaxPooling2D()
    )
    norm = model.layers[1]
    norm.gamma.assign([0.5, -0.5])
    order = [FoldedConvolution, BatchNormalization, MaxPooling]
    assert module_types(assert_prepares_exactly(model, images(8))) == order
    norm.gamma.assign([0.5, 0.5])
    order = [FoldedConvolution, MaxPooling, BatchNormalization]
    assert module_types(assert_prepares_exactly(model, images(8))) == order


@pytest.mark.parametrize("pooled", [True, False])
def test_a_normalisation_is_folded_through_a_relu_if_it_is_monotonic(pooled: bool) -> None:
    pooling = [layers.MaxPooling2D()] if pooled else []
    model = sequential(
        layers.Conv2D(2, 3, activation="relu"), *pooling, layers.BatchNormalization()
    )
    norm = randomised(model).layers[-1]
    norm.gamma.assign([0.5, 1.5])
    norm.beta.assign([1.0, -1.0])
    types = module_types(assert_prepares_exactly(model, images(8)))
    assert types == [FoldedConvolution, *[MaxPooling] * pooled]
    norm.gamma.assign([0.5, -0.5])
    assert module_types(assert_prepares_exactly(model, images(8)))[-1] is BatchNormalization


def test_a_normalisation_after_a_dense_relu_is_folded_into_it() -> None:
    model = sequential(
        layers.Rescaling(1 / 255),
        layers.Flatten(),
        layers.Dense(4, activation="relu"),
        layers.BatchNormalization(),
        layers.Activation("tanh"),
    )
    types = module_types(assert_prepares_exactly(randomised(model), images(8)))
    assert types == [Flatten, FoldedDense, Apply]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("use_bias", [True, False])
def test_a_normalisation_between_convolutions_is_folded_into_one_of_them(
    padding: str, strides: int, use_bias: bool
) -> None:
    convolution = layers.Conv2D(4, 3, strides, padding, use_bias=use_bias, activation="relu")
    first = layers.Conv2D(3, 3, activation="relu")
    model = randomised(sequential(first, layers.BatchNormalization(), convolution))
    prepared = assert_prepares_exactly(model, images(8))
    assert module_types(prepared) == [FoldedConvolution, FoldedConvolution]


@pytest.mark.parametrize("flatten", [True, False])
def test_scaling_is_folded_into_a_dense_layer(flatten: bool) -> None:
    between = [layers.Flatten()] if flatten else []
    scaling = layers.Rescaling([0.5, 0.1, 2.0], [0.1, -1.0, 0.0])
    model = randomised(sequential(scaling, *between, layers.Dense(4), layers.Flatten()))
    assert module_types(assert_prepares_exactly(model, images(8)))[-2:] == [FoldedDense, Flatten]
    assert Rescaling not in module_types(assert_prepares_exactly(model, images(8)))


def test_two_consecutive_scalings_are_folded_into_one_layer() -> None:
    model = sequential(layers.Rescaling(0.5, 1.0), layers.Rescaling(2.0), layers.Conv2D(2, 3))
    assert module_types(assert_prepares_exactly(model, images(8))) == [FoldedConvolution]


def test_a_layer_that_turns_integers_into_floats_stays() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3), dtype="uint8"), layers.Rescaling(0.5), layers.Conv2D(2, 3)]
    )
    assert module_types(assert_prepares_exactly(model, images(8))) == [Rescaling, FoldedConvolution]


def test_a_value_with_two_users_is_not_folded() -> None:
    def build(x: Any) -> Any:
        convolved = layers.Conv2D(3, 3, padding="same")(x)
        return layers.Add()([layers.BatchNormalization()(convolved), convolved])

    prepared = assert_prepares_exactly(randomised(functional(build, (8, 8, 3))), images(8))
    assert BatchNormalization in module_types(prepared)


def test_a_grouped_convolution_takes_no_scaling_of_its_inputs() -> None:
    model = sequential(layers.Rescaling(0.5, 1.0), layers.DepthwiseConv2D(3, padding="same"))
    assert module_types(assert_prepares_exactly(randomised(model), images(8)))[0] is Rescaling


def test_a_convolution_used_twice_is_folded_for_each_use() -> None:
    shared = layers.Conv2D(3, 3, padding="same")

    def build(x: Any) -> Any:
        once = layers.BatchNormalization()(shared(x))
        return layers.BatchNormalization()(shared(once))

    prepared = assert_prepares_exactly(randomised(functional(build, (8, 8, 3))), images(8))
    assert module_types(prepared) == [FoldedConvolution, FoldedConvolution]


def test_nested_models_are_folded_too() -> None:
    inner = sequential(layers.Rescaling(1 / 255), layers.Conv2D(3, 3), layers.BatchNormalization())
    model = randomised(sequential(inner, layers.Flatten()))
    prepared = assert_prepares_exactly(model, images(8))
    (nested,) = (m for m in prepared.graph.modules_in_order if hasattr(m, "modules_in_order"))
    assert [type(m) for m in nested.modules_in_order] == [FoldedConvolution]


def test_the_model_that_trains_is_left_as_it_was() -> None:
    lowered = lower(randomised(airnet(widths=(4, 6, 8))))
    before = {name: value.clone() for name, value in lowered.state_dict().items()}
    steps = list(lowered.steps)
    prepare(lowered)
    assert lowered.steps == steps
    after = lowered.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in lowered.parameters())
