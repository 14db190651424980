"""A run that was stopped, however brutally, ends as if it had never been."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from cifarlab.runs.directory import read_history
from tiny import saved_weights, train_in_child

STEPS_AN_EPOCH = 5
EPOCHS = 4

# A server that has imported everything forks a child in no time.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["cifarlab.training.train", "tiny"])

pytestmark = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="needs forkserver"
)


def child(directory: Path, signals: Mapping[int, int], resume: bool = False) -> int | None:
    """Train in another process; return its exit code, negative for a signal that killed it."""
    process = context.Process(target=train_in_child, args=(str(directory), signals, resume))
    process.start()
    process.join(120)
    return process.exitcode


def result(directory: Path) -> tuple[dict[str, bytes], list[dict[str, float]]]:
    """Weights as bytes, and the history without the clock."""
    rows = read_history(directory / "history.csv")
    return saved_weights(directory / "best.keras"), [
        {name: value for name, value in row.items() if name != "seconds"} for row in rows
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole") / "run"
    assert child(directory, {}) == 0
    return result(directory)


def test_the_same_seed_twice_gives_the_same_bytes(tmp_path, uninterrupted):
    assert child(tmp_path / "run", {}) == 0
    assert result(tmp_path / "run") == uninterrupted


@pytest.mark.parametrize("step", [7, 18])
def test_killed_and_resumed_gives_the_same_bytes(tmp_path, uninterrupted, step):
    directory = tmp_path / "run"
    assert child(directory, {step: signal.SIGKILL}) == -signal.SIGKILL
    assert child(directory, {}, resume=True) == 0
    assert result(directory) == uninterrupted


def test_killed_before_the_first_checkpoint_the_run_starts_over(tmp_path, uninterrupted):
    directory = tmp_path / "run"
    assert child(directory, {2: signal.SIGKILL}) == -signal.SIGKILL
    assert child(directory, {}, resume=True) == 0
    assert result(directory) == uninterrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_polite_signal_saves_in_mid_epoch(tmp_path, uninterrupted, number, code):
    directory = tmp_path / "run"
    assert child(directory, {8: number}) == code
    message = Path(f"{directory}.error").read_text()
    assert f"cifarlab train --resume {directory}" in message
    assert "epoch 2, step 3 of 5" in message
    newest = max((directory / "checkpoint").glob("*.safetensors"))
    assert newest.name == "00001-0000003.safetensors"
    assert child(directory, {}, resume=True) == 0
    assert result(directory) == uninterrupted


def test_stopped_again_and_again(tmp_path, uninterrupted):
    directory = tmp_path / "run"
    assert child(directory, {3: signal.SIGTERM}) == 143
    assert child(directory, {4: signal.SIGINT}, resume=True) == 130
    assert child(directory, {1: signal.SIGKILL}, resume=True) == -signal.SIGKILL
    assert child(directory, {}, resume=True) == 0
    assert result(directory) == uninterrupted


def test_a_finished_run_is_not_resumed(tmp_path):
    directory = tmp_path / "run"
    assert child(directory, {}) == 0
    before = {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}
    assert child(directory, {}, resume=True) == 2
    assert "is complete" in Path(f"{directory}.error").read_text()
    assert {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()} == before
