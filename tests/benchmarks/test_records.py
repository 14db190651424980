"""The comparison with published records runs their code as it is, and counts right."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import record_worker
from benchmarks.on_cpu import on_cpu
from benchmarks.published import RECORDS, Record, _one_network, names_of, obtain
from benchmarks.records import RIVALS, main, summary, table
from benchmarks.workers import ROOT
from cifarlab.data.dataset import Dataset
from cifarlab.errors import InputError, NetworkError
from cifarlab.recipes import RECIPES
from cifarlab.runtime.device import choose_precision
from tiny import tiny_dataset

SCRIPT = ROOT / "benchmarks" / "gpu" / "stand_in_record.py"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "published" / "speedrun"
    folder.mkdir(parents=True)
    shutil.copy(SCRIPT, folder / "speedrun.py")
    # What the worker changes in its own process.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return folder / "speedrun.py"


def record(commit: str = "0" * 40) -> Record:
    return Record(
        repository="somebody/speedrun", commit=commit, script="speedrun.py", start=_one_network
    )


def test_code_for_cuda_runs_on_the_cpu_and_its_own_figures_are_read(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(_: str) -> Dataset:
        return tiny_dataset()

    monkeypatch.setattr(record_worker, "load_dataset", load_dataset)
    monkeypatch.setattr(record_worker, "RECORDS", {"ours": record()})
    job = {"record": "ours", "script": str(script), "data": "tiny", "device": "cpu"}

    facts, work = record_worker.prepare(job)
    results = work({"seed": 0})

    assert facts == {"images": 180}
    # It calls all images of the test split, of three classes, the first one.
    assert results["accuracy"] == pytest.approx(1 / 3)
    assert results["seconds"] > 0.0


def test_nothing_of_it_is_left_behind(script: Path) -> None:
    before = torch.compile, torch.half, torch.cuda.Event
    with on_cpu():
        names_of(script)
        assert torch.zeros(2, device="cuda", dtype=torch.float16).dtype is torch.float32
    assert (torch.compile, torch.half, torch.cuda.Event) == before


def test_a_step_changes_what_the_network_gives() -> None:
    layer = torch.nn.Conv2d(3, 3, 3)
    x = torch.ones(1, 3, 4, 4)
    with on_cpu():
        before = layer(x)
        with torch.no_grad():
            layer.weight.add_(1.0)
        assert not torch.equal(layer(x), before)


def test_only_layers_compute_in_less_than_float32() -> None:
    x = torch.linspace(-1.0, 1.0, 64).reshape(8, 8)
    lower = choose_precision("auto", torch.device("cpu"))
    with on_cpu():
        assert torch.nn.functional.linear(x, x).dtype is lower
        # Whitening inverts a covariance, which may not be rounded.
        product = x.T @ x
    assert product.dtype is torch.float32
    assert torch.equal(product, x.T @ x)


def test_a_copy_that_is_there_is_taken(script: Path) -> None:
    assert obtain(record(), script.parents[1]) == script


def test_a_copy_of_something_else_is_refused(script: Path) -> None:
    script.unlink()
    with pytest.raises(InputError, match=r"has no speedrun\.py"):
        obtain(record(), script.parents[1])


def test_code_that_cannot_be_cloned_is_said_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.published.HOST", str(tmp_path / "nowhere"))
    with pytest.raises(NetworkError, match="--published"):
        obtain(record(), tmp_path / "copies")


@pytest.mark.parametrize("recipe", RIVALS)
def test_every_rival_is_a_record_with_a_fixed_version(recipe: str) -> None:
    assert recipe in RECIPES
    for name in RIVALS[recipe]:
        assert len(RECORDS[name].commit) == 40


RUNS: dict[str, Any] = {
    "cifarlab": [{"accuracy": 0.94, "seconds": 2.0}, {"accuracy": 0.95, "seconds": 3.0}],
    "hiverge": [{"accuracy": 0.94, "seconds": 4.0}, {"accuracy": 0.94, "seconds": 12.0}],
}


def test_ratios_are_taken_side_by_side() -> None:
    results = summary(RUNS)
    assert results["hiverge"]["share"] == pytest.approx((0.5 + 0.25) / 2)
    assert results["cifarlab"]["mean_accuracy"] == pytest.approx(0.945)
    assert results["hiverge"]["median_seconds"] == 8.0
    assert results["hiverge"]["n"] == 2


def test_table_has_a_row_for_each_system() -> None:
    rows = [line.split() for line in table("fast94", RUNS).splitlines()]
    assert rows[1] == ["cifarlab", "94.50%", "+-", "0.71%", "2", "2.50"]
    assert rows[2] == ["hiverge", "94.00%", "+-", "0.00%", "2", "8.00", "0.38"]


def test_a_missing_copy_ends_the_command_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cifar10-airbench").mkdir()
    assert main(["--recipe", "fast94", "--published", str(tmp_path)]) == InputError.exit_code
    assert "has no airbench94_muon.py" in capsys.readouterr().err.splitlines()[-1]
