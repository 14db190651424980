"""Training speed: cifarlab's engine beside ``keras.Model.fit``, alternating in one run.

Every system trains the same model on the same pictures in a process of its own that
stays alive, so that compiled functions stay warm, and only one works at a time: round 1
of every system, then round 2 of every system. A machine that slows down for a while
then slows all of them, and the ratio within a round holds.

Command: ``python -m benchmarks.throughput``; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.workers import MissingLibraryError, Worker, WorkerError, running
from cifarlab.errors import CifarlabError, UsageError

OURS = "cifarlab"


@dataclass(frozen=True)
class System:
    """A way to train with ``keras.Model.fit``: its backend and its dtype policy."""

    backend: str
    precision: str


SYSTEMS = {
    f"keras_{backend}_{precision}": System(backend, precision)
    for backend in ("tensorflow", "torch", "jax")
    for precision in ("float32", "mixed_bfloat16")
}
USUAL = (
    "keras_tensorflow_float32",
    "keras_tensorflow_mixed_bfloat16",
    "keras_torch_float32",
    "keras_jax_float32",
)


@dataclass(frozen=True)
class Workload:
    """What each round of each system does: ``steps`` steps of ``batch_size`` pictures.

    Attributes:
        pictures: the dtype of the pictures that ``fit`` is given, values 0 to 255;
            cifarlab's engine always takes uint8.
    """

    batch_size: int = 256
    steps: int = 40
    rounds: int = 5
    pictures: str = "float32"


@dataclass(frozen=True)
class Measurement:
    """What was measured on one model.

    Attributes:
        rates: for each system its pictures a second, a value a round.
        facts: for each system the versions and settings that it reports.
        left_out: why each of the other systems is missing.
    """

    rates: Mapping[str, Sequence[float]]
    facts: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]


def measure(
    model: str, systems: Mapping[str, System], workload: Workload, python: str | None = None
) -> Measurement:
    """Measure cifarlab and ``systems`` on one model.

    Args:
        model: a name in ``cifarlab.models.MODELS``.
        python: the interpreter for systems whose backend this one lacks.

    Raises:
        WorkerError: cifarlab's own worker failed. Others that fail are left out.
    """
    settings = {"model": model, "batch_size": workload.batch_size, "steps": workload.steps}
    left_out: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        say(f"{model}: warming up {OURS}")
        ours = running(OURS, "benchmarks.cifarlab_worker", environment=_variables("torch"))
        workers = {OURS: stack.enter_context(ours)}
        facts = {OURS: workers[OURS].ask(settings)}
        settings["architecture"] = facts[OURS].pop("architecture")
        settings["pictures"] = workload.pictures
        for name, system in systems.items():
            say(f"{model}: warming up {name}")
            interpreter = _interpreter_for(system, python)
            worker = stack.enter_context(
                running(name, "benchmarks.keras_worker", interpreter, _variables(system.backend))
            )
            try:
                facts[name] = worker.ask({**settings, "precision": system.precision})
                workers[name] = worker
            except MissingLibraryError as error:
                left_out[name] = (
                    f"{error} is not installed for {interpreter}; pip install 'cifarlab[bench]'"
                )
            except WorkerError as error:
                left_out[name] = str(error)
            if name in left_out:
                say(f"{name} is left out: {left_out[name]}")
        rates = alternate(workers, workload, left_out)
    return Measurement(rates, facts, left_out)


def _interpreter_for(system: System, python: str | None) -> str:
    here = importlib.util.find_spec(system.backend) is not None
    return sys.executable if here or python is None else python


def _variables(backend: str) -> dict[str, str]:
    # On a GPU, TensorFlow and JAX would each take most of its memory from the others.
    return {
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def alternate(
    workers: Mapping[str, Worker], workload: Workload, left_out: dict[str, str]
) -> dict[str, list[float]]:
    """Run the rounds, each worker in turn, and return pictures a second by system and round.

    A worker that fails is reported, noted in ``left_out`` and absent from the result.

    Raises:
        WorkerError: the worker that failed is cifarlab's own.
    """
    rates: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(workload.rounds):
        for name in list(rates):
            try:
                seconds = workers[name].ask({})["seconds"]
            except WorkerError as error:
                if name == OURS:
                    raise
                left_out[name] = str(error)
                del rates[name]
                say(f"{name} is left out: {error}")
                continue
            rates[name].append(workload.steps * workload.batch_size / seconds)
            say(f"round {number + 1}/{workload.rounds}: {name} {rates[name][-1]:,.0f} images/s")
    return rates


def round_ratios(rates: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Return, for each system but cifarlab, cifarlab's rate over its rate in each round."""
    return {
        name: [ours / other for ours, other in zip(rates[OURS], theirs, strict=True)]
        for name, theirs in rates.items()
        if name != OURS
    }


def summary(rates: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return the median of each system's rates and, under ``"ratios"``, of each one's ratios.

    Example:
        >>> summary({"cifarlab": [300.0, 100.0], "other": [100.0, 50.0]})
        {'cifarlab': 200.0, 'other': 75.0, 'ratios': {'other': 2.5}}
    """
    ratios = {name: statistics.median(values) for name, values in round_ratios(rates).items()}
    medians: dict[str, Any] = {name: statistics.median(values) for name, values in rates.items()}
    return {**medians, "ratios": ratios}


def document(measured: Mapping[str, Measurement], workload: Workload) -> dict[str, Any]:
    """Return everything as one JSON object; ``measured`` is by model."""
    first = next(iter(measured.values()))
    return {
        "models": {model: summary(found.rates) for model, found in measured.items()},
        "hardware": first.facts[OURS]["environment"]["hardware"],
        "batch_size": workload.batch_size,
        "steps": workload.steps,
        "rounds": workload.rounds,
        "pictures": workload.pictures,
        "per_round": {model: dict(found.rates) for model, found in measured.items()},
        "ratios_per_round": {model: round_ratios(found.rates) for model, found in measured.items()},
        "left_out": {model: dict(found.left_out) for model, found in measured.items()},
        "systems": {model: dict(found.facts) for model, found in measured.items()},
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
    workload = Workload(chosen.batch_size, chosen.steps, chosen.rounds, chosen.pictures)
    try:
        python = _interpreter(chosen.python)
        systems = {name: SYSTEMS[name] for name in names}
        measured = {
            model: measure(model, systems, workload, python)
            for model in dict.fromkeys(chosen.models)
        }
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    if chosen.json:
        print(json.dumps(document(measured, workload), indent=2))
    else:
        print("\n\n".join(table(model, found.rates) for model, found in measured.items()))
    return 0


def _interpreter(python: str | None) -> str | None:
    if python is None:
        return None
    found = shutil.which(python)
    if found is None:
        raise UsageError(f"--python {python}: no such program; name a Python interpreter")
    # Not resolved: the link is what tells an interpreter its environment.
    return str(Path(found).absolute())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    usual = Workload()
    add = parser.add_argument
    add("--models", nargs="+", default=["baseline"], help="names in cifarlab.models.MODELS")
    add("--batch-size", type=positive, default=usual.batch_size)
    add("--steps", type=positive, default=usual.steps, help="steps in a round (%(default)s)")
    add("--rounds", type=positive, default=usual.rounds, help="(%(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--systems", nargs="+", choices=SYSTEMS, default=USUAL, metavar="SYSTEM")
    which.add_argument("--ours-only", action="store_true", help="measure cifarlab alone")
    add("--pictures", choices=("float32", "uint8"), default=usual.pictures, help="given to fit")
    add("--python", metavar="PATH", help="another environment's, for the backends missing here")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    return parser


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
