"""The update in one pass gives what Keras's own update gives, or leaves it to Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cifarlab.backend import keras
from cifarlab.fitting import updates

optimizers = keras.optimizers

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")

SHAPES = ((3, 3, 2, 4), (5,), (7, 3))
# Whether PyTorch does it in one pass.
CASES: dict[str, tuple[Callable[[], Any], bool]] = {
    "Adam": (lambda: optimizers.Adam(0.01), True),
    "large epsilon": (lambda: optimizers.Adam(0.01, epsilon=0.5), True),
    "betas": (lambda: optimizers.Adam(0.01, beta_1=0.3, beta_2=0.6), True),
    "decay": (lambda: optimizers.Adam(0.01, weight_decay=0.2), True),
    "AdamW": (lambda: optimizers.AdamW(0.01, weight_decay=0.1), True),
    "schedule": (
        lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)), True
    ),
    "function": (lambda: optimizers.Adam(lambda: 0.02), True),
    "amsgrad": (lambda: optimizers.Adam(0.01, amsgrad=True), False),
    "clipped": (lambda: optimizers.Adam(0.01, clipnorm=0.1), False),
    "averaged": (lambda: optimizers.Adam(0.01, use_ema=True), False),
    "accumulated": (lambda: optimizers.Adam(0.01, gradient_accumulation_steps=2), False),
    "SGD": (lambda: optimizers.SGD(0.01, momentum=0.9), False),
}  # fmt: skip


def gradients(step: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def results(apply: Callable[[Any, Any, Any], None], make: Callable[[], Any]) -> list[np.ndarray]:
    weights = [keras.Variable(np.ones(shape, "float32")) for shape in SHAPES]
    optimizer = make()
    optimizer.exclude_from_weight_decay(var_list=weights[1:2])
    optimizer.build(weights)
    for step in range(5):
        # Not contiguous, as the gradient of a transposed weight.
        apply(optimizer, [g.clone().mT.contiguous().mT if g.ndim > 1 else g
                          for g in gradients(step)], weights)  # fmt: skip
    return [np.array(v.numpy()) for v in (*weights, *optimizer.variables)]


@pytest.mark.parametrize("case", CASES)
def test_weights_and_variables_are_those_of_keras(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, in_one_pass = CASES[case]
    own = results(lambda optimizer, g, w: optimizer.apply(g, w), make)
    calls = []
    fused = updates._fused_adam
    monkeypatch.setattr(updates, "_fused_adam", lambda *args: (calls.append(1), fused(*args)))
    mine = results(updates.apply, make)
    assert len(calls) == (5 if in_one_pass else 0)
    for a, b in zip(mine, own, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_subclass_and_a_constraint_are_left_to_keras() -> None:
    class Own(optimizers.Optimizer):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, _: Any) -> None:
            variable.assign(gradient * 0.0 + 7.0)

    weight = keras.Variable(np.ones(3, "float32"))
    updates.apply(Own(0.1), [torch.ones(3)], [weight])
    assert weight.numpy().tolist() == [7.0] * 3
    weight.constraint = keras.constraints.NonNeg()
    updates.apply(optimizers.Adam(9.0), [torch.ones(3)], [weight])
    assert weight.numpy().tolist() == [0.0] * 3


def test_a_missing_gradient_warns_as_in_keras() -> None:
    weights = [keras.Variable(np.ones(3, "float32"), name=f"w{i}") for i in range(2)]
    optimizer = optimizers.Adam()
    optimizer.build(weights)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        updates.apply(optimizer, [torch.ones(3), None], weights)
    assert weights[1].numpy().tolist() == [1.0] * 3
