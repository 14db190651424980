"""The optimizer's update in one pass over the weights, where PyTorch has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from cifarlab.backend import keras

# Exactly these: a subclass of the user's may compute anything.
ADAM = ("keras.src.backend.torch.optimizers.torch_adam", "Adam")
ADAMW = ("keras.src.backend.torch.optimizers.torch_adamw", "AdamW")
# Settings that Keras's own ``apply`` follows.
LEFT_TO_KERAS = (
    "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "loss_scale_factor",
    "gradient_accumulation_steps", "amsgrad",
)  # fmt: skip


@torch.no_grad()
def apply(optimizer: Any, gradients: Sequence[Tensor | None], weights: Sequence[Any]) -> None:
    """Do what ``optimizer.apply(gradients, weights)`` does.

    Args:
        optimizer: any Keras optimizer, built.
        gradients: in Keras's layout.
        weights: Keras variables.
    """
    there = [gradient for gradient in gradients if gradient is not None]
    if len(there) == len(weights) and _is_plain_adam(optimizer, weights):
        _fused_adam(optimizer, [gradient.contiguous() for gradient in there], weights)
    else:
        optimizer.apply(gradients, weights)


def _is_plain_adam(optimizer: Any, weights: Sequence[Any]) -> bool:
    kind = type(optimizer)
    if (kind.__module__, kind.__name__) not in (ADAM, ADAMW) or not optimizer.built:
        return False
    if any(getattr(optimizer, name) for name in LEFT_TO_KERAS):
        return False
    return all(
        weight.constraint is None
        and not weight.overwrite_with_gradient
        and weight.value.device.type == "cpu"
        and weight.value.is_contiguous()
        for weight in weights
    )


def _fused_adam(optimizer: Any, gradients: list[Tensor], weights: Sequence[Any]) -> None:
    step, rate = (
        int(optimizer.iterations),
        float(keras.ops.cast(optimizer.learning_rate, "float32")),
    )
    indices = [optimizer._get_variable_index(weight) for weight in weights]
    values = [weight.value for weight in weights]
    if optimizer.weight_decay is not None:
        decayed = [w.value for w in weights if optimizer._use_weight_decay(w)]
        torch._foreach_mul_(decayed, 1.0 - rate * optimizer.weight_decay)
    # Keras adds epsilon before it corrects the bias of the second moment, PyTorch after it.
    correction = math.sqrt(1.0 - optimizer.beta_2 ** (step + 1))
    adam(
        values,
        gradients,
        [optimizer._momentums[i].value for i in indices],
        [optimizer._velocities[i].value for i in indices],
        [],
        list(torch.full((len(values),), float(step)).unbind()),
        fused=True,
        amsgrad=False,
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        lr=rate,
        weight_decay=0.0,
        eps=optimizer.epsilon / correction,
        maximize=False,
    )
    optimizer._iterations.assign_add(1)
