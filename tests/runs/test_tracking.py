"""Tracking: the same names for every tracker, one tracked run per run, and no harm to training."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
import warnings
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cifarlab.errors import InputError, UsageError
from cifarlab.files import write_json
from cifarlab.recipes.recipe import to_json
from cifarlab.runs.directory import RunDirectory
from cifarlab.runs.trackers import CLIENTS, MODULES, check_tracker
from cifarlab.runs.tracking import flat, parameters_of, tracked
from cifarlab.runtime.progress import SILENT
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.loop import fit
from cifarlab.training.setup import build_model, compile_model
from runs.tracker_clients import (
    COLUMNS,
    READERS,
    STAND_INS,
    Found,
    Read,
    mlflow_stand_in,
    tensorboard_stand_in,
    wandb_stand_in,
)
from support import one_line
from tiny import tiny_dataset, tiny_recipe

TEST: Any = SimpleNamespace(accuracy=0.75, loss=0.5)
HISTORY = [
    {"epoch": n, **{name: n + place / 8 for place, name in enumerate(sorted(COLUMNS))}}
    for n in range(1, 5)
]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run directory as it is before the first epoch."""
    made = RunDirectory(path=tmp_path / "run-1")
    made.path.mkdir()
    write_json(made.recipe, to_json(tiny_recipe()))
    write_json(made.environment, {"python": "3", "options": {"seed": 7, "device": None}})
    return made


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the user's."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "WANDB_ERROR_REPORTING"):
        # Set and not only deleted, so that what the code sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(
    params=[(name, kind) for name in CLIENTS for kind in ("real", "stand-in")], ids="-".join
)
def tracker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Read]:
    """A tracker's name, and how to read what it holds about a run directory."""
    name, kind = request.param
    if kind == "stand-in":
        return name, STAND_INS[name](monkeypatch)
    for module in MODULES[name]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    return name, READERS[name]


# The contract


def test_every_tracker_holds_the_same(tracker, run):
    name, read = tracker
    before = sorted(Path.cwd().iterdir())
    with tracked(name, run) as tracking:
        for epoch in range(1, 5):
            tracking.record(HISTORY[:epoch])
        tracking.finish(HISTORY, TEST)
    check_whole(read(run.path), run)
    assert sorted(Path.cwd().iterdir()) == before


def check_whole(found: Found, run: RunDirectory) -> None:
    assert found.runs == 1
    assert found.metrics == {
        name: {row["epoch"]: pytest.approx(row[name]) for row in HISTORY} for name in COLUMNS
    }
    assert found.results == {"test/accuracy": 0.75, "test/loss": 0.5}
    for name, value in parameters_of(run).items():
        # Some clients keep every number as a float.
        known: Any = found.parameters[name]
        assert (known if isinstance(value, str) else float(known)) == value, name


def test_a_resumed_run_goes_on_in_the_same_tracked_run(tracker, run):
    name, read = tracker
    with suppress(KeyboardInterrupt), tracked(name, run) as tracking:
        tracking.record(HISTORY[:1])
        tracking.record(HISTORY[:2])
        raise KeyboardInterrupt
    identity = json.loads(run.tracking.read_text())["identity"]
    with tracked(None, run) as tracking:
        # The checkpoint was that of the first epoch.
        tracking.record(HISTORY[:2])
        tracking.record(HISTORY[:3])
        tracking.finish(HISTORY, TEST)
    check_whole(read(run.path), run)
    note = json.loads(run.tracking.read_text())
    assert note == {"tracker": name, "identity": identity, "epochs": 4}


def test_a_tracked_run_that_is_gone_is_begun_anew(monkeypatch, run):
    read = mlflow_stand_in(monkeypatch)
    write_json(run.tracking, {"tracker": "mlflow", "identity": "9", "epochs": 2})
    with tracked(None, run) as tracking:
        tracking.finish(HISTORY, TEST)
    check_whole(read(run.path), run)


def test_another_tracker_is_told_everything(monkeypatch, run):
    wandb_stand_in(monkeypatch)
    read = tensorboard_stand_in(monkeypatch)
    with tracked("wandb", run) as tracking:
        tracking.record(HISTORY[:3])
    with tracked("tensorboard", run) as tracking:
        tracking.finish(HISTORY, TEST)
    check_whole(read(run.path), run)


def test_without_a_tracker_nothing_happens(run):
    before = sorted(run.path.iterdir())
    with tracked(None, run) as tracking:
        tracking.record(HISTORY)
        tracking.finish(HISTORY, TEST)
    assert sorted(run.path.iterdir()) == before


@pytest.mark.parametrize(
    ("name", "decides", "variable", "value"),
    [
        ("mlflow", "MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY", "true"),
        ("wandb", "WANDB_MODE", "WANDB_ERROR_REPORTING", "false"),
    ],
)
def test_reports_about_use_stay_off_unless_the_user_sends_runs_away(
    name, decides, variable, value, monkeypatch
):
    STAND_INS[name](monkeypatch)
    monkeypatch.setenv(decides, "somewhere")
    check_tracker(name)
    assert variable not in os.environ
    monkeypatch.delenv(decides)
    check_tracker(name)
    assert os.environ[variable] == value


# Failures


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_a_missing_library_names_the_extra(name, run, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULES[name][0], None)
    with pytest.raises(UsageError) as error, tracked(name, run):
        raise AssertionError("never comes here")
    assert f"pip install 'cifarlab[{name}]'" in one_line(error)
    assert not run.tracking.exists()


def test_a_directory_of_that_name_is_not_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", types.ModuleType("wandb"))
    with pytest.raises(UsageError, match=r"cifarlab\[wandb\]"):
        check_tracker("wandb")


def test_an_unknown_tracker_is_a_usage_error():
    with pytest.raises(UsageError, match="tensorboard, mlflow, wandb") as error:
        check_tracker("nosuch")
    one_line(error)


def test_a_client_that_cannot_begin_is_a_usage_error(run, monkeypatch):
    wandb_stand_in(monkeypatch)

    def init(**_: Any) -> None:
        raise ConnectionError("no server\nand a long story")

    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    with pytest.raises(UsageError, match="ConnectionError: no server") as error:
        tracked("wandb", run).__enter__()
    one_line(error)


def test_a_note_that_cannot_be_read_is_bad_input(run):
    run.tracking.write_text("{")
    with pytest.raises(InputError, match="remove it") as error:
        tracked(None, run).__enter__()
    one_line(error)


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_a_client_that_fails_gives_one_warning_and_training_goes_on(
    name, run, monkeypatch, tmp_path
):
    STAND_INS[name](monkeypatch)
    model = build_model(tiny_recipe(), tiny_dataset(), 0)
    compile_model(model, tiny_recipe())
    options = LoopOptions(
        device=torch.device("cpu"),
        precision=torch.float32,
        seed=0,
        checkpoints=tmp_path / "checkpoint",
    )
    data = tiny_dataset()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is gone\nor the network")

    with warnings.catch_warnings(record=True) as caught, tracked(name, run) as tracking:
        warnings.simplefilter("always")
        told = tracking.client.row

        def once(values: Any, epoch: int) -> None:
            told(values, epoch)
            monkeypatch.setattr(tracking.client, "row", fail)

        monkeypatch.setattr(tracking.client, "row", once)
        history = fit(
            model, data.train, data.validation, tiny_recipe(), options, [], SILENT, tracking.record
        )
        tracking.finish(history, TEST)
    assert len(history) == 3
    (warning,) = [str(w.message) for w in caught if name in str(w.message)]
    assert warning == (
        f"{name} failed (OSError: the disk is gone); training goes on without being tracked"
    )
    # What it was not told of, it is told of when the run is resumed.
    assert json.loads(run.tracking.read_text())["epochs"] == 1


# Parameters


def test_parameters_are_the_recipe_and_the_environment_with_dots(run):
    found = parameters_of(run)
    assert found["name"] == "baseline"
    assert found["optimizers.0.kind"] == "Adam"
    assert found["optimizers.0.lr"] == 1e-3
    assert found["model.arguments.filters"] == "[4, 6]"
    assert found["environment.options.seed"] == 7
    assert found["environment.options.device"] == "null"
    assert "kind" not in found


def test_values_are_plain_and_not_too_long():
    found = flat({"a": {}, "b": [], "c": True, "d": "x" * 9999, "e": [[1], {"f": 2.5}]})
    assert found == {"a": "{}", "b": "[]", "c": True, "d": "x" * 500, "e.0": "[1]", "e.1.f": 2.5}
