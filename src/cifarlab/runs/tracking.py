"""What a run logs to an experiment tracker: the same under the same names for every tracker.

Tracked are the columns of ``history.csv`` at each epoch, the recipe and the environment as
parameters with dotted names, and in the end ``test/accuracy`` and ``test/loss``. The file
``tracking.json`` in the run directory says which tracked run that is, so that a resumed run
goes on in it.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifarlab.errors import InputError, UsageError
from cifarlab.files import write_json
from cifarlab.runs.directory import RunDirectory, read_json
from cifarlab.runs.trackers import CLIENTS, Client, TrackerOptions, check_tracker

if TYPE_CHECKING:
    from cifarlab.evaluation.metrics import Metrics

# Trackers limit the length of a value, MLflow to a few thousand letters.
LONGEST = 500


@dataclass(frozen=True, kw_only=True)
class _Note:
    """The content of ``tracking.json``.

    Attributes:
        identity: by which the client finds the tracked run again.
        epochs: how many epochs were logged to it.
    """

    tracker: str
    identity: str | None = None
    epochs: int = 0


class Tracking:
    """A run's connection to its tracker; without a tracker every call does nothing.

    When the client fails there is one warning and then silence: training goes on.
    """

    def __init__(self, tracker: str, client: Client | None, file: Path) -> None:
        self.tracker = tracker
        self.client = client
        self.file = file
        self.epochs = client.epochs if client is not None else 0
        self.finished = False

    def record(self, history: Sequence[Mapping[str, float]]) -> None:
        """Log the epochs that are not logged yet.

        Args:
            history: all rows so far, as in ``history.csv``.
        """
        for row in history[self.epochs :]:
            self._tell(partial(_tell_of, row))
            self.epochs += 1
        self._tell(self._note)

    def finish(self, history: Sequence[Mapping[str, float]], test: Metrics) -> None:
        """Log the numbers on the test split, and that the run is complete."""
        self.record(history)
        values = {"test/accuracy": float(test.accuracy), "test/loss": float(test.loss)}
        self._tell(lambda client: client.result(values, len(history)))
        self.finished = True

    def close(self) -> None:
        """Log how the run ended: as interrupted unless ``finish`` was called."""
        self._tell(lambda client: client.close(finished=self.finished))
        self.client = None

    def _note(self, client: Client) -> None:
        note = _Note(tracker=self.tracker, identity=client.identity, epochs=self.epochs)
        write_json(self.file, asdict(note))

    def _tell(self, action: Callable[[Client], object]) -> None:
        if self.client is None:
            return
        try:
            action(self.client)
        except Exception as error:
            self.client = None
            warnings.warn(
                f"{self.tracker} failed ({_shortly(error)}); "
                "training goes on without being tracked",
                stacklevel=3,
            )


def _tell_of(row: Mapping[str, float], client: Client) -> None:
    values = {name: float(value) for name, value in row.items() if name != "epoch"}
    client.row(values, int(row["epoch"]))


@contextmanager
def tracked(tracker: str | None, run: RunDirectory) -> Iterator[Tracking]:
    """Track ``run`` inside the block, going on with the tracked run that it began, if any.

    Args:
        tracker: a name in ``cifarlab.runs.trackers.CLIENTS``; ``None`` for the one that the run
            was tracked with before, or else none.
        run: its ``recipe.json`` and ``environment.json`` become the parameters.

    Raises:
        UsageError: no such tracker, it is not installed, or it cannot begin.
        InputError: ``tracking.json`` cannot be read.
    """
    file = run.tracking
    note = _read(file)
    tracker = tracker or (note.tracker if note is not None else None)
    if tracker is None:
        yield Tracking("", None, file)
        return
    check_tracker(tracker)
    if note is None or note.tracker != tracker:
        note = _Note(tracker=tracker)
    parameters = parameters_of(run)
    start = TrackerOptions(
        directory=run.path,
        name=run.path.name,
        parameters=parameters,
        identity=note.identity,
        epochs=note.epochs,
    )
    try:
        client = CLIENTS[tracker](start)
    except Exception as error:
        raise UsageError(
            f"tracker {tracker!r} cannot begin ({_shortly(error)}); "
            "check its settings, or train without it"
        ) from error
    tracking = Tracking(tracker, client, file)
    try:
        tracking.record(())
        yield tracking
    finally:
        tracking.close()


def parameters_of(run: RunDirectory) -> dict[str, str | float]:
    """Return the run's recipe and, below ``environment.``, its environment; names have dots."""
    recipe = dict(read_json(run.recipe))
    environment = read_json(run.environment)
    recipe.pop("kind", None)
    return flat(recipe) | flat(environment, "environment.")


def flat(value: Any, prefix: str = "") -> dict[str, str | float]:
    """Flatten JSON values under dotted names; a list of plain values stays one text.

    Example:
        >>> flat({"epochs": 3, "optimizers": [{"kind": "Adam", "betas": [0.9, 0.999]}]})
        {'epochs': 3, 'optimizers.0.kind': 'Adam', 'optimizers.0.betas': '[0.9, 0.999]'}
    """
    if isinstance(value, list) and any(isinstance(item, (list, dict)) for item in value):
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, dict) and value:
        flattened: dict[str, str | float] = {}
        for name, item in value.items():
            flattened |= flat(item, f"{prefix}{name}.")
        return flattened
    if not isinstance(value, (str, int, float)):
        value = json.dumps(value, ensure_ascii=False)
    return {prefix.removesuffix("."): value[:LONGEST] if isinstance(value, str) else value}


def _read(file: Path) -> _Note | None:
    if not file.exists():
        return None
    try:
        return _Note(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: cannot be read ({error}); remove it to begin a new tracked run"
        ) from error


def _shortly(error: Exception) -> str:
    """Say what went wrong in the first line of it."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
