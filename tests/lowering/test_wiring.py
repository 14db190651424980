"""Preparing a model takes work in proportion to its layers, and wiring finds makers and users."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn

import cifarlab.lowering
from cifarlab.backend import KerasModel, keras
from cifarlab.lowering.folding import FoldedGraph
from cifarlab.lowering.fusion import fused_chains
from cifarlab.lowering.graph import Slot, Step, Steps
from cifarlab.lowering.model import lower
from cifarlab.lowering.wiring import Wiring

layers = keras.layers
LOWERING = str(Path(cifarlab.lowering.__file__).parent)


def lines_run(work: Callable[[], object]) -> int:
    """Return how many lines of ``cifarlab.lowering`` ran, passes through a loop included."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(LOWERING):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def residual(blocks: int) -> KerasModel:
    x = inputs = keras.Input((4, 4, 2))
    for _ in range(blocks):
        y = layers.BatchNormalization()(layers.Conv2D(2, 1, activation="relu")(x))
        y = layers.MaxPooling2D(1)(layers.BatchNormalization()(y))
        x = layers.Add()([x, layers.Rescaling(2.0)(y)])
    return keras.Model(inputs, x)


def dense(blocks: int) -> KerasModel:
    """Each value is used by two later layers, as in a DenseNet."""
    x = inputs = keras.Input((4, 4, 2))
    for _ in range(blocks):
        y = layers.Conv2D(2, 1)(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.Conv2D(2, 1)(layers.Concatenate()([x, y]))
    return keras.Model(inputs, x)


def chain(blocks: int) -> KerasModel:
    parts = [layers.Conv2D(2, 1), layers.BatchNormalization(), layers.Rescaling(0.5)]
    made = [type(part).from_config(part.get_config()) for _ in range(blocks) for part in parts]
    for number, layer in enumerate(made):
        layer.name = f"layer_{number}"
    return keras.Sequential([keras.Input((4, 4, 2)), *made])


def nested(blocks: int) -> KerasModel:
    return keras.Sequential([keras.Input((4, 4, 2)), *(residual(1) for _ in range(blocks))])


@pytest.mark.parametrize("build", [residual, dense, chain, nested])
def test_twice_the_layers_take_twice_the_work(build: Callable[[int], KerasModel]) -> None:
    def work(model: KerasModel) -> int:
        with torch.no_grad():
            return lines_run(lambda: fused_chains(FoldedGraph(lower(model).eval())))

    work(build(2))
    assert work(build(40)) < 2.1 * work(build(20))


def graph(*steps: tuple[tuple[int, ...], int], result: int) -> Steps:
    """Return a graph of steps, each given by the slots that it takes and the slot that it gives."""
    made = Steps()
    made.result = result
    for takes, gives in steps:
        args = tuple(Slot(index=slot) for slot in takes)
        made.steps.append(Step(module=0, args=args, kwargs={}, outputs=(gives,)))
    made.modules_in_order.append(nn.Identity())
    return made


def test_the_only_user_takes_that_value_alone() -> None:
    wiring = Wiring(graph(((0,), 1), ((1,), 2), ((2,), 3), ((2,), 4), ((3, 4), 5), result=5))
    assert [wiring.only_user(n) for n in range(5)] == [1, None, None, None, None]
    assert wiring.makers(4) == [2, 3]


def test_the_result_has_no_only_user() -> None:
    assert Wiring(graph(((0,), 1), ((1,), 2), result=1)).only_user(0) is None


def test_rewriting_keeps_users_and_makers() -> None:
    wiring = Wiring(graph(((0,), 1), ((1,), 2), ((2,), 3), result=3))
    wiring.remove(1)
    wiring.rewrite(0, Step(module=0, args=(Slot(index=0),), kwargs={}, outputs=(2,)))
    assert wiring.only_user(0) == 2
    assert wiring.makers(2) == [0]
    assert [step.outputs for step in wiring.in_order()] == [(2,), (3,)]


def test_a_step_before_a_rewritten_one_gets_another_chance() -> None:
    wiring = Wiring(graph(((0,), 1), ((1,), 2), ((2,), 3), result=3))
    asked: list[int] = []

    def change(number: int) -> tuple[int, ...]:
        asked.append(number)
        return (1,) if asked == [0, 1] else ()

    wiring.repeat(change)
    assert asked == [0, 1, 0, 1, 2]
