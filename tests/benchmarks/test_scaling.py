"""The scaling benchmark reports time and memory of each size, and how straight the line is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scaling import document, main, table

ROOT = Path(__file__).resolve().parents[2]
REPORTS = {
    10_000: {"seconds": [9.0, 2.0, 4.0], "peak_bytes": 5 * 2**20, "data_bytes": 2**20},
    50_000: {"seconds": [25.0], "peak_bytes": 9 * 2**20, "data_bytes": 4 * 2**20},
}


def reports() -> dict[int, dict[str, object]]:
    return {size: {**report, "hardware": {"cores": 2}} for size, report in REPORTS.items()}


def test_figures_follow_from_the_reports() -> None:
    results = document(reports())

    assert results["sizes"]["10000"] == {
        "seconds": 4.0,
        "images_per_second": 2500.0,
        "peak_bytes": 5 * 2**20,
        "data_bytes": 2**20,
        "overhead_bytes": 4 * 2**20,
    }
    # 0.4 and 0.5 milliseconds an image.
    assert results["linearity"] == pytest.approx(1.25)
    assert results["hardware"] == {"cores": 2}


def test_table_shows_time_for_ten_thousand_images_and_memory_in_mebibytes() -> None:
    rows = [line.split() for line in table(document(reports())).splitlines()]

    assert rows[1] == ["10,000", "4.00", "2,500", "4.000", "5", "1", "4"]
    assert rows[2] == ["50,000", "25.00", "2,000", "5.000", "9", "4", "5"]
    assert rows[-1][-1] == "1.250"


@pytest.mark.slow
def test_json_has_the_promised_shape() -> None:
    command = [sys.executable, "-m", "benchmarks.scaling", "--sizes", "20", "60", "--json"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    results = json.loads(done.stdout)
    assert list(results["sizes"]) == ["20", "60"]
    assert results["linearity"] >= 1
    assert results["hardware"]["cores"] >= 1
    for size, figures in results["sizes"].items():
        assert figures["seconds"] > 0
        # Images of 3,072 bytes and labels of 8, and a tenth as many to validate on.
        assert figures["data_bytes"] == int(size) * 1.1 * (3072 + 8)
        assert figures["overhead_bytes"] == figures["peak_bytes"] - figures["data_bytes"] > 2**20


def test_no_images_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--sizes", "0"])

    assert refused.value.code == 2
    assert "it must be at least 1" in capsys.readouterr().err
