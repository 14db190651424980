"""The ceiling benchmark counts the step's matrix work, no more and no less."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from benchmarks.ceiling import kernels, main
from cifarlab.models.airnet import airnet
from cifarlab.recipes.parts import Adam, ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.beginning import LoopOptions, start

SETTING = LoopOptions(
    device=torch.device("cpu"), precision=torch.float32, seed=0, checkpoints=Path(os.devnull)
)


def test_every_layer_with_a_kernel_is_counted_once() -> None:
    recipe = Recipe(
        name="x",
        summary="",
        model=ModelSpec(name="airnet"),
        epochs=1,
        batch_size=2,
        optimizers=(Adam(),),
        frozen=("whitening/kernel",),
    )
    state = start(airnet(widths=(4, 6, 8), whitening_bias=False), recipe, SETTING)
    listed = kernels(state, torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    assert [tuple(k.size) for k in listed] == [
        (2, 3, 32, 32),
        (2, 24, 31, 31),
        (2, 4, 15, 15),
        (2, 4, 15, 15),
        (2, 6, 7, 7),
        (2, 6, 7, 7),
        (2, 8, 3, 3),
        (2, 8),
    ]
    # Nothing before the second convolution is trained, so no gradient goes back through it.
    assert [k.passes_back for k in listed] == [False, False, True, True, True, True, True, True]


def test_json_has_the_promised_shape(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--models", "baseline", "--batch-size", "4", "--steps", "2", "--rounds", "1"]
    assert main([*arguments, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["models"]["baseline"]
    assert figures["kernel_seconds"] > 0
    assert figures["fraction_of_ceiling"] > 0
    assert figures["images_per_second"] == pytest.approx(4 / figures["step_seconds"])
