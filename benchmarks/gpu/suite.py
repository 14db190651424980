"""Run every part of the suite, each in a process of its own, and write one JSON file.

A part that fails, hangs or is out of time loses nothing: its rows so far are in the file, which
is written anew after each row, and the next part runs.

Command: ``make gpu``, or ``python -m benchmarks.gpu.suite --dry`` on a CPU; see docs/gpu.md.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.command import positive, say
from benchmarks.gpu.dry import dry_setup
from benchmarks.gpu.setup import Setup
from benchmarks.workers import ROOT, what_went_wrong
from cifarlab.files import write_json
from cifarlab.runtime.device import choose_precision
from cifarlab.runtime.environment import describe_environment

# Each part, and its share of the minutes; the last one has what the others leave.
PARTS: Mapping[str, float] = {"parity": 0.13, "race": 0.42, "speed": 0.25, "variants": 1.0}
GRACE_SECONDS = 5.0


@dataclasses.dataclass(kw_only=True)
class Progress:
    """What the file holds of one part.

    Attributes:
        status: ``"running"``, ``"done"``, ``"out of time"`` or ``"failed"``.
        failure: what it said last, where it failed.
    """

    status: str = "running"
    seconds: float = 0.0
    failure: str | None = None
    rows: list[Mapping[str, Any]] = dataclasses.field(default_factory=list)


def run_part(
    name: str, setup: Setup, seconds: float, changed: Callable[[Progress], None]
) -> Progress:
    """Run one part for at most so many seconds and return what it gave.

    Args:
        changed: is told whenever there is a new row.
    """
    progress, began = Progress(), time.monotonic()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command(name, setup),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            while (line := _next(lines, began + seconds)) is not None:
                progress.rows.append(json.loads(line))
                say(f"{name}: {line.strip()}")
                changed(progress)
            progress.status = "done" if process.wait() == 0 else "failed"
        except queue.Empty:
            progress.status = "out of time"
        finally:
            _end(process)
            reader.join(GRACE_SECONDS)
        progress.seconds = time.monotonic() - began
        if progress.status == "failed":
            progress.failure = what_went_wrong(errors.seek(0) or errors.read())
    changed(progress)
    return progress


def command(name: str, setup: Setup) -> list[str]:
    """Return the command that runs a part."""
    return [sys.executable, "-m", "benchmarks.gpu.part", name, as_json(setup)]


def as_json(setup: Setup) -> str:
    """Return the setup as ``part.py`` reads it."""
    return json.dumps({**dataclasses.asdict(setup), "published": str(setup.published)})


def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.put(line)
    lines.put(None)


def _next(lines: queue.SimpleQueue[str | None], deadline: float) -> str | None:
    """Return the next line, ``None`` after the last one; raise ``queue.Empty`` at the deadline."""
    return lines.get(timeout=max(0.0, deadline - time.monotonic()))


def _end(process: subprocess.Popen[str]) -> None:
    """End the part and the workers that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)


def run(setup: Setup, parts: Sequence[str], minutes: float, out: Path) -> dict[str, Any]:
    """Run the parts in order; write the file after every row and return what it holds."""
    began = time.monotonic()
    document: dict[str, Any] = {
        "version": 1,
        "command": ["python", "-m", "benchmarks.gpu.suite", *sys.argv[1:]],
        "setup": json.loads(as_json(setup)),
        "environment": environment(setup.device),
        "parts": {},
    }
    for name in parts:
        left = 60.0 * minutes - (time.monotonic() - began)
        share = left if name == parts[-1] else min(left, 60.0 * minutes * PARTS[name])

        def changed(progress: Progress, name: str = name) -> None:
            document["parts"][name] = dataclasses.asdict(progress)
            write_json(out, document)

        progress = run_part(name, setup, share, changed)
        failure = f" ({progress.failure})" if progress.failure else ""
        say(f"{name}: {progress.status}{failure}, {progress.seconds:.0f} s")
    return document


def environment(device: str) -> dict[str, Any]:
    """Return versions, machine and commit; what a checkout without git is told by ``pack.py``."""
    where = torch.device(device)
    described = dict(describe_environment(where, choose_precision("auto", where)))
    packed = ROOT / ".gpu" / "commit.txt"
    if described["git"] is None and packed.is_file():
        described["git"] = packed.read_text().strip()
    described["cuda"] = torch.version.cuda
    described["cudnn"] = torch.backends.cudnn.version()
    return described


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 1 when something failed."""
    chosen = _parser().parse_args(arguments)
    with contextlib.ExitStack() as stack:
        if chosen.dry:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-dry-")))
            setup = dry_setup(folder)
        else:
            if not torch.cuda.is_available():
                say("error: PyTorch sees no GPU on this machine; use --dry to try the suite")
                return 2
            setup = Setup(device="cuda", data=chosen.data, published=chosen.published, tiny=False)
        document = run(setup, chosen.parts, chosen.minutes, chosen.out)
    say(f"written: {chosen.out.absolute()}")
    return int(failed(document) or (chosen.dry and not finished(document)))


def failed(document: Mapping[str, Any]) -> bool:
    """Return whether a part, or anything in one, failed or was found wrong."""
    parts = document["parts"].values()
    return any(
        part["status"] == "failed"
        or any(row.get("failure") or row.get("ok") is False for row in part["rows"])
        for part in parts
    )


def finished(document: Mapping[str, Any]) -> bool:
    """Return whether every part came to its end."""
    return all(part["status"] == "done" for part in document["parts"].values())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.suite", description=__doc__)
    add = parser.add_argument
    add("--dry", action="store_true", help="on the CPU, with tiny networks and generated images")
    add("--minutes", type=positive, default=8, help="for all parts together (%(default)s)")
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="(all)")
    add("--data", default=".gpu/data", help="the folder of CIFAR-10's shards (%(default)s)")
    add(
        "--published",
        type=Path,
        default=Path(".gpu/published"),
        help="the folder with copies of the published code (%(default)s)",
    )
    add("--out", type=Path, default=Path("gpu.json"), help="the file to write (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
