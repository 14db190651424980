"""Keras scripts as people write them: with ``cifarlab run``, and with Keras alone.

Every script in ``scripts/`` runs unmodified with ``cifarlab run``, with Keras on PyTorch and with
Keras on TensorFlow, alternating, each time in a new process: starting it, importing and preparing
count in the seconds; images per second are those of the epochs after the first.

Command: ``python -m benchmarks.zoo``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.script_runs import SCRIPTS, ScriptRun, Workload, ours, run_script
from benchmarks.workers import WorkerError
from cifarlab.errors import CifarlabError

OURS, TORCH, TENSORFLOW = "cifarlab run", "Keras on PyTorch", "Keras on TensorFlow"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A way to run a script: what its path is put behind, and Keras's backend."""

    command: Sequence[str]
    backend: str


Runs = Mapping[str, Sequence[ScriptRun]]


def rivals(python: str | None, precision: str) -> dict[str, Rival]:
    """Return the ways to run a script, TensorFlow's only where it is installed.

    Args:
        python: the interpreter of the environment with TensorFlow; ``None`` for this one.
        precision: of ``cifarlab run``.
    """
    tensorflow = [python or sys.executable]
    found = {
        OURS: Rival(command=ours(precision), backend="torch"),
        TORCH: Rival(command=[sys.executable], backend="torch"),
    }
    asked = subprocess.run(
        [*tensorflow, "-c", "import importlib.util as u; print(u.find_spec('tensorflow'))"],
        capture_output=True,
        text=True,
    )
    if asked.returncode == 0 and asked.stdout.strip() != "None":
        found[TENSORFLOW] = Rival(command=tensorflow, backend="tensorflow")
    else:
        say(f"{TENSORFLOW} is left out: {tensorflow[0]} has none; see docs/benchmarks.md")
    return found


def measure(name: str, systems: Mapping[str, Rival], workload: Workload, rounds: int) -> Runs:
    """Run a script with every system once in each round.

    Raises:
        UsageError: there is no such script.
        WorkerError: the script failed with one of them.
    """
    runs: dict[str, list[ScriptRun]] = {system: [] for system in systems}
    for number in range(rounds):
        for system, rival in systems.items():
            run = run_script(name, rival.command, workload, rival.backend)
            runs[system].append(run)
            say(
                f"{name} {number + 1}/{rounds}: {system} {run.rate:,.0f} images/s, "
                f"{run.seconds:.1f} s in all"
            )
    return runs


def ratio(runs: Runs, speed: Callable[[ScriptRun], float]) -> float:
    """Return how many times as fast as the fastest other one ours is: the median over rounds.

    Args:
        speed: of a run; more is faster.
    """
    others = [values for system, values in runs.items() if system != OURS]
    rounds = zip(runs[OURS], *others, strict=True)
    return statistics.median(speed(mine) / max(map(speed, rest)) for mine, *rest in rounds)


def rate(run: ScriptRun) -> float:
    """Return training images per second."""
    return run.rate


def quickness(run: ScriptRun) -> float:
    """Return whole runs per second."""
    return 1.0 / run.seconds


def document(measured: Mapping[str, Runs], workload: Workload) -> dict[str, Any]:
    """Return everything as one JSON object."""
    return {
        "workload": workload.variables(),
        "scripts": {
            name: {
                "images_per_second": {s: [run.rate for run in own] for s, own in runs.items()},
                "seconds": {s: [run.seconds for run in own] for s, own in runs.items()},
                "ratio_of_images_per_second": ratio(runs, rate),
                "ratio_of_seconds": ratio(runs, quickness),
            }
            for name, runs in measured.items()
        },
        "command": ["python", "-m", "benchmarks.zoo", *sys.argv[1:]],
    }


def table(measured: Mapping[str, Runs]) -> str:
    """Return a Markdown table: medians of images/s and of whole seconds, and both ratios."""
    systems = list(next(iter(measured.values())))
    head = [f"{s}: images/s (whole run, s)" for s in systems]
    rows = [["script", *head, "images/s, times the faster", "whole run, times the faster"]]
    rows.append(["---"] * len(rows[0]))
    for name, runs in measured.items():
        cells = [
            f"{statistics.median(map(rate, runs[s])):,.0f} "
            f"({statistics.median(run.seconds for run in runs[s]):.1f})"
            for s in systems
        ]
        rows.append(
            [f"`{name}`", *cells, f"{ratio(runs, rate):.2f}", f"{ratio(runs, quickness):.2f}"]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    workload = Workload(images=chosen.images, epochs=chosen.epochs, cifar10=chosen.cifar10)
    systems = rivals(chosen.python, chosen.precision)
    measured: dict[str, Runs] = {}
    failed = 0
    for name in dict.fromkeys(chosen.scripts):
        try:
            measured[name] = measure(name, systems, workload, chosen.rounds)
        except WorkerError as error:
            say(f"{name} is left out: {error}")
            failed = error.exit_code
        except CifarlabError as error:
            say(f"error: {error}")
            return error.exit_code
    if measured:
        text = (
            json.dumps(document(measured, workload), indent=2) if chosen.json else table(measured)
        )
        print(text)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description=__doc__)
    usual = Workload()
    add = parser.add_argument
    add("--scripts", nargs="+", default=SCRIPTS, metavar="NAME", help=", ".join(SCRIPTS))
    add("--images", type=positive, default=usual.images, help="of both splits (%(default)s)")
    add("--epochs", type=positive, default=usual.epochs, help="(%(default)s)")
    add("--rounds", type=positive, default=3, help="(%(default)s)")
    add("--precision", default="auto", help="of cifarlab run")
    add("--cifar10", metavar="FOLDER", help="cifar-10-batches-py instead of made-up images")
    add("--python", metavar="PATH", help="the environment that has TensorFlow")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
