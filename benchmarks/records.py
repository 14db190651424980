"""Our speed recipes beside the published records' own code, in turn, on one machine.

Each system lives in a process of its own through the whole run, and only one works at a time: seed
0 of every system, then seed 1 of every system. Timed as the records are: preparing the data,
training and the final evaluation with test-time augmentation; not loading, compiling, warming up.

On a CPU the published code runs as ``on_cpu.py`` says. airbench96_faster takes hours there.

Command: ``python -m benchmarks.records --recipe fast94 --runs 30 --device cuda``; see
docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.published import RECORDS, obtain
from benchmarks.throughput import OURS
from benchmarks.workers import Worker, running
from cifarlab.errors import CifarlabError

# What a recipe stands beside, at the same accuracy.
RIVALS = {"fast94": ("airbench94_muon", "hiverge"), "fast96": ("airbench96_faster",)}

Runs = Mapping[str, Sequence[Mapping[str, float]]]


def measure(
    recipe: str, rivals: Sequence[str], runs: int, job: Mapping[str, str], published: Path
) -> tuple[dict[str, list[dict[str, float]]], dict[str, Any]]:
    """Return each system's runs, with accuracy and seconds, and what ours says of the machine.

    Args:
        job: ``data`` and ``device``, for all of them.
        published: the folder that holds, or is to hold, copies of the records' repositories.

    Raises:
        CifarlabError: the code or the data could not be downloaded, or a process died.
    """
    scripts = {name: obtain(RECORDS[name], published) for name in rivals}
    with contextlib.ExitStack() as stack:

        def enter(name: str, module: str, **own: Any) -> tuple[Worker, dict[str, Any]]:
            say(f"{name}: warming up")
            environment = {"KERAS_BACKEND": "torch"}
            worker = stack.enter_context(running(name, module, environment=environment))
            return worker, worker.ask({**job, **own})

        ours, facts = enter(
            OURS, "benchmarks.training_worker", recipe=recipe, split="test", precision="auto"
        )
        workers = {OURS: ours}
        for name, script in scripts.items():
            path = str(script.absolute())
            workers[name], _ = enter(name, "benchmarks.record_worker", record=name, script=path)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in workers}
        for seed in range(runs):
            for name, worker in workers.items():
                report = worker.ask({"seed": seed})
                run = {"seed": seed, **{k: report[k] for k in ("accuracy", "seconds")}}
                results[name].append(run)
                say(f"seed {seed}: {name} {run['accuracy']:.2%} in {run['seconds']:.2f} s")
    return results, facts


def summary(runs: Runs) -> dict[str, dict[str, float]]:
    """Return each system's mean accuracy, spread, n and median time, and ours over its time.

    ``share`` is the median of the runs' ratios, each taken side by side.
    """
    return {
        name: {
            "n": len(own),
            "mean_accuracy": statistics.fmean(run["accuracy"] for run in own),
            "std_accuracy": statistics.stdev(r["accuracy"] for r in own) if len(own) > 1 else 0.0,
            "median_seconds": statistics.median(run["seconds"] for run in own),
            "share": statistics.median(
                a["seconds"] / b["seconds"] for a, b in zip(runs[OURS], own, strict=True)
            ),
        }
        for name, own in runs.items()
    }


def table(recipe: str, runs: Runs) -> str:
    """Return the summary as a table for people."""
    lines = [
        f"{recipe:20}{'test accuracy':>18}{'n':>4}{'median s':>10}  {'our time / its time':>20}"
    ]
    for name, row in summary(runs).items():
        accuracy = f"{row['mean_accuracy']:.2%} +- {row['std_accuracy']:.2%}"
        share = "" if name == OURS else f"{row['share']:.2f}"
        line = f"  {name:18}{accuracy:>18}{row['n']:>4}{row['median_seconds']:>10.2f}  {share:>20}"
        lines.append(line.rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    job = {"data": chosen.data, "device": chosen.device}
    rivals = tuple(dict.fromkeys(chosen.against or RIVALS.get(chosen.recipe, ())))
    try:
        with contextlib.ExitStack() as stack:
            folder = chosen.published or Path(stack.enter_context(tempfile.TemporaryDirectory()))
            runs, facts = measure(chosen.recipe, rivals, chosen.runs, job, folder)
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    document = {
        "recipe": chosen.recipe,
        "systems": summary(runs),
        "runs": runs,
        "environment": facts["environment"],
        "hardware": facts["environment"]["hardware"],
        "command": ["python", "-m", "benchmarks.records", *sys.argv[1:]],
    }
    print(json.dumps(document, indent=2) if chosen.json else table(chosen.recipe, runs))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.records", description=__doc__)
    add = parser.add_argument
    add("--recipe", default="fast94", help="ours (%(default)s)")
    add("--against", nargs="+", choices=RECORDS, help="the default goes by the recipe")
    add("--runs", type=positive, default=30, metavar="N", help="of each (%(default)s)")
    add("--device", default="auto", help="auto, cpu or cuda")
    add("--data", default="cifar10", help="a dataset's name or path (%(default)s)")
    add("--published", type=Path, metavar="DIR", help="folder of copies; else they are cloned")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
