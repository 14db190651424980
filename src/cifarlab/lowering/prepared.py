"""A lowered model made ready to predict: fewer operations, fused ones, the same values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarlab.lowering.binding import to_engine_layout, to_keras_layout
from cifarlab.lowering.folding import FoldedGraph
from cifarlab.lowering.fusion import FusedByShape, fused_chains, is_chain
from cifarlab.lowering.graph import KerasModule, Steps
from cifarlab.lowering.model import LoweredModel


class PreparedModel:
    """Gives what the lowered model gives in evaluation, with its weights as they were then.

    Call it on ``[N, H, W, C]`` values, of few different N, as ``predict.predict_logits`` does: its
    fused parts have a form for each.
    """

    def __init__(self, lowered: LoweredModel) -> None:
        self.device = lowered.device
        self.graph = FoldedGraph(lowered)
        self.foreign = tuple(m for m in self.graph.modules() if isinstance(m, KerasModule))
        # All in one go where that is possible: for a single image, every call counts.
        self.compute = (
            FusedByShape(_KerasLayout(self.graph))
            if is_chain(self.graph)
            else _KerasLayout(fused_chains(self.graph))
        ).eval()

    def __call__(self, x: Tensor) -> Tensor:
        for module in self.foreign:
            module.added_losses.clear()
        return self.compute(x)  # type: ignore[no-any-return]


@torch.no_grad()
def prepare(lowered: LoweredModel) -> PreparedModel:
    """Return a form of ``lowered`` that predicts faster and cannot be trained."""
    return PreparedModel(lowered.eval())


class _KerasLayout(nn.Module):
    def __init__(self, graph: Steps) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        return to_keras_layout(self.graph(to_engine_layout(x)))
