"""How long a recipe takes from pixels to its final accuracy, over several seeds.

Timed as the published records are: whitening, training and the final evaluation count; loading
the data, building on the first call and a warm-up do not. The wall time has it all, from the
start of the process to its answer. Each seed runs in a process of its own.

Command: ``python -m benchmarks.time_to_accuracy --recipe fast94``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.workers import running
from cifarlab.errors import CifarlabError

SPLITS = ("test", "validation")


def measure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Train once in a new process; return its report, with the wall time.

    Args:
        job: recipe, data, split, device, precision and seed, for ``training_worker``.

    Raises:
        WorkerError: the process failed.
    """
    began = time.perf_counter()
    with running(
        f"seed {job['seed']}",
        "benchmarks.training_worker",
        environment={"KERAS_BACKEND": "torch"},
    ) as worker:
        report = {**worker.ask(job), **worker.ask(job)}
        return {**report, "wall_seconds": time.perf_counter() - began}


def document(recipe: str, split: str, reports: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return everything as one JSON object; ``reports`` is by seed.

    The spread is the standard deviation over seeds (n - 1), 0 for a single one.
    """
    runs = [
        {"seed": seed, **{k: report[k] for k in ("accuracy", "seconds", "wall_seconds")}}
        for seed, report in reports.items()
    ]
    accuracies = [run["accuracy"] for run in runs]
    first = next(iter(reports.values()))
    return {
        "recipe": recipe,
        "split": split,
        "runs": runs,
        "mean_accuracy": statistics.fmean(accuracies),
        "std_accuracy": statistics.stdev(accuracies) if len(runs) > 1 else 0.0,
        "median_seconds": statistics.median(run["seconds"] for run in runs),
        "epochs": {seed: report["epochs"] for seed, report in reports.items()},
        "images": first["images"],
        "environment": first["environment"],
        "hardware": first["environment"]["hardware"],
        "command": ["python", "-m", "benchmarks.time_to_accuracy", *sys.argv[1:]],
    }


def table(results: Mapping[str, Any]) -> str:
    """Return ``document``'s figures as a table for people."""
    lines = [f"{results['recipe']:20}{results['split'] + ' accuracy':>20}{'s':>10}{'wall s':>10}"]
    for run in results["runs"]:
        lines.append(
            f"  {'seed ' + str(run['seed']):18}{run['accuracy']:>20.2%}"
            f"{run['seconds']:>10.1f}{run['wall_seconds']:>10.1f}"
        )
    spread = f"{results['mean_accuracy']:.2%} +- {results['std_accuracy']:.2%}"
    lines.append(f"  {'mean, median':18}{spread:>20}{results['median_seconds']:>10.1f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    job = {
        name: getattr(chosen, name) for name in ("recipe", "data", "split", "device", "precision")
    }
    reports = {}
    try:
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            reports[seed] = measure({**job, "seed": seed})
            report = reports[seed]
            say(f"seed {seed}: {report['accuracy']:.2%} in {report['seconds']:.1f} s")
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    results = document(chosen.recipe, chosen.split, reports)
    print(json.dumps(results, indent=2) if chosen.json else table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.time_to_accuracy", description=__doc__
    )
    add = parser.add_argument
    add("--recipe", required=True, help="a recipe's name")
    add("--seeds", type=positive, default=1, metavar="N", help="how many (%(default)s)")
    add("--first-seed", type=int, default=0, metavar="S", help="(%(default)s)")
    add("--data", default="cifar10", help="a dataset's name or path (%(default)s)")
    add(
        "--split",
        choices=SPLITS,
        default="test",
        help="validation holds a tenth of the training images out: for choosing",
    )
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    add("--precision", default="auto", help="auto, float32 or bfloat16")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
