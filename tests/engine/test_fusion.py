"""Fusing changes nothing but time, and steps back where it cannot be had."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cifarlab.engine.fusion import fused


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


def test_what_cannot_be_traced_computes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
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
