"""Worker processes, seen from the one that gives them work; ``answering.py`` is their end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from cifarlab.errors import CifarlabError, UsageError

ROOT = Path(__file__).resolve().parents[1]


class WorkerError(CifarlabError):
    """A worker cannot do the work, or died."""


class MissingLibraryError(WorkerError):
    """The worker's interpreter lacks a library; the message is its name."""


# How the line of a traceback begins that says what went wrong. It need not be the last one:
# PyTorch has advice behind what CUDA and its compiler report.
RAISED = re.compile(r"[\w.]*(Error|Exception)\w*: ")

# What a worker answers instead of doing the work, and what to raise for it.
REFUSALS: dict[str, type[CifarlabError]] = {"missing": MissingLibraryError, "usage": UsageError}


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A running worker; ``errors`` receives what it writes to standard error."""

    name: str
    process: subprocess.Popen[str]
    errors: IO[bytes]

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Send a message and wait for the answer.

        Raises:
            MissingLibraryError: its interpreter lacks a library that it needs.
            UsageError: it was asked for what does not exist.
            WorkerError: it has died.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except OSError:
            # It is dead; reading finds its end, or a last answer that says why.
            pass
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"{self.name} {_death(self.process.wait())}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        for key, kind in REFUSALS.items():
            if key in answer:
                raise kind(answer[key])
        return answer

    def _last_words(self) -> str:
        self.errors.seek(0)
        return what_went_wrong(self.errors.read())


def what_went_wrong(errors: bytes) -> str:
    """Return the line of a process's standard error that says why it died."""
    text = errors.decode(errors="replace")
    lines = [line.rstrip() for line in reversed(text.split("\n")) if line.strip()]
    raised = next((line for line in lines if RAISED.match(line)), None)
    return raised or (lines[0].strip() if lines else "it said nothing")


def _death(status: int) -> str:
    return f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"


@contextlib.contextmanager
def running(
    name: str,
    module: str,
    interpreter: str = sys.executable,
    environment: Mapping[str, str] = {},
) -> Iterator[Worker]:
    """Run ``python -m module`` as a worker inside the block and kill it at the end.

    Args:
        name: what messages call it.
        environment: variables to set beside those of this process.
    """
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [interpreter, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **environment},
        ) as process,
    ):
        try:
            yield Worker(name=name, process=process, errors=errors)
        finally:
            # Nothing in a worker is worth saving, and some libraries take long to leave.
            process.kill()
            # Closing flushes what a worker that had died never read.
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Workers that stay alive from one piece of work to the next.

    Attributes:
        starts: for each name what runs the worker.
        stack: what ends them.
        started: those of them that have been asked for.
    """

    starts: Mapping[str, Callable[[], contextlib.AbstractContextManager[Worker]]]
    stack: contextlib.ExitStack
    started: dict[str, Worker] = field(default_factory=dict)

    def worker(self, name: str) -> Worker:
        """Return the worker of that name, started at the first call and again if it has died."""
        worker = self.started.get(name)
        if worker is None or worker.process.poll() is not None:
            worker = self.started[name] = self.stack.enter_context(self.starts[name]())
        return worker
