"""The scripts give Keras's history under ``cifarlab run``; the figures follow from the runs."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import zoo
from benchmarks.precision import difference, verdict
from benchmarks.precision import table as precision_table
from benchmarks.script_runs import FOLDER, SCRIPTS, ScriptRun, Workload, ours, run_script
from benchmarks.zoo import OURS, TENSORFLOW, TORCH, ratio, table
from cifarlab.backend import keras
from cifarlab.errors import UsageError
from cifarlab.fitting.accelerator import Accelerator
from cifarlab.fitting.script import run_script as run_as_cifarlab_does

TINY = Workload(images=54, epochs=2)
# What runs in Keras's own step: everything else is to be native.
OWN_STEPS = {"custom_step"}

pytestmark = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")


def result_of(run: Callable[[], object], where: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {**TINY.variables(), "ZOO_RESULT": str(where)}.items():
        monkeypatch.setenv(name, value)
    # Its constants are read from the environment.
    sys.modules.pop("setting", None)
    keras.backend.clear_session()
    run()
    return json.loads(where.read_text())


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_gives_the_history_that_keras_gives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FOLDER / f"{name}.py"
    accelerator = Accelerator(precision="float32")
    mine = result_of(
        lambda: run_as_cifarlab_does(path, [], accelerator), tmp_path / "mine", monkeypatch
    )
    monkeypatch.syspath_prepend(FOLDER)
    own = result_of(
        lambda: runpy.run_path(str(path), run_name="__main__"), tmp_path / "own", monkeypatch
    )

    (record,) = accelerator.records
    assert record.plan.native == (name not in OWN_STEPS)
    assert record.plan.native or record.plan.native_layers
    assert mine["history"].keys() == own["history"].keys()
    assert mine["images"] == own["images"] == 48
    for metric, values in mine["history"].items():
        # A score that counts images may differ by one of them; and Adam's first steps are as long
        # for a gradient that is nothing but rounding as for any other.
        first, later = (0.001, 0.03) if "loss" in metric else (0.05, 0.05)
        expected = own["history"][metric]
        np.testing.assert_allclose(values[0], expected[0], first, first, metric)
        np.testing.assert_allclose(values, expected, later, later, metric)


def test_there_are_ten() -> None:
    assert len(SCRIPTS) == 10
    assert all("cifarlab" not in path.read_text("utf-8") for path in FOLDER.glob("*.py"))


def test_a_script_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="'cnn': choose from augmentation, "):
        run_script("cnn", ours(), TINY)


def ran(rate: float, seconds: float) -> ScriptRun:
    return ScriptRun(history={}, epochs=[99.0, 2.0], images=int(2 * rate), seconds=seconds)


RUNS = {
    OURS: [ran(300, 10), ran(100, 20)],
    TORCH: [ran(100, 20), ran(50, 30)],
    TENSORFLOW: [ran(200, 40), ran(25, 50)],
}


def test_a_ratio_is_taken_within_a_round_to_the_fastest_rival() -> None:
    assert ratio(RUNS, zoo.rate) == pytest.approx((1.5 + 2.0) / 2)
    assert ratio(RUNS, zoo.quickness) == pytest.approx((2.0 + 1.5) / 2)


def test_the_table_is_markdown() -> None:
    head, line, row = table({"vit": RUNS}).splitlines()
    assert head.count("|") == line.count("|") == row.count("|")
    assert row == "| `vit` | 200 (15.0) | 75 (25.0) | 112 (45.0) | 1.75 | 1.75 |"


def test_without_tensorflow_its_rows_are_left_out(capsys: Any) -> None:
    systems = zoo.rivals(None, "auto")
    assert list(systems)[:2] == [OURS, TORCH]
    if TENSORFLOW not in systems:
        assert "is left out" in capsys.readouterr().err


def test_precisions_are_compared_seed_by_seed() -> None:
    apart = {"float32": [0.50, 0.60, 0.70], "bfloat16": [0.40, 0.50, 0.61]}
    alike = {"float32": [0.50, 0.60, 0.70], "bfloat16": [0.51, 0.59, 0.70]}
    assert difference(apart)[0] == pytest.approx(-0.29 / 3)
    assert verdict(apart) == "different"
    assert verdict(alike) == "equal within noise"
    assert verdict({"float32": [0.5], "bfloat16": [0.5]}) == "one seed tells nothing"
    *_, row = precision_table({"vit": alike}).splitlines()
    assert row.startswith("| `vit` | 3 | 60.00% ± 10.00 | 60.00% ± 9.54 | +0.00 ± 0.58 |")
