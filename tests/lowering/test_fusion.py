"""Fusing changes no value, and is left out where it is not possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.lowering import fusion
from cifarlab.lowering.folding import FoldedGraph
from cifarlab.lowering.fusion import Chain, FusedByShape, fused, fused_chains, is_chain
from cifarlab.lowering.model import lower
from lowering.inputs import functional

layers = keras.layers


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) * 2


X = torch.linspace(-1, 1, 12).view(3, 4)


def test_a_fused_form_gives_the_same() -> None:
    module = Doubling().eval()
    assert torch.allclose(fused(module, X)(X), module(X))


def test_pytorchs_setting_is_left_as_it_was() -> None:
    before = torch.jit.onednn_fusion_enabled()
    fused(Doubling().eval(), X)
    assert torch.jit.onednn_fusion_enabled() == before


def test_without_onednn_the_module_itself_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    module = Doubling().eval()
    assert fused(module, X) is module


def test_a_module_that_cannot_be_traced_is_returned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(torch.jit, "trace", fail)
    module = Doubling().eval()
    assert fused(module, X) is module


def test_a_form_that_gives_something_else_is_refused() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x * self.calls

    module = Counting().eval()
    assert fused(module, X) is module


# Signatures of inputs


def test_each_signature_of_input_has_a_form_of_its_own() -> None:
    doubling = FusedByShape(Doubling().eval())
    for x in (X, X.double(), X.t(), X[:2], X):
        assert torch.allclose(doubling(x), doubling.plain(x))
    assert len(doubling.forms) == 4


def test_forms_are_kept_for_few_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "MAX_FORMS", 2)
    doubling = FusedByShape(Doubling().eval())
    for count in (1, 2, 3):
        assert torch.allclose(doubling(X[:count]), doubling.plain(X[:count]))
    assert [shape[0] for shape, *_ in doubling.forms] == [1, 2]


def test_fusing_is_not_tried_again_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Tensor] = []

    def refuse(module: nn.Module, x: Tensor) -> nn.Module:
        tried.append(x)
        return module

    monkeypatch.setattr(fusion, "fused", refuse)
    doubling = FusedByShape(Doubling().eval())
    for _ in range(3):
        doubling(X)
    assert len(tried) == 1


# Chains


def graph_of(build: Callable[[Any], Any]) -> FoldedGraph:
    with torch.no_grad():
        return FoldedGraph(lower(functional(build, (8, 8, 3))).eval())


def lengths(graph: FoldedGraph) -> list[int]:
    """Return the number of links of each chain; 0 for single steps."""
    parts = fused_chains(graph).modules_in_order
    return [len(part.plain.links) if isinstance(part, FusedByShape) else 0 for part in parts]


def convolved(x: Any) -> Any:
    return layers.Conv2D(3, 3, padding="same")(x)


def test_a_sequence_is_one_chain() -> None:
    graph = graph_of(lambda x: layers.Flatten()(layers.Activation("relu")(convolved(x))))
    assert is_chain(graph)
    assert lengths(graph) == [3]


def test_a_value_that_is_used_twice_ends_a_chain() -> None:
    def build(x: Any) -> Any:
        first = layers.Activation("relu")(convolved(x))
        second = layers.Activation("relu")(convolved(first))
        return layers.Flatten()(layers.Activation("relu")(layers.Add()([second, first])))

    graph = graph_of(build)
    assert not is_chain(graph)
    assert lengths(graph) == [2, 2, 0, 2]


def test_a_layer_run_by_keras_is_in_no_chain() -> None:
    alone = layers.Conv2D(3, 3, activity_regularizer="l2")
    graph = graph_of(lambda x: convolved(alone(convolved(x))))
    assert not is_chain(graph)
    assert lengths(graph) == [1, 0, 1]


def test_chains_compute_what_the_graph_computes() -> None:
    def build(x: Any) -> Any:
        first = layers.Activation("gelu")(convolved(x))
        return layers.Add()([layers.BatchNormalization()(convolved(first)), first])

    graph = graph_of(build)
    x = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.allclose(fused_chains(graph)(x), graph(x), atol=1e-5)


def test_a_chain_calls_its_links_in_order() -> None:
    assert torch.equal(Chain([Doubling(), nn.Flatten(0)])(X), Doubling()(X).flatten())
