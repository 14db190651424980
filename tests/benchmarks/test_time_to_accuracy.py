"""The time-to-accuracy benchmark trains for real and reports what it saw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.time_to_accuracy import document, main, table

ROOT = Path(__file__).resolve().parents[2]
REPORTS = {
    seed: {
        "accuracy": accuracy,
        "seconds": seconds,
        "wall_seconds": seconds + 5,
        "epochs": [],
        "images": {"train": 9, "test": 3},
        "environment": {"hardware": {"cores": 2}},
    }
    for seed, accuracy, seconds in [(0, 0.94, 30.0), (1, 0.95, 50.0), (2, 0.93, 20.0)]
}


def test_figures_follow_from_the_reports() -> None:
    results = document("fast94", "test", REPORTS)

    assert results["recipe"] == "fast94"
    assert results["runs"][1] == {
        "seed": 1,
        "accuracy": 0.95,
        "seconds": 50.0,
        "wall_seconds": 55.0,
    }
    assert results["mean_accuracy"] == pytest.approx(0.94)
    assert results["std_accuracy"] == pytest.approx(0.01)
    assert results["median_seconds"] == 30.0
    assert results["hardware"] == {"cores": 2}


def test_one_seed_has_no_spread() -> None:
    assert document("fast94", "test", {0: REPORTS[0]})["std_accuracy"] == 0.0


def test_table_shows_each_seed_and_the_mean() -> None:
    rows = [line.split() for line in table(document("fast94", "test", REPORTS)).splitlines()]

    assert rows[2] == ["seed", "1", "95.00%", "50.0", "55.0"]
    assert rows[-1] == ["mean,", "median", "94.00%", "+-", "1.00%", "30.0"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Dark and bright images, enough to train on."""
    rng = np.random.default_rng(0)
    for name, low in (("dark", 0), ("bright", 150)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(low, low + 100, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    return tmp_path / "photos"


@pytest.mark.slow
@pytest.mark.parametrize(("split", "trained", "measured"), [("test", 64, 8), ("validation", 64, 8)])
def test_json_has_the_promised_shape(photos: Path, split: str, trained: int, measured: int) -> None:
    command = [sys.executable, "-m", "benchmarks.time_to_accuracy", "--recipe", "baseline"]
    command += ["--data", str(photos), "--split", split, "--seeds", "2", "--json"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    results = json.loads(done.stdout)
    assert results["recipe"] == "baseline"
    assert [run["seed"] for run in results["runs"]] == [0, 1]
    for run in results["runs"]:
        assert 0.0 <= run["accuracy"] <= 1.0
        assert 0.0 < run["seconds"] < run["wall_seconds"]
    assert results["images"] == {"train": trained, split: measured}
    assert results["hardware"]["cores"] >= 1


def test_an_unknown_recipe_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipe", "fastest"]) == 2

    assert "no recipe is called 'fastest'" in capsys.readouterr().err.splitlines()[-1]
