"""The inference benchmark compares systems that agree, and reports what it saw."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import inference
from benchmarks.inference import classifier, main, measure, table
from benchmarks.throughput import summary

FIGURES = {"airnet": {"64": summary({"cifarlab": [300.0, 100.0], "other": [100.0, 50.0]})}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "SECONDS", 0.0)
    monkeypatch.setattr(inference, "PAUSE", 0.0)


def test_ratios_are_taken_within_a_round() -> None:
    assert FIGURES["airnet"]["64"] == {"cifarlab": 200.0, "other": 75.0, "ratios": {"other": 2.5}}


def test_table_has_a_row_for_each_system() -> None:
    rows = [line.split() for line in table(FIGURES).splitlines()]
    assert rows[1] == ["airnet", "64", "cifarlab", "200"]
    assert rows[2] == ["airnet", "64", "other", "75", "2.50", "x"]


def test_json_has_every_model_and_batch(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", "baseline", "--batches", "1", "3", "--rounds", "2", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert list(results["models"]["baseline"]) == ["1", "3"]
    for figures in results["models"]["baseline"].values():
        assert figures["cifarlab"] > 0
        assert figures["ratios"]["keras_torch_float32"] > 0
    assert results["hardware"]["cores"] >= 1


def test_systems_that_disagree_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    of = classifier("baseline")
    wrong = {"cifarlab": of.probabilities, "other": lambda images: np.ones((len(images), 10))}
    monkeypatch.setattr(inference, "systems", lambda _: wrong)
    with pytest.raises(inference.UsageError, match="not comparable"):
        measure(of, 2, 1)


def test_an_unknown_model_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models", "nope"]) == 2
    assert "no model is called 'nope'" in capsys.readouterr().err.splitlines()[-1]
