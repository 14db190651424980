"""The run directory: the name of every file in it, and who may write there."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cifarlab.errors import InputError, ResourceError, UsageError
from cifarlab.files import TEMPORARY_PREFIX, cannot_write, check_writable, write_csv, write_text

_BEST = "best.keras"
# Where runs go by default.
RUNS = Path("runs")
CHECKPOINT_SUFFIXES = (".safetensors", ".json", ".keras")


class _Entry:
    """A name inside a run directory; read from a run, it is the whole path."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: RunDirectory, owner: type[RunDirectory]) -> Path:
        return run.path / self.name


@dataclass(frozen=True, kw_only=True)
class RunDirectory:
    """Where everything about one run lies; nothing is created or read by naming it.

    Example:
        >>> RunDirectory(path=Path("runs/baseline-1")).history.as_posix()
        'runs/baseline-1/history.csv'
    """

    path: Path

    recipe = _Entry("recipe.json")
    environment = _Entry("environment.json")
    history = _Entry("history.csv")
    metrics = _Entry("metrics.json")
    predictions = _Entry("predictions.npz")
    best_keras = _Entry(_BEST)
    best_h5 = _Entry("best.h5")
    curves = _Entry("curves.png")
    confusion_matrix = _Entry("confusion_matrix.png")
    samples = _Entry("samples.png")
    report = _Entry("report.html")
    # Which run of the experiment tracker this is, if there is one.
    tracking = _Entry("tracking.json")
    # A directory in which every file ends in one of CHECKPOINT_SUFFIXES.
    checkpoint = _Entry("checkpoint")
    # A model of the user's before its training as it was compiled, to resume from.
    started_with = _Entry("checkpoint/start.keras")
    lock_file = _Entry(".lock")
    lock_holder = _Entry(".lock-holder")

    @property
    def results(self) -> tuple[Path, ...]:
        """Every file of a run except its checkpoint and lock, the one that makes it a run first."""
        return (
            *(self.recipe, self.environment, self.history, self.metrics),
            *(self.predictions, self.best_keras, self.best_h5),
            *(self.curves, self.confusion_matrix, self.samples, self.report, self.tracking),
        )


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write one row per epoch (epoch, loss, accuracy, ...) as CSV; see ``write_csv``."""
    write_csv(path, rows)


def read_history(path: Path) -> list[dict[str, float]]:
    """Return what ``write_history`` wrote, whole numbers as ``int``.

    Raises:
        InputError: the file is missing or is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{path}: cannot be read as a history ({error}); train again or restore the file"
        ) from error
    header = lines[0] if lines else []
    rows = []
    for number, cells in enumerate(lines[1:], start=2):
        try:
            pairs = zip(header, cells, strict=True)
            rows.append({name: _number(cell) for name, cell in pairs if cell})
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: {','.join(cells)[:80]!r} is not a number for each of "
                f"{len(header)} columns; train again or restore the file"
            ) from error
    return rows


# What version 0.1 called keys in a run's files.
OLD_KEYS = {"pictures": "images", "pictures_per_second": "images_per_second"}


def read_json(path: Path) -> Any:
    """Return what one of a run's ``.json`` files holds, its keys called as they are today.

    Raises:
        InputError: it is missing or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_hook=_current_keys)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); start a new run") from error


def _current_keys(content: dict[str, Any]) -> dict[str, Any]:
    # A part of a recipe has a kind, and translations of its own.
    if "kind" in content:
        return content
    return {OLD_KEYS.get(key, key): value for key, value in content.items()}


# Directories


def new_run_directory(root: Path, recipe_name: str) -> RunDirectory:
    """Create ``<root>/<recipe_name>-<n>`` with the first free ``n`` from 1, for this caller alone.

    Raises:
        UsageError: ``recipe_name`` cannot be part of a file name.
        ResourceError: ``root`` cannot be created or written to.
    """
    if not re.fullmatch(r"[\w.+-]{1,100}", recipe_name):
        raise UsageError(
            f"recipe name {recipe_name!r}: it names a directory, so it must be "
            "1 to 100 letters, digits, dots, dashes or underscores"
        )
    _make_directory(root)
    number = 1
    while True:
        path = root.absolute() / f"{recipe_name}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:
            raise cannot_write(path, error) from error
        else:
            check_writable(path)
            return RunDirectory(path=path)


def use_directory(path: Path, *, overwrite: bool) -> RunDirectory:
    """Prepare the directory that a user chose, creating it when there is none.

    With ``overwrite`` the files of an earlier run are removed; files that no run writes
    stay. Lock files and remains of a killed process do not count as content.

    Raises:
        UsageError: it is not empty and ``overwrite`` is not set, or another process is
            writing to it; nothing has changed.
        ResourceError: it cannot be created or written to.
    """
    _make_directory(path)
    check_unused(path, overwrite=overwrite)
    run = RunDirectory(path=path.absolute())
    check_writable(path)
    if overwrite:
        with lock(run):
            _remove_results(run)
    return run


def check_unused(path: Path, *, overwrite: bool) -> None:
    """Raise unless a run may be written to ``path``; nothing is created or changed.

    Raises:
        UsageError: it holds something and ``overwrite`` is not set.
        ResourceError: it is no directory, or cannot be read.
    """
    run = RunDirectory(path=path)
    ignored = {run.lock_file.name, run.lock_holder.name}
    try:
        names = {entry.name for entry in path.iterdir()} - ignored
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(path, error) from error
    if not overwrite and any(not name.startswith(TEMPORARY_PREFIX) for name in names):
        raise UsageError(
            f"{path}: the directory is not empty; choose another, "
            "continue the run in it (--resume) or replace it (--overwrite)"
        )


def find_run(path: Path) -> RunDirectory:
    """Return the run that lies in ``path``, for reading.

    Raises:
        InputError: there is none, with the newest run below ``path`` named if there is one.
    """
    run = RunDirectory(path=path.absolute())
    try:
        if run.recipe.is_file():
            return run
        below = sorted(path.glob(f"*/{run.recipe.name}"), key=lambda file: file.stat().st_mtime)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error}); check the path") from error
    remedy = f"try {below[-1].parent}" if below else "train first, or name a directory under runs"
    raise InputError(f"{path}: not a run directory, as it has no {run.recipe.name}; {remedy}")


def newest_run(root: Path = RUNS) -> Path | None:
    """Return the finished run below ``root`` whose model was written last, if there is one."""
    models = sorted(root.glob(f"*/{_BEST}"), key=lambda file: file.stat().st_mtime)
    return models[-1].parent if models else None


@contextmanager
def lock(run: RunDirectory) -> Iterator[None]:
    """Be the only writer of ``run`` within the block.

    The kernel holds the lock, so it ends with the process, however that ends. Temporary
    files that a killed writer left behind are removed.

    Raises:
        UsageError: another process holds it; its number is in the message.
        ResourceError: the directory cannot be written to.
    """
    guard = FileLock(run.lock_file, timeout=0, thread_local=False)
    try:
        guard.acquire()
    except Timeout:
        raise UsageError(
            f"{run.path}: {_holder(run)} is writing to it; "
            "wait until that ends, or choose another directory"
        ) from None
    except OSError as error:
        raise cannot_write(run.lock_file, error) from error
    try:
        write_text(run.lock_holder, f"{os.getpid()}\n")
        _remove_remains(run)
        yield
    finally:
        with suppress(OSError):
            run.lock_holder.unlink()
        guard.release()


# Details


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ResourceError(f"{path}: is a file, not a directory; choose another path") from None
    except OSError as error:
        raise cannot_write(path, error) from error


def _remove_results(run: RunDirectory) -> None:
    try:
        for file in run.results:
            if file.is_file() or file.is_symlink():
                file.unlink()
        if run.checkpoint.is_symlink() or not run.checkpoint.is_dir():
            return
        for file in sorted(run.checkpoint.rglob("*"), reverse=True):
            if file.is_dir() and not file.is_symlink():
                _remove_if_empty(file)
            elif file.suffix in CHECKPOINT_SUFFIXES:
                file.unlink()
        _remove_if_empty(run.checkpoint)
    except OSError as error:
        raise cannot_write(run.path, error) from error


def _remove_if_empty(directory: Path) -> None:
    if not any(directory.iterdir()):
        directory.rmdir()


def _remove_remains(run: RunDirectory) -> None:
    for directory in (run.path, run.checkpoint):
        for file in directory.glob(f"{TEMPORARY_PREFIX}*"):
            with suppress(OSError):
                file.unlink()


def _holder(run: RunDirectory) -> str:
    try:
        return f"process {int(run.lock_holder.read_text())}"
    except (OSError, ValueError):
        # Between taking the lock and writing the number there is a moment without one.
        return "another process"


def _number(cell: str) -> float:
    return int(cell) if re.fullmatch(r"-?\d+", cell) else float(cell)
