"""Worker processes, seen from the one that gives them work; ``answering.py`` is their end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cifarlab.errors import CifarlabError, UsageError

ROOT = Path(__file__).resolve().parents[1]


class WorkerError(CifarlabError):
    """A worker cannot do the work, or died."""


class MissingLibraryError(WorkerError):
    """The worker's interpreter lacks a library; the message is its name."""


# What a worker answers instead of doing the work, and what to raise for it.
REFUSALS: dict[str, type[CifarlabError]] = {"missing": MissingLibraryError, "usage": UsageError}


@dataclass(frozen=True)
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
        lines = self.errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


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
            yield Worker(name, process, errors)
        finally:
            # Nothing in a worker is worth saving, and some libraries take long to leave.
            process.kill()
            # Closing flushes what a worker that had died never read.
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
