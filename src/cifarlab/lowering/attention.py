"""Keras's MultiHeadAttention as plain matrix products.

PyTorch's own ``scaled_dot_product_attention`` takes seven times as long in bfloat16 on a CPU,
forward and backward, for the short sequences that small images are (docs/log.md).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cifarlab.lowering.binding import Layout, LoweredLayer


class MultiHeadAttention(LoweredLayer):
    """Attention of ``[N, T, width]`` to ``[N, S, width]``, in several heads.

    The heads' dropout draws what Keras draws: it has Keras's shape.
    """

    output_kernel: Tensor
    output_bias: Tensor | None

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.heads, self.scale = layer._num_heads, float(layer._inverse_sqrt_key_dim)
        self.rate = float(layer._dropout)
        parts = {
            "query": layer._query_dense, "key": layer._key_dense, "value": layer._value_dense,
        }  # fmt: skip
        for name, dense in parts.items():
            self.bind(f"{name}_kernel", dense.kernel, _into_heads(self.heads))
            self.bind(f"{name}_bias", dense.bias, _bias_of_heads(self.heads))
        self.bind("output_kernel", layer._output_dense.kernel, _out_of_heads(self.heads))
        self.bind("output_bias", layer._output_dense.bias)

    def forward(self, query: Tensor, value: Tensor, key: Tensor | None = None) -> Tensor:
        key = value if key is None else key
        if query is key is value:
            queries, keys, values = self._projected_at_once(query)
        else:
            queries = self._projected(query, "query")
            keys, values = self._projected(key, "key"), self._projected(value, "value")
        # In Keras's order, which decides the rounding.
        scores = (queries * self.scale) @ keys.transpose(-2, -1)
        weights = F.softmax(scores, dim=-1)
        if self.training and self.rate > 0:
            weights = F.dropout(weights, self.rate, True)
        attended = (weights @ values).transpose(1, 2).flatten(2)
        return F.linear(attended, self.output_kernel, self.output_bias)

    def _projected(self, x: Tensor, name: str) -> Tensor:
        return self._apart(
            F.linear(x, getattr(self, f"{name}_kernel"), getattr(self, f"{name}_bias"))
        )

    def _apart(self, x: Tensor) -> Tensor:
        """Return ``[N, T, heads * size]`` as ``[N, heads, T, size]``."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _projected_at_once(self, x: Tensor) -> list[Tensor]:
        """Return queries, keys and values of the same input by one product."""
        names = ("query", "key", "value")
        kernels = [getattr(self, f"{name}_kernel") for name in names]
        biases = [getattr(self, f"{name}_bias") for name in names]
        bias = None if biases[0] is None else torch.cat(biases)
        together = F.linear(x, torch.cat(kernels), bias)
        parts = torch.split(together, [len(kernel) for kernel in kernels], dim=-1)  # type: ignore[no-untyped-call]
        return [self._apart(part) for part in parts]


def _into_heads(heads: int) -> Layout:
    """Keras's ``[width, heads, size]`` as ``[heads * size, width]``."""
    return Layout(
        to_torch=lambda w: w.reshape(w.shape[0], -1).t(),
        to_keras=lambda w: w.t().reshape(w.shape[1], heads, -1),
    )


def _bias_of_heads(heads: int) -> Layout:
    return Layout(to_torch=lambda b: b.reshape(-1), to_keras=lambda b: b.reshape(heads, -1))


def _out_of_heads(heads: int) -> Layout:
    """Keras's ``[heads, size, width]`` as ``[width, heads * size]``."""
    return Layout(
        to_torch=lambda w: w.reshape(-1, w.shape[-1]).t(),
        to_keras=lambda w: w.t().reshape(heads, -1, w.shape[0]),
    )


def multi_head_attention(layer: Any) -> LoweredLayer | None:
    dense = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
    plain = (
        tuple(layer._attention_axes) == (1,)
        and layer._output_dense.kernel.ndim == 3
        and not getattr(layer, "_use_gate", False)
        and not layer._flash_attention
        and type(layer)._compute_attention.__module__.startswith("keras.")
        and all(part.quantization_mode is None for part in dense)
        and not any(getattr(part, "lora_enabled", False) for part in dense)
        and 0.0 <= layer._dropout < 1.0
    )
    return MultiHeadAttention(layer) if plain else None
