"""Stand-ins for the clients of trackers, and readers of what the real ones write."""

from __future__ import annotations

import json
import struct
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

COLUMNS = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"}


@dataclass(kw_only=True)
class Found:
    """What a tracker holds: metrics by step, results, parameters as text."""

    metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    results: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    runs: int = 1

    def scalar(self, name: str, value: float, step: int) -> None:
        if name.startswith("test/"):
            self.results[name] = value
        else:
            assert step not in self.metrics.setdefault(name, {}), f"{name} twice at {step}"
            self.metrics[name][step] = value


Read = Callable[[Path], Found]


# Stand-ins, each with no more of its library than the adapter uses


def install(patch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    module = types.ModuleType(name)
    module.__file__ = "stand-in"
    module.__dict__.update(contents)
    patch.setitem(sys.modules, name, module)


def tensorboard_stand_in(patch: pytest.MonkeyPatch) -> Read:
    found = Found()

    def writer(log_dir: str, purge_step: int) -> Any:
        assert Path(log_dir).name == "tensorboard"
        for steps in found.metrics.values():
            for step in [step for step in steps if step >= purge_step]:
                del steps[step]
        file = SimpleNamespace(add_summary=found.parameters.update)
        return SimpleNamespace(add_scalar=found.scalar, flush=dict, close=dict, file_writer=file)

    def hparams(parameters: dict[str, Any], _: dict[str, Any]) -> tuple[Any, Any, Any]:
        return {}, {name: str(value) for name, value in parameters.items()}, {}

    install(patch, "tensorboard")
    install(patch, "torch.utils.tensorboard", SummaryWriter=writer)
    install(patch, "torch.utils.tensorboard.summary", hparams=hparams)
    return lambda _: found


def mlflow_stand_in(patch: pytest.MonkeyPatch) -> Read:
    found = Found(runs=0)

    class Client:
        def __init__(self, tracking_uri: str) -> None:
            assert tracking_uri.startswith("sqlite:///")

        def get_experiment_by_name(self, _: str) -> Any:
            return SimpleNamespace(experiment_id="1") if found.runs else None

        def create_experiment(self, _: str, artifact_location: str) -> str:
            assert artifact_location.startswith("file:///")
            return "1"

        def create_run(self, _: str, run_name: str) -> Any:
            assert run_name == "run-1"
            found.runs += 1
            return SimpleNamespace(info=SimpleNamespace(run_id=str(found.runs)))

        def get_run(self, identity: str) -> None:
            if int(identity) > found.runs:
                error: Any = RuntimeError("no such run")
                error.error_code = "RESOURCE_DOES_NOT_EXIST"
                raise error

        def update_run(self, _: str, status: str) -> None: ...
        def set_terminated(self, _: str, status: str) -> None: ...
        def log_batch(self, _: str, metrics: Any = (), params: Any = ()) -> None:
            assert len(params) <= 100
            found.parameters.update(params)
            for name, value, _time, step in metrics:
                found.scalar(name, value, step)

    entities = SimpleNamespace(Param=lambda *x: x, Metric=lambda *x: x)
    install(patch, "mlflow", MlflowClient=Client, entities=entities)
    install(patch, "sqlalchemy")
    install(patch, "alembic")
    return lambda _: found


def wandb_stand_in(patch: pytest.MonkeyPatch) -> Read:
    runs: dict[str, Found] = {}

    def init(**given: Any) -> Any:
        assert (given["mode"], given["resume"]) == ("offline", "allow")
        # Offline the newest run replaces the older ones of the same identity.
        found = runs[given["id"]] = Found()
        found.parameters = {name: str(value) for name, value in given["config"].items()}

        def log(values: dict[str, float], step: int, commit: bool) -> None:
            assert commit
            for name, value in values.items():
                found.scalar(name, value, step)

        def finish(exit_code: int) -> None:
            assert exit_code in (0, 1)

        return SimpleNamespace(resumed=False, log=log, summary=found.results, finish=finish)

    install(patch, "wandb", init=init, Settings=SimpleNamespace)

    def read(_: Path) -> Found:
        (found,) = runs.values()
        return found

    return read


STAND_INS = {
    "tensorboard": tensorboard_stand_in,
    "mlflow": mlflow_stand_in,
    "wandb": wandb_stand_in,
}


# Readers of what the real clients write


def read_tensorboard(directory: Path) -> Found:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    events = EventAccumulator(str(directory / "tensorboard")).Reload()
    found = Found()
    for name in events.Tags()["scalars"]:
        for event in events.Scalars(name):
            found.scalar(name, event.value, event.step)
    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    begun = HParamsPluginData.FromString(content).session_start_info
    for name, value in begun.hparams.items():
        found.parameters[name] = str(getattr(value, value.WhichOneof("kind")))
    return found


def read_mlflow(directory: Path) -> Found:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{directory}/mlflow/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("cifarlab").experiment_id])
    data = runs[0].data
    found = Found(parameters=data.params, runs=len(runs))
    for name in data.metrics:
        for metric in client.get_metric_history(runs[0].info.run_id, name):
            found.scalar(name, metric.value, metric.step)
    return found


def read_wandb(directory: Path) -> Found:
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = (directory / "wandb" / "latest-run").glob("*.wandb")
    found = Found(
        runs=len({p.name.split("-")[3] for p in (directory / "wandb").glob("offline-run-*")})
    )
    for content in records_of(file.read_bytes()):
        record = Record.FromString(content)
        values = {
            (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
            for part in (record.history.item, record.summary.update, record.config.update)
            for item in part
        }
        if record.WhichOneof("record_type") == "history":
            for name in COLUMNS & set(values):
                found.scalar(name, values[name], values["_step"])
        elif record.WhichOneof("record_type") == "run":
            for item in record.run.config.update:
                found.parameters[item.key] = str(json.loads(item.value_json))
        else:
            found.results |= {n: v for n, v in values.items() if n.startswith("test/")}
    return found


def records_of(content: bytes) -> list[bytes]:
    """Split a log in LevelDB's format: blocks of 32 KiB after a header of 7 bytes."""
    records, parts, at = [], b"", 7
    while at + 7 <= len(content):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            records.append(parts)
            parts = b""
    return records


READERS = {"tensorboard": read_tensorboard, "mlflow": read_mlflow, "wandb": read_wandb}
