"""The GPU suite runs whole on a CPU, and keeps what it has when a part fails or is out of time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import suite
from benchmarks.gpu.setup import Setup
from benchmarks.gpu.suite import PARTS, as_json, run
from benchmarks.gpu.table import markdown
from benchmarks.gpu.variants import FAST94_GPU, VARIANTS
from benchmarks.workers import ROOT

SETUP = Setup(device="cpu", data="shapes10", published=Path("published"), tiny=True)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu.suite", "--dry", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    document: dict[str, Any] = json.loads(out.read_text())
    return document


@pytest.mark.slow
def test_a_dry_run_runs_every_part_and_nothing_is_left_out(dry: dict[str, Any]) -> None:
    parts = dry["parts"]
    assert list(parts) == list(PARTS)
    assert {part["status"] for part in parts.values()} == {"done"}
    failed = [row for part in parts.values() for row in part["rows"] if row.get("failure")]
    assert failed == []
    assert all(row["ok"] for row in parts["parity"]["rows"])
    runs = [(row["system"], row["seed"]) for row in parts["race"]["rows"] if "seed" in row]
    systems = ("fast94_gpu", "airbench94_muon", "hiverge", "fast94")
    assert runs == [(name, seed) for seed in range(2) for name in systems]
    assert {row["variant"] for row in parts["variants"]["rows"]} == set(VARIANTS)
    assert dry["environment"]["hardware"]["accelerator"] is None


@pytest.mark.slow
def test_its_table_has_every_system_arm_and_network(dry: dict[str, Any]) -> None:
    text = markdown(dry)
    shown = [*VARIANTS, "fast94_gpu", "airbench94_muon", "hiverge", "Conv2D"]
    networks = {row["network"] for row in dry["parts"]["speed"]["rows"]}
    assert len(networks) == 4
    assert [name for name in (*shown, *networks) if f"{name} |" not in text] == []
    assert "a dry run, no GPU" in text


def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Make every part of the suite run ``source``, which yields rows."""
    (tmp_path / "part.py").write_text(source)
    monkeypatch.setattr(suite, "PARTS", {"one": 0.5, "two": 1.0})

    def replaced(name: str, setup: Setup) -> list[str]:
        return [sys.executable, str(tmp_path / "part.py"), name, as_json(setup)]

    monkeypatch.setattr(suite, "command", replaced)


FAILS = """
import sys
print('{"row": 1}', flush=True)
if sys.argv[1] == "one":
    raise RuntimeError("no such kernel")
"""
HANGS = """
import sys, time
print('{"row": 1}', flush=True)
if sys.argv[1] == "one":
    time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("source", "status", "failure"),
    [(FAILS, "failed", "RuntimeError: no such kernel"), (HANGS, "out of time", None)],
)
def test_a_part_that_ends_badly_keeps_its_rows_and_the_next_one_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    status: str,
    failure: str | None,
) -> None:
    part(tmp_path, monkeypatch, source)
    out = tmp_path / "out.json"
    document = run(SETUP, ("one", "two"), 0.2, out)
    assert json.loads(out.read_text()) == document
    one, two = document["parts"].values()
    assert (one["status"], one["failure"], one["rows"]) == (status, failure, [{"row": 1}])
    assert (two["status"], two["rows"]) == ("done", [{"row": 1}])


def test_without_a_gpu_the_suite_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert suite.main([]) == 2
    assert "--dry" in capsys.readouterr().err


def test_every_arm_differs_from_the_base_and_is_trained_as_long() -> None:
    assert VARIANTS["base"] is FAST94_GPU
    others = [recipe for name, recipe in VARIANTS.items() if name != "base"]
    assert FAST94_GPU not in others
    assert len({repr(recipe) for recipe in others}) == len(others)
    assert {recipe.epochs for recipe in others} == {FAST94_GPU.epochs}


def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "environment": {
            "python": "3.12.3",
            "versions": {"torch": "2.11.0", "keras": "3.15.1"},
            "hardware": {"accelerator": "H100", "processor": "x", "cores": 16},
            "cuda": "13.0",
            "cudnn": 91000,
            "git": "abc",
        },
        "parts": {"variants": {"status": "done", "seconds": 9.0, "failure": None, "rows": rows}},
    }


def test_gains_are_taken_seed_by_seed() -> None:
    rows: list[dict[str, Any]] = [
        {"variant": "base", "seed": 0, "accuracy": 0.90, "seconds": 2.0},
        {"variant": "wide", "seed": 0, "accuracy": 0.91, "seconds": 3.0},
        {"variant": "base", "seed": 1, "accuracy": 0.92, "seconds": 2.0},
        {"variant": "wide", "seed": 1, "accuracy": 0.95, "seconds": 3.0},
        {"variant": "tall", "failure": "out of memory"},
    ]
    text = markdown(document(rows))
    assert "| wide | 93.00% ± 2.83% | 2 | +2.00 (+0.04 to +3.96) | 1.500 |" in text
    assert "Failed: tall: out of memory" in text
    assert "H100; 16 cores; Python 3.12.3, PyTorch 2.11.0, CUDA 13.0" in text
