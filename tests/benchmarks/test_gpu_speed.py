"""The suite's speed part measures every network, kind and system, and outlives one that fails."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import speed
from benchmarks.gpu.setup import Setup
from benchmarks.networks import NETWORKS, resnet18, vit
from benchmarks.rounds import OURS, crew
from benchmarks.workers import Crew, WorkerError, running
from cifarlab.lowering.model import lower

SETUP = Setup(device="cpu", data="shapes10", published=Path("published"), tiny=True)
BROKEN = "never-heard-of"
KERAS = "keras_torch_float32"


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    # Threads that wait for each other on busy cores are most of the time otherwise.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(speed, "NETWORKS", {BROKEN: {}, **speed.NETWORKS})
    return [json.loads(json.dumps(row)) for row in speed.rows(SETUP)]


# One test, because the rows take most of its time.
@pytest.mark.slow
def test_every_network_has_both_kinds_and_systems_and_one_that_fails_a_row(
    rows: list[Mapping[str, Any]],
) -> None:
    failed = [row for row in rows if "failure" in row]
    assert [(row["network"], row["kind"]) for row in failed] == [
        (BROKEN, "prediction"),
        (BROKEN, "training"),
    ]
    assert all(row["failure"].startswith(f"no model is called '{BROKEN}'") for row in failed)
    measured = [row for row in rows if "failure" not in row]
    assert [(row["kind"], row["network"], row["system"]) for row in measured] == [
        (kind, network, system)
        for kind in ("prediction", "training")
        for network in ("baseline", "airnet", "resnet18", "vit")
        for system in (OURS, KERAS)
    ]
    for row in measured:
        assert 0 < row["min"] == row["images_per_second"] == row["max"] == row["per_round"][0]
        assert (row["rounds"], row["batch"], row["steps"]) == (1, 8, 2)
        assert (row["precision"], row["compiled"], row["tf32"]) == ("float32", False, False)
        assert row["device"] == "cpu"
    for ours, theirs in zip(measured[::2], measured[1::2], strict=True):
        ratio = ours["images_per_second"] / theirs["images_per_second"]
        assert (ours["ratio"], theirs["ratio"]) == (None, pytest.approx(ratio))
        assert ours["difference"] is None
        if theirs["kind"] == "training":
            assert theirs["difference"] is None
        else:
            assert theirs["difference"] < 1e-5


FAKE = """
import json, sys
for line in sys.stdin:
    if json.loads(line).get("die"):
        print("Traceback (most recent call last):", file=sys.stderr)
        print("torch.AcceleratorError: CUDA error: an illegal access", file=sys.stderr)
        sys.exit("Compile with this and that to enable device-side assertions.")
    print(json.dumps({"answered": True}), flush=True)
"""


def test_a_worker_that_died_says_why_and_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake_worker.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with contextlib.ExitStack() as stack:
        workers = Crew(starts={"fake": lambda: running("fake", "fake_worker")}, stack=stack)
        first = workers.worker("fake")
        assert first.ask({}) == {"answered": True}
        assert workers.worker("fake") is first
        with pytest.raises(WorkerError) as died:
            first.ask({"die": True})
        assert str(died.value).endswith(": torch.AcceleratorError: CUDA error: an illegal access")
        assert workers.worker("fake").ask({}) == {"answered": True}


def test_keras_computes_where_it_is_told_to() -> None:
    with crew({}, "cpu") as workers:
        start = workers.starts[OURS]
    assert start.keywords["environment"]["KERAS_TORCH_DEVICE"] == "cpu"
    with crew({}) as workers:
        start = workers.starts[OURS]
    assert "KERAS_TORCH_DEVICE" not in start.keywords["environment"]


def test_resnet18_has_as_many_weights_as_the_cifar_variant_elsewhere() -> None:
    trained = resnet18().trainable_variables
    assert sum(int(np.prod(variable.shape)) for variable in trained) == 11_173_962


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_the_networks_are_classifiers_of_any_width(name: str) -> None:
    model = NETWORKS[name]((32, 32, 3), 7, width=8)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (2, 7)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert lower(model).strip_softmax()


def test_the_vit_tells_positions_apart() -> None:
    model = vit(width=8)
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    images = np.stack([image, np.roll(image, 16, axis=0)])
    first, moved = model.predict(images, verbose=0)
    assert np.abs(first - moved).max() > 1e-5
