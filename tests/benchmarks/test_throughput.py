"""The throughput benchmark compares fairly, leaves nothing out in silence, and counts right."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.keras_worker import with_precision
from benchmarks.rounds import (
    OURS,
    System,
    Workload,
    alternate,
    crew,
    measure,
    round_ratios,
    summary,
)
from benchmarks.throughput import main, table
from benchmarks.workers import Worker, WorkerError, running

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--steps", "2", "--rounds", "2", "--batch-size", "4"]
RATES = {
    "cifarlab": [300.0, 100.0, 400.0],
    "keras_a": [100.0, 50.0, 200.0],
    "keras_b": [200.0, 10.0, 100.0],
}

# A worker that takes as many seconds for each round as the job say.
FAKE = """
import json, sys
seconds = json.loads(sys.stdin.readline())["seconds"]
print(json.dumps({}), flush=True)
for line, value in zip(sys.stdin, seconds):
    print(json.dumps({"seconds": value}), flush=True)
sys.exit("out of " + "rounds")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> contextlib.ExitStack:
    (tmp_path / "fake_worker.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return contextlib.ExitStack()


@pytest.fixture
def workers(fake: contextlib.ExitStack) -> Iterator[dict[str, Worker]]:
    with fake as stack:
        results = {}
        for name, seconds in ((OURS, [1.0, 2.0, 4.0]), ("keras_a", [2.0, 8.0, 8.0])):
            results[name] = stack.enter_context(running(name, "fake_worker"))
            results[name].ask({"seconds": seconds})
        yield results


def run(*arguments: str) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-m", "benchmarks.throughput", *TINY, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


def test_medians_are_of_the_rounds_and_ratios_are_medians_of_the_rounds_ratios() -> None:
    assert summary(RATES) == {
        "cifarlab": 300.0,
        "keras_a": 100.0,
        "keras_b": 100.0,
        # 3, 2 and 2; the ratio of the medians would be 3.
        "ratios": {"keras_a": 2.0, "keras_b": 4.0},
    }
    assert round_ratios(RATES)["keras_b"] == [1.5, 10.0, 4.0]


def test_medians_of_an_even_number_of_rounds_lie_between_the_middle_two() -> None:
    results = summary({"cifarlab": [10.0, 20.0], "keras_a": [5.0, 5.0]})

    assert results == {"cifarlab": 15.0, "keras_a": 5.0, "ratios": {"keras_a": 3.0}}


def test_table_shows_median_spread_and_ratio() -> None:
    rows = {line.split()[0]: line.split() for line in table("baseline", RATES).splitlines()[1:]}

    assert rows["cifarlab"] == ["cifarlab", "300", "100", "-", "400"]
    assert rows["keras_a"] == [
        "keras_a",
        "100",
        "50",
        "-",
        "200",
        "2.00",
        "x",
        "(2.00",
        "-",
        "3.00)",
    ]


def test_rounds_count_images_a_second(workers: Mapping[str, Worker]) -> None:
    left_out: dict[str, str] = {}

    rates = alternate(workers, Workload(batch_size=4, steps=2, rounds=3), left_out)

    assert rates == {"cifarlab": [8.0, 4.0, 2.0], "keras_a": [4.0, 1.0, 1.0]}
    assert left_out == {}


def test_a_worker_that_is_killed_is_reported_and_left_out(
    workers: Mapping[str, Worker], capsys: pytest.CaptureFixture[str]
) -> None:
    left_out: dict[str, str] = {}
    workers["keras_a"].process.send_signal(signal.SIGKILL)

    rates = alternate(workers, Workload(batch_size=4, steps=2, rounds=3), left_out)

    assert list(rates) == ["cifarlab"]
    assert len(rates["cifarlab"]) == 3
    assert "keras_a was killed by signal 9" in left_out["keras_a"]
    assert "keras_a is left out: keras_a was killed by signal 9" in capsys.readouterr().err


def test_a_worker_that_fails_midway_is_left_out_whole_with_its_last_words(
    workers: Mapping[str, Worker],
) -> None:
    left_out: dict[str, str] = {}
    workers["keras_a"].ask({})

    rates = alternate(workers, Workload(batch_size=4, steps=2, rounds=3), left_out)

    assert list(rates) == ["cifarlab"]
    assert left_out == {"keras_a": "keras_a ended with exit status 1: out of rounds"}


def test_without_cifarlabs_own_worker_there_is_no_result(workers: Mapping[str, Worker]) -> None:
    workers[OURS].ask({})

    with pytest.raises(WorkerError, match="cifarlab ended with exit status 1: out of rounds"):
        alternate(workers, Workload(rounds=3), {})


@pytest.mark.slow
def test_json_has_the_promised_shape() -> None:
    results, _ = run("--json", "--systems", "keras_torch_float32")

    model = results["models"]["baseline"]
    assert set(model) == {"cifarlab", "keras_torch_float32", "ratios"}
    assert set(model["ratios"]) == {"keras_torch_float32"}
    rates = results["per_round"]["baseline"]
    assert [len(values) for values in rates.values()] == [2, 2]
    for name, values in rates.items():
        assert model[name] == statistics.median(values) > 0
    ratios = [a / b for a, b in zip(rates["cifarlab"], rates["keras_torch_float32"], strict=True)]
    assert math.isclose(model["ratios"]["keras_torch_float32"], statistics.median(ratios))
    assert results["hardware"]["cores"] >= 1
    assert (results["batch_size"], results["steps"], results["rounds"]) == (4, 2, 2)
    assert results["systems"]["baseline"]["keras_torch_float32"]["torch"]
    assert results["left_out"] == {"baseline": {}}
    assert results["command"][2:] == ["benchmarks.throughput", *TINY, *results["command"][9:]]


def test_a_missing_backend_is_left_out_with_the_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    systems = {"keras_other": System(backend="a_backend_that_is_nowhere", precision="float32")}

    with crew(systems) as workers:
        results = measure("baseline", systems, Workload(batch_size=4, steps=1, rounds=1), workers)

    assert list(results.rates) == ["cifarlab"]
    message = capsys.readouterr().err
    assert "keras_other is left out: a_backend_that_is_nowhere is not installed" in message
    assert "pip install 'cifarlab[bench]'" in message
    assert "pip install" in results.left_out["keras_other"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--models", "nope"], 2, "no model is called 'nope'; choose from airnet, baseline"),
        (["--python", "/nowhere/python"], 2, "/nowhere/python: no such program"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--ours-only"]) == code

    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_sigterm_ends_the_workers_too() -> None:
    command = [sys.executable, "-m", "benchmarks.throughput", *TINY, "--rounds", "1000000"]
    with subprocess.Popen([*command, "--ours-only"], cwd=ROOT, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"warming up" in process.stderr.readline()
        assert b"round 1/" in process.stderr.readline()
        workers = psutil.Process(process.pid).children()
        process.terminate()

        assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert len(workers) == 1
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_zero_steps_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--steps", "0"])

    assert refused.value.code == 2
    assert "it must be at least 1" in capsys.readouterr().err


def test_precision_reaches_every_layer_but_the_last() -> None:
    def layer(name: str) -> dict[str, Any]:
        policy = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
        return {"class_name": name, "config": {"dtype": policy}}

    model = {"config": {"layers": [layer("Conv2D"), layer("Dense"), layer("Dense")]}}

    results = json.loads(with_precision(json.dumps(model), "mixed_bfloat16"))

    names = [part["config"]["dtype"]["config"]["name"] for part in results["config"]["layers"]]
    assert names == ["mixed_bfloat16", "mixed_bfloat16", "float32"]


def test_keras_worker_needs_no_cifarlab(tmp_path: Path) -> None:
    # Standing in for another environment: one in which importing cifarlab fails.
    (tmp_path / "cifarlab.py").write_text("raise ImportError('not here')")
    code = "import benchmarks.keras_worker, sys; print('cifarlab' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert done.stdout == "False\n", done.stderr
