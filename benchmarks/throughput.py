"""Training speed: cifarlab's engine beside ``keras.Model.fit``, alternating in one run.

How the systems take turns is in ``rounds.py``.

Command: ``python -m benchmarks.throughput``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.rounds import (
    OURS,
    SYSTEMS,
    Measurement,
    Workload,
    crew,
    measure,
    round_ratios,
    summary,
)
from cifarlab.errors import CifarlabError, UsageError

USUAL = (
    "keras_tensorflow_float32",
    "keras_tensorflow_mixed_bfloat16",
    "keras_torch_float32",
    "keras_jax_float32",
)


def document(measured: Mapping[str, Measurement], workload: Workload) -> dict[str, Any]:
    """Return everything as one JSON object; ``measured`` is by model."""
    first = next(iter(measured.values()))
    return {
        "models": {model: summary(measurement.rates) for model, measurement in measured.items()},
        "hardware": first.facts[OURS]["environment"]["hardware"],
        "batch_size": workload.batch_size,
        "steps": workload.steps,
        "rounds": workload.rounds,
        "images": workload.images,
        "per_round": {model: dict(measurement.rates) for model, measurement in measured.items()},
        "ratios_per_round": {
            model: round_ratios(measurement.rates) for model, measurement in measured.items()
        },
        "left_out": {model: dict(measurement.left_out) for model, measurement in measured.items()},
        "systems": {model: dict(measurement.facts) for model, measurement in measured.items()},
        "command": ["python", "-m", "benchmarks.throughput", *sys.argv[1:]],
    }


def table(model: str, rates: Mapping[str, Sequence[float]]) -> str:
    """Return a table of medians, spreads and ratios for people."""
    ratios = round_ratios(rates)
    lines = [f"{model:34}{'images/s':>9}  {'min - max':>15}  {'cifarlab is faster':>24}"]
    for name, values in rates.items():
        line = f"  {name:32}{statistics.median(values):>9,.0f}  {_spread(values, ',.0f'):>15}"
        if name in ratios:
            faster = f"{statistics.median(ratios[name]):.2f} x ({_spread(ratios[name], '.2f')})"
            line += f"  {faster:>24}"
        lines.append(line)
    return "\n".join(lines)


def _spread(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} - {max(values):{form}}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    chosen = _parser().parse_args(arguments)
    names = () if chosen.ours_only else tuple(chosen.systems)
    workload = Workload(
        batch_size=chosen.batch_size, steps=chosen.steps, rounds=chosen.rounds, images=chosen.images
    )
    try:
        python = _interpreter(chosen.python)
        systems = {name: SYSTEMS[name] for name in names}
        measured = {}
        for model in dict.fromkeys(chosen.models):
            # New workers for each model, so that none is slower for what came before it.
            with crew(systems, workload.device, python) as workers:
                measured[model] = measure(model, systems, workload, workers)
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    if chosen.json:
        print(json.dumps(document(measured, workload), indent=2))
    else:
        print(
            "\n\n".join(table(model, measurement.rates) for model, measurement in measured.items())
        )
    return 0


def _interpreter(python: str | None) -> str | None:
    if python is None:
        return None
    measurement = shutil.which(python)
    if measurement is None:
        raise UsageError(f"--python {python}: no such program; name a Python interpreter")
    # Not resolved: the link is what tells an interpreter its environment.
    return str(Path(measurement).absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    usual = Workload()
    add = parser.add_argument
    add("--models", nargs="+", default=["baseline"], help="names in benchmarks.networks.NETWORKS")
    add("--batch-size", type=positive, default=usual.batch_size)
    add("--steps", type=positive, default=usual.steps, help="steps in a round (%(default)s)")
    add("--rounds", type=positive, default=usual.rounds, help="(%(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--systems", nargs="+", choices=SYSTEMS, default=USUAL, metavar="SYSTEM")
    which.add_argument("--ours-only", action="store_true", help="measure cifarlab alone")
    add("--images", choices=("float32", "uint8"), default=usual.images, help="given to fit")
    add("--python", metavar="PATH", help="another environment's, for the backends missing here")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
