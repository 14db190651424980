"""Time and memory of an epoch as the number of images grows.

Each size trains ``baseline`` in a process of its own, so that its peak memory is its own.

Command: ``python -m benchmarks.scaling``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.workers import running
from cifarlab.errors import CifarlabError

SIZES = (10_000, 50_000, 200_000)


def measure(size: int, epochs: int) -> dict[str, Any]:
    """Train on ``size`` images in a new process and return what it reports.

    Raises:
        WorkerError: the process failed.
    """
    with running(
        f"{size:,} images", "benchmarks.scaling_worker", environment={"KERAS_BACKEND": "torch"}
    ) as worker:
        return worker.ask({"images": size, "epochs": epochs})


def summary(size: int, report: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of one size.

    Example:
        >>> report = {"seconds": [2.0], "peak_bytes": 900, "data_bytes": 300}
        >>> summary(100, report)["images_per_second"], summary(100, report)["overhead_bytes"]
        (50.0, 600)
    """
    seconds = statistics.median(report["seconds"])
    return {
        "seconds": seconds,
        "images_per_second": size / seconds,
        "peak_bytes": report["peak_bytes"],
        "data_bytes": report["data_bytes"],
        "overhead_bytes": report["peak_bytes"] - report["data_bytes"],
    }


def document(reports: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return everything as one JSON object; ``reports`` is by size.

    ``"linearity"`` is the longest time for an image over the shortest: 1 is a straight line.
    """
    sizes = {size: summary(size, report) for size, report in reports.items()}
    each = [figures["seconds"] / size for size, figures in sizes.items()]
    return {
        "sizes": {str(size): figures for size, figures in sizes.items()},
        "linearity": max(each) / min(each),
        "hardware": next(iter(reports.values()))["hardware"],
        "seconds_per_epoch": {str(size): report["seconds"] for size, report in reports.items()},
        "command": ["python", "-m", "benchmarks.scaling", *sys.argv[1:]],
    }


def table(results: Mapping[str, Any]) -> str:
    """Return ``document``'s figures as a table for people; memory in MiB."""
    titles = ("images", "s/epoch", "images/s", "s/10,000", "peak", "data", "rest (MiB)")
    lines = ["".join(f"{title:>12}" for title in titles)]
    for size, figures in results["sizes"].items():
        mebibytes = [figures[f"{what}_bytes"] / 2**20 for what in ("peak", "data", "overhead")]
        lines.append(
            f"{int(size):>12,}{figures['seconds']:>12.2f}{figures['images_per_second']:>12,.0f}"
            f"{figures['seconds'] / int(size) * 10_000:>12.3f}"
            + "".join(f"{amount:>12,.0f}" for amount in mebibytes)
        )
    lines.append(f"longest over shortest time for an image: {results['linearity']:.3f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    reports = {}
    try:
        for size in dict.fromkeys(chosen.sizes):
            say(f"{size:,} images: one epoch to warm up, {chosen.epochs} measured")
            reports[size] = measure(size, chosen.epochs)
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    results = document(reports)
    print(json.dumps(results, indent=2) if chosen.json else table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    add = parser.add_argument
    add("--sizes", nargs="+", type=positive, default=list(SIZES), metavar="N")
    add("--epochs", type=positive, default=1, help="epochs measured; the median counts")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
