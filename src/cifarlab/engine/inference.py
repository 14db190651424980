"""A lowered model made ready to predict: fewer operations, fused ones, the same values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cifarlab.engine.binding import to_engine_layout, to_keras_layout
from cifarlab.engine.folding import FoldedGraph
from cifarlab.engine.fusion import Function, fused
from cifarlab.engine.graph import AsItself
from cifarlab.engine.lowering import LoweredModel

Kind = tuple[torch.Size, torch.dtype]
# Each holds a copy of the weights, in the order in which it computes.
MOST_FORMS = 16


class PreparedModel:
    """Gives what the lowered model gives in evaluation, with its weights as they were then.

    Call it on ``[N, H, W, C]`` values. Where its layers form a chain, each shape gets a fused form
    of its own, which takes a moment to make, so use few of them, as ``step.predict_logits`` does.
    """

    def __init__(self, lowered: LoweredModel) -> None:
        self.device = lowered.device
        self.graph = FoldedGraph(lowered)
        self.plain = _KerasLayout(self.graph).eval()
        self.foreign = tuple(m for m in self.graph.modules() if isinstance(m, AsItself))
        # Where a value is used twice, PyTorch's search for what to fuse may never end.
        self.most_forms = MOST_FORMS if self.graph.is_chain else 0
        self.forms: dict[Kind, Function] = {}

    def __call__(self, x: Tensor) -> Tensor:
        if self.foreign:
            for module in self.foreign:
                module.added_losses.clear()
            return self.plain(x)  # type: ignore[no-any-return]
        x = x.contiguous()
        kind = (x.shape, x.dtype)
        if kind not in self.forms and len(self.forms) < self.most_forms:
            self.forms[kind] = fused(self.plain, x)
        return self.forms.get(kind, self.plain)(x)


@torch.no_grad()
def prepare(lowered: LoweredModel) -> PreparedModel:
    """Return a form of ``lowered`` that predicts faster and cannot be trained."""
    return PreparedModel(lowered.eval())


class _KerasLayout(nn.Module):
    def __init__(self, graph: FoldedGraph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, x: Tensor) -> Tensor:
        return to_keras_layout(self.graph(to_engine_layout(x)))
