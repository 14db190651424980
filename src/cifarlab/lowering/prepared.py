"""A lowered model prepared for prediction: fewer operations, some of them fused."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarlab.lowering.binding import to_keras_layout, to_torch_layout
from cifarlab.lowering.folding import FoldedGraph
from cifarlab.lowering.fusion import FusedByShape, fused_chains, is_chain
from cifarlab.lowering.graph import KerasModule, Steps
from cifarlab.lowering.model import LoweredModel


class PreparedModel:
    """Computes what the lowered model computes in evaluation mode, with a copy of its weights.

    Call it on ``[N, H, W, C]`` values with few different N, as ``predict.predict_logits`` does:
    its fused parts have a form for each.
    """

    def __init__(self, lowered: LoweredModel) -> None:
        self.device = lowered.device
        self.graph = FoldedGraph(lowered)
        self.keras_modules = tuple(m for m in self.graph.modules() if isinstance(m, KerasModule))
        # One chain where that is possible: for a single image, every call counts.
        self.compute = (
            FusedByShape(_KerasLayout(self.graph))
            if is_chain(self.graph)
            else _KerasLayout(fused_chains(self.graph))
        ).eval()

    def __call__(self, x: Tensor) -> Tensor:
        for module in self.keras_modules:
            module.added_losses.clear()
        return self.compute(x)  # type: ignore[no-any-return]


@torch.no_grad()
def prepare(lowered: LoweredModel) -> PreparedModel:
    """Return a copy of ``lowered`` that predicts faster and cannot be trained."""
    return PreparedModel(lowered.eval())


class _KerasLayout(nn.Module):
    def __init__(self, graph: Steps) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        return to_keras_layout(self.graph(to_torch_layout(x)))
