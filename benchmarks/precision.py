"""Whether training in bfloat16 costs accuracy: the same scripts in both precisions, many seeds.

Each script in ``scripts/`` trains on a part of CIFAR-10 with each seed, once in float32 and once
in bfloat16; what is reported is the accuracy on its validation images in the last epoch. Seeds
change the weights' start and the order of the images, never the split.

Command: ``python -m benchmarks.precision --cifar10 FOLDER``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.script_runs import Workload, ours, run_script
from cifarlab.errors import CifarlabError

PRECISIONS = ("float32", "bfloat16")
USUAL = ("resnet_schedule", "depthwise", "vit", "convmixer")
FEWEST_SEEDS = 5
# Two means that differ by less than this many standard errors are equal within noise.
STANDARD_ERRORS = 2.0

# For each precision the accuracy of every seed, in the order of the seeds.
Accuracies = Mapping[str, Sequence[float]]


def measure(script: str, workload: Workload, seeds: int) -> Accuracies:
    """Train ``script`` with seeds 0, 1, … in each precision; return validation accuracies.

    Raises:
        UsageError: there is no such script.
        WorkerError: a run failed.
    """
    found: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for seed in range(seeds):
        for precision in PRECISIONS:
            run = run_script(script, ours(precision), replace(workload, seed=seed))
            found[precision].append(run.history["val_accuracy"][-1])
            say(f"{script}, seed {seed}, {precision}: {found[precision][-1]:.2%}")
    return found


def difference(accuracies: Accuracies) -> tuple[float, float]:
    """Return the mean of bfloat16 minus float32 over seeds, and its standard error.

    Example:
        >>> mean, error = difference({"float32": [0.5, 0.7], "bfloat16": [0.6, 0.7]})
        >>> round(mean, 3), round(error, 3)
        (0.05, 0.05)
    """
    pairs = zip(accuracies["bfloat16"], accuracies["float32"], strict=True)
    gains = [lower - full for lower, full in pairs]
    spread = statistics.stdev(gains) if len(gains) > 1 else math.nan
    return statistics.mean(gains), spread / math.sqrt(len(gains))


def verdict(accuracies: Accuracies) -> str:
    """Return in words whether the two precisions differ by more than noise."""
    mean, error = difference(accuracies)
    if math.isnan(error):
        return "one seed tells nothing"
    return "equal within noise" if abs(mean) <= STANDARD_ERRORS * error else "different"


def table(measured: Mapping[str, Accuracies]) -> str:
    """Return a Markdown table: mean and standard deviation of each, their difference, a verdict."""
    rows = [["script", "seeds", *PRECISIONS, "difference, points", ""]]
    rows.append(["---"] * len(rows[0]))
    for script, accuracies in measured.items():
        cells = [_mean_and_spread(accuracies[precision]) for precision in PRECISIONS]
        mean, error = difference(accuracies)
        count = str(len(accuracies[PRECISIONS[0]]))
        gap = f"{100 * mean:+.2f} ± {100 * error:.2f}"
        rows.append([f"`{script}`", count, *cells, gap, verdict(accuracies)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2%} ± {100 * spread:.2f}"


def document(measured: Mapping[str, Accuracies], workload: Workload) -> dict[str, Any]:
    """Return everything as one JSON object."""
    return {
        "workload": workload.variables(),
        "validation_accuracies": {name: dict(values) for name, values in measured.items()},
        "verdicts": {name: verdict(values) for name, values in measured.items()},
        "command": ["python", "-m", "benchmarks.precision", *sys.argv[1:]],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    workload = Workload(images=chosen.images, epochs=chosen.epochs, cifar10=chosen.cifar10)
    if chosen.seeds < FEWEST_SEEDS:
        say(f"fewer than {FEWEST_SEEDS} seeds tell little")
    try:
        measured = {
            script: measure(script, workload, chosen.seeds)
            for script in dict.fromkeys(chosen.scripts)
        }
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    print(json.dumps(document(measured, workload), indent=2) if chosen.json else table(measured))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.precision", description=__doc__)
    add = parser.add_argument
    add("--cifar10", metavar="FOLDER", required=True, help="the folder cifar-10-batches-py")
    add("--scripts", nargs="+", default=USUAL, metavar="NAME", help="(%(default)s)")
    add("--seeds", type=positive, default=FEWEST_SEEDS, help="(%(default)s)")
    add("--images", type=positive, default=9000, help="a ninth is for validation (%(default)s)")
    add("--epochs", type=positive, default=5, help="(%(default)s)")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
