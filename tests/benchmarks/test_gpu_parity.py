"""The parity part finds what one device computes otherwise, whatever else goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu import parity
from benchmarks.gpu.parity import (
    EXAMPLES,
    PRECISIONS,
    epoch_rows,
    images_to_classify,
    layer_rows,
    pretrained_rows,
    rows,
)
from benchmarks.gpu.setup import Setup
from benchmarks.layer_examples import IMAGE
from cifarlab.backend import keras
from cifarlab.lowering.layers import LOWERED
from cifarlab.lowering.weighted_layers import BatchNormalization
from tiny import tiny_dataset

Row = Mapping[str, Any]

CPU = torch.device("cpu")
SETUP = Setup(device="cpu", data="shapes10", published=Path("published"), tiny=True)
BOTH = set(PRECISIONS)
TWO = {kind: EXAMPLES[kind] for kind in (keras.layers.ELU, keras.layers.Flatten)}

# Keras's own, about NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors are faster on one thread, above all where other programs run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shown(results: list[Row], check: str) -> dict[str, Row]:
    return {row["precision"]: row for row in results if row["check"] == check}


@pytest.mark.slow
def test_a_dry_run_finds_all_the_same_and_leaves_nothing_out() -> None:
    results = list(rows(SETUP))
    assert [row for row in results if not row["ok"]] == []
    layers = {(row["layer"], row["precision"]) for row in results if row["check"] == "layer"}
    assert layers == {(kind.__name__, name) for kind in LOWERED for name in BOTH}
    assert len(layers) == sum(row["check"] == "layer" for row in results)
    pretrained = shown(results, "pretrained")
    assert set(pretrained) == {*BOTH, "tf32"}
    assert {row["images"] for row in pretrained.values()} == {64}
    epochs = shown(results, "epoch")
    assert set(epochs) == BOTH
    assert epochs["float32"]["relative_difference"] < 1e-4
    assert all(0.0 < row["accuracy_device"] < 1.0 for row in epochs.values())
    # Bfloat16 is another computation; were it float32, there would be no difference.
    assert epochs["bfloat16"]["relative_difference"] > 0.0
    assert pretrained["bfloat16"]["largest_difference"] > 1e-4
    layers_in_bfloat16 = [
        row for row in results if "layer" in row and row["precision"] == "bfloat16"
    ]
    assert all(row["error"] > 1e-3 for row in layers_in_bfloat16)
    json.dumps(results, allow_nan=False)


def twice_as_steep(y: Tensor) -> Tensor:
    return y.detach() + 2.0 * (y - y.detach())


@pytest.mark.parametrize(
    "change", [lambda y: y + 0.1, twice_as_steep, lambda y: y / 0.0], ids=["value", "slope", "inf"]
)
def test_an_error_on_one_side_is_found(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    right = F.elu

    def wrong(x: Tensor, alpha: float) -> Tensor:
        y = right(x, alpha)
        return y if x.dtype == torch.float64 else change(y)

    monkeypatch.setattr(F, "elu", wrong)
    results = {(row["layer"], row["precision"]): row["ok"] for row in layer_rows(TWO, CPU)}
    assert results == {
        (kind.__name__, name): kind.__name__ == "Flatten" for kind in TWO for name in BOTH
    }


def test_statistics_that_are_not_kept_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = BatchNormalization._track

    def wrong(self: Any, mean: Tensor, variance: Tensor, correction: float) -> None:
        if mean.dtype == torch.float64:
            right(self, mean, variance, correction)

    monkeypatch.setattr(BatchNormalization, "_track", wrong)
    kind = keras.layers.BatchNormalization
    assert [row["ok"] for row in layer_rows({kind: EXAMPLES[kind]}, CPU)] == [False, False]


def test_a_layer_that_fails_is_a_row_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(x: Tensor, alpha: float) -> Tensor:  # noqa: ARG001
        raise RuntimeError("no kernel\n  for this device")

    monkeypatch.setattr(F, "elu", failing)
    one, two, *others = layer_rows(TWO, CPU)
    for row in (one, two):
        assert not row["ok"]
        assert row["failure"] == "RuntimeError: no kernel for this device"
    assert [row["ok"] for row in others] == [True, True]


def test_a_layer_that_cannot_be_built_is_a_row() -> None:
    def failing() -> Any:
        raise TypeError("unknown argument")

    (row, _) = layer_rows({keras.layers.ELU: [(failing, IMAGE)]}, CPU)
    assert row == {
        "check": "layer",
        "layer": "ELU",
        "precision": "float32",
        "ok": False,
        "failure": "TypeError: unknown argument",
    }


def test_outputs_on_another_device_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "elu", lambda x, _: x.to("meta"))
    row = next(iter(layer_rows(TWO, CPU)))
    assert "lie on meta" in row["failure"]


def test_a_layer_that_is_nowhere_smooth_is_not_compared() -> None:
    kind = keras.layers.Activation
    (row, _) = layer_rows({kind: [(lambda: kind(lambda x: (1e6 * x).sin()), IMAGE)]}, CPU)
    assert "no inputs away from all kinks" in row["failure"]


@pytest.fixture
def tf32() -> Iterator[None]:
    """Allow it everywhere, which pytest's own patching cannot take back."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.usefixtures("tf32")
def test_tf32_is_off_within_a_check_and_as_before_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    seen, right = set(), F.elu

    def watching(x: Tensor, alpha: float) -> Tensor:
        seen.add((matmul.allow_tf32, cudnn.allow_tf32))
        return right(x, alpha)

    monkeypatch.setattr(F, "elu", watching)
    kind = keras.layers.ELU
    for _ in layer_rows({kind: EXAMPLES[kind]}, CPU):
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (True, True)
    assert seen == {(False, False)}


def test_other_probabilities_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.array([[0.9, 0.1], [0.45, 0.55]])

    def results(_: Any, __: Any, precision: torch.dtype) -> Any:
        return right if precision == torch.float32 else right + np.array([-0.15, 0.15])

    monkeypatch.setattr(parity, "probabilities", results)
    float32, bfloat16, tf32 = pretrained_rows(np.zeros((2, 32, 32, 3), "uint8"), CPU)
    assert [float32["ok"], bfloat16["ok"], tf32["ok"]] == [True, False, True]
    assert bfloat16["largest_difference"] == pytest.approx(0.15)
    assert bfloat16["differing_classes"] == 0
    monkeypatch.setattr(parity, "probabilities", lambda *_: right * np.nan)
    assert not any(row["ok"] for row in pretrained_rows(np.zeros((2, 32, 32, 3), "uint8"), CPU))


def test_another_loss_is_found_and_a_failure_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def training(
        _: Any, __: Any, ___: Any, precision: torch.dtype, *, compiled: bool = False
    ) -> Any:
        calls.append((precision, compiled))
        if compiled:
            raise RuntimeError("no compiler")
        loss = 1.02 if len(calls) == 2 else 1.0
        return {"loss": 1.0, "accuracy": 0.5, "val_loss": loss}

    monkeypatch.setattr(parity, "train", training)
    monkeypatch.setattr(parity, "compiles", lambda _: True)
    results = list(epoch_rows(SETUP, tiny_dataset(), CPU))
    # The reference, then each precision, then each compiled.
    assert calls == [(torch.float32, False)] + [
        (p, c) for c in (False, True) for p in PRECISIONS.values()
    ]
    assert [(row["check"], row["precision"], row["ok"]) for row in results] == [
        ("epoch", "float32", False),
        ("epoch", "bfloat16", True),
        ("compiled epoch", "float32", False),
        ("compiled epoch", "bfloat16", False),
    ]
    assert results[0]["validation_relative_difference"] == pytest.approx(0.02)
    assert results[2]["failure"] == "RuntimeError: no compiler"


def test_images_of_another_size_are_not_classified() -> None:
    assert images_to_classify(tiny_dataset(), 7).shape == (7, 32, 32, 3)
