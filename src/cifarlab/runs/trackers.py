"""The clients of experiment trackers, each behind the same calls; nothing leaves the machine.

Each client writes below the run directory, unless the user has sent it
elsewhere with the client's own environment variables (``MLFLOW_TRACKING_URI``,
``WANDB_MODE``). The libraries are imported when they are needed: none is a requirement.
"""

from __future__ import annotations

import importlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cifarlab.errors import UsageError
from cifarlab.runtime.extras import install_command

PROJECT = "cifarlab"
# MLflow takes no more at once.
MOST_PARAMETERS = 100

Values = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrackerOptions:
    """What a client begins with.

    Attributes:
        directory: the run directory, absolute.
        name: what the tracker calls the run.
        parameters: dotted names and plain values.
        identity: of the tracked run to go on with, or ``None`` for a new one.
        epochs: how many epochs were logged to that tracked run.
    """

    directory: Path
    name: str
    parameters: Mapping[str, str | float]
    identity: str | None = None
    epochs: int = 0


class Client(Protocol):
    """A tracked run.

    Attributes:
        identity: by which the client finds the tracked run again.
        epochs: how many epochs it still knows of.
    """

    identity: str
    epochs: int

    def row(self, values: Values, epoch: int) -> None:
        """Log what was measured in ``epoch`` (from 1)."""

    def result(self, values: Values, epoch: int) -> None:
        """Log the numbers of the finished run, which has ``epoch`` epochs."""

    def close(self, *, finished: bool) -> None:
        """Log how the run ended, and release everything."""


class TensorBoard:
    """Event files in ``tensorboard/``, with the parameters on TensorBoard's HPARAMS page."""

    def __init__(self, start: TrackerOptions) -> None:
        board: Any = importlib.import_module("torch.utils.tensorboard")
        summary: Any = importlib.import_module("torch.utils.tensorboard.summary")
        self.identity = "tensorboard"
        self.epochs = start.epochs
        # TensorBoard forgets what older event files say of this epoch and later ones.
        self.writer = board.SummaryWriter(
            str(start.directory / self.identity), purge_step=start.epochs + 1
        )
        columns = {"val_accuracy": None, "test/accuracy": None}
        # The writer's own ``add_hparams`` begins a second event file, and TensorBoard then
        # stops reading the first.
        experiment, begun, self.ended = summary.hparams(dict(start.parameters), columns)
        self.writer.file_writer.add_summary(experiment)
        self.writer.file_writer.add_summary(begun)

    def row(self, values: Values, epoch: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def result(self, values: Values, epoch: int) -> None:
        self.row(values, epoch)

    def close(self, *, finished: bool) -> None:
        if finished:
            self.writer.file_writer.add_summary(self.ended)
        self.writer.close()


class MLflow:
    """A run in the SQLite store ``mlflow/mlflow.db``, or where ``MLFLOW_TRACKING_URI`` says.

    SQLite is the store that MLflow itself begins with since version 3.7; its older store of
    plain files is no longer developed.
    """

    def __init__(self, start: TrackerOptions) -> None:
        self.mlflow: Any = importlib.import_module("mlflow")
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not uri:
            home = start.directory / "mlflow"
            home.mkdir(exist_ok=True)
            uri, artifacts = f"sqlite:///{(home / 'mlflow.db').as_posix()}", home / "artifacts"
        with _quiet("mlflow", "alembic"):
            self.client = self.mlflow.MlflowClient(tracking_uri=uri)
            if start.identity is not None and self._reopen(start.identity):
                self.identity, self.epochs = start.identity, start.epochs
            else:
                self.identity, self.epochs = self._begin(start, artifacts), 0

    def _reopen(self, identity: str) -> bool:
        try:
            self.client.get_run(identity)
        except Exception as error:
            # The run began in another store. All else, such as a server that does not answer,
            # must not lead to a second run.
            if getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        self.client.update_run(identity, status="RUNNING")
        return True

    def _begin(self, start: TrackerOptions, artifacts: Path | None) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        existing = self.client.get_experiment_by_name(name)
        if existing is not None:
            experiment = existing.experiment_id
        else:
            location = artifacts.as_uri() if artifacts is not None else None
            experiment = self.client.create_experiment(name, artifact_location=location)
        identity = str(self.client.create_run(experiment, run_name=start.name).info.run_id)
        parameters = [
            self.mlflow.entities.Param(name, str(value)) for name, value in start.parameters.items()
        ]
        for first in range(0, len(parameters), MOST_PARAMETERS):
            part = parameters[first : first + MOST_PARAMETERS]
            self.client.log_batch(identity, params=part)
        return identity

    def row(self, values: Values, epoch: int) -> None:
        now = round(time.time() * 1000)
        metrics = [
            self.mlflow.entities.Metric(name, value, now, epoch) for name, value in values.items()
        ]
        self.client.log_batch(self.identity, metrics=metrics)

    def result(self, values: Values, epoch: int) -> None:
        self.row(values, epoch)

    def close(self, *, finished: bool) -> None:
        self.client.set_terminated(self.identity, "FINISHED" if finished else "KILLED")


class WandB:
    """A run of Weights & Biases in ``wandb/``, offline unless ``WANDB_MODE`` says otherwise.

    The client cannot reopen an offline run. A resumed one therefore begins a new offline run
    with the same identity and logs everything again, so that the newest is always complete:
    ``wandb sync RUN/wandb/latest-run``.
    """

    def __init__(self, start: TrackerOptions) -> None:
        wandb: Any = importlib.import_module("wandb")
        self.identity = start.identity or secrets.token_hex(4)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=start.name,
            id=self.identity,
            resume="allow",
            mode=None if os.environ.get("WANDB_MODE") else "offline",
            dir=os.environ.get("WANDB_DIR") or str(start.directory),
            config=dict(start.parameters),
            # A run that the caller has open stays as it is.
            reinit="create_new",
            # The terminal is ours: the client would copy it, and write on it.
            settings=wandb.Settings(console="off", silent=True),
        )
        self.epochs = start.epochs if self.run.resumed else 0

    def row(self, values: Values, epoch: int) -> None:
        self.run.log(dict(values), step=epoch, commit=True)

    def result(self, values: Values, epoch: int) -> None:
        # A committed step takes no more values; single numbers belong in the summary anyway.
        del epoch
        self.run.summary.update(dict(values))

    def close(self, *, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)


CLIENTS: dict[str, Callable[[TrackerOptions], Client]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}

# What each cannot do without.
MODULES = {
    "tensorboard": ("tensorboard", "torch.utils.tensorboard"),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
}

# A client sends reports about its own use, too. Each reads whether it may when it is
# imported: not as long as the user has not set the first of these variables.
REPORTS = {
    "mlflow": ("MLFLOW_TRACKING_URI", "MLFLOW_DISABLE_TELEMETRY", "true"),
    "wandb": ("WANDB_MODE", "WANDB_ERROR_REPORTING", "false"),
}


def check_tracker(name: str) -> None:
    """Import the client called ``name``.

    Raises:
        UsageError: there is no such tracker, or it is not installed.
    """
    if name not in CLIENTS:
        raise UsageError(f"tracker {name!r}: choose from {', '.join(CLIENTS)}")
    if name in REPORTS:
        sent_elsewhere, variable, value = REPORTS[name]
        if not os.environ.get(sent_elsewhere):
            os.environ.setdefault(variable, value)
    for module in MODULES[name]:
        try:
            # The client's own directory, met as a package without files, is not the client.
            missing = getattr(importlib.import_module(module), "__file__", None) is None
        except ImportError:
            missing = True
        if missing:
            raise UsageError(
                f"tracker {name!r} needs the package {module.split('.')[0]}; "
                f"run: {install_command(name)}"
            )


@contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Let these loggers say nothing below a warning inside the block."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
