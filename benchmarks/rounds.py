"""Measure cifarlab beside Keras, in rounds: each system once in every round.

Every system does the same work on the same model in a process of its own that stays alive, so that
compiled functions stay warm, and only one works at a time: round 1 of every system, then round 2 of
every system. A machine that slows down for a while then slows all of them, and the ratio within a
round holds.
"""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import say
from benchmarks.workers import Crew, MissingLibraryError, Worker, WorkerError, running
from cifarlab.runtime.extras import install_command

OURS = "cifarlab"
TRAINING, PREDICTION = "training", "prediction"


@dataclass(frozen=True, kw_only=True)
class System:
    """A way to use Keras: its backend, its dtype policy, and whose ``fit`` trains."""

    backend: str
    precision: str
    fit: str = "keras"


SYSTEMS = {
    f"keras_{backend}_{precision}": System(backend=backend, precision=precision)
    for backend in ("tensorflow", "torch", "jax")
    for precision in ("float32", "mixed_bfloat16")
}
# The model as Keras has it, trained by ``cifarlab.fit``.
SYSTEMS["cifarlab_fit"] = System(backend="torch", precision="float32", fit="cifarlab")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What each round of each system does: ``steps`` steps of ``batch_size`` images.

    Attributes:
        images: the dtype of the images that ``fit`` is given, values 0 to 255;
            cifarlab's engine always takes uint8.
        kind: ``"training"``; or ``"prediction"``, where a step is one call with uint8 images that
            gives float probabilities on the host.
        device: as ``choose_device`` takes it.
        precision: of cifarlab's training, as ``choose_precision`` takes it.
    """

    batch_size: int = 256
    steps: int = 40
    rounds: int = 5
    images: str = "float32"
    kind: str = TRAINING
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured on one model.

    Attributes:
        rates: for each system its images per second, one value per round.
        facts: for each system the versions and options that it reports and, of predictions, the
            largest difference to cifarlab's probabilities.
        left_out: why each of the other systems is missing.
    """

    rates: Mapping[str, Sequence[float]]
    facts: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]


@contextlib.contextmanager
def crew(
    systems: Mapping[str, System], device: str = "auto", python: str | None = None
) -> Iterator[Crew]:
    """Give the workers of cifarlab and ``systems`` inside the block.

    Args:
        python: the interpreter for systems whose backend this one lacks.
    """
    ours = partial(running, OURS, "benchmarks.cifarlab_worker")
    starts = {OURS: partial(ours, environment=_variables("torch", device))}
    for name, system in systems.items():
        here = python is None or importlib.util.find_spec(system.backend) is not None
        interpreter = sys.executable if here else python
        variables = _variables(system.backend, device)
        starts[name] = partial(running, name, "benchmarks.keras_worker", interpreter, variables)
    with contextlib.ExitStack() as stack:
        yield Crew(starts=starts, stack=stack)


def _variables(backend: str, device: str) -> dict[str, str]:
    # Otherwise Keras on PyTorch takes a GPU wherever there is one.
    chosen = {} if device == "auto" else {"KERAS_TORCH_DEVICE": device}
    # On a GPU, TensorFlow and JAX would each take most of its memory from the others.
    return {
        **chosen,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def measure(
    model: str,
    systems: Mapping[str, System],
    workload: Workload,
    workers: Crew,
    arguments: Mapping[str, Any] | None = None,
) -> Measurement:
    """Measure cifarlab and ``systems`` on one model.

    Args:
        model: a name in ``benchmarks.networks.NETWORKS``.
        workers: from ``crew``, of these systems on the workload's device.
        arguments: of the model's function, input and classes aside.

    Raises:
        UsageError: no model is called so, or the device is not there.
        WorkerError: cifarlab's own worker failed. Others that fail are left out.
    """
    job = {
        "model": model,
        "arguments": dict(arguments or {}),
        "kind": workload.kind,
        "batch_size": workload.batch_size,
        "steps": workload.steps,
        "device": workload.device,
        "precision": workload.precision,
        "images": workload.images,
    }
    left_out: dict[str, str] = {}
    # All of them import their libraries at the same time.
    processes = {name: workers.worker(name) for name in (OURS, *systems)}
    with tempfile.TemporaryDirectory() as folder:
        job["weights"] = str(Path(folder) / "model.weights.h5")
        say(f"{model}: warming up {OURS}")
        facts = {OURS: processes[OURS].ask(job)}
        job["architecture"] = facts[OURS].pop("architecture")
        for name, system in systems.items():
            say(f"{model}: warming up {name}")
            try:
                facts[name] = processes[name].ask(
                    {**job, "precision": system.precision, "fit": system.fit}
                )
            except MissingLibraryError as error:
                interpreter = processes[name].process.args[0]
                left_out[name] = (
                    f"{error} is not installed for {interpreter}; run: {install_command('bench')}"
                )
            except WorkerError as error:
                left_out[name] = str(error)
            if name in left_out:
                say(f"{name} is left out: {left_out[name]}")
    _compare(facts)
    rates = alternate({name: processes[name] for name in facts}, workload, left_out)
    return Measurement(rates=rates, facts=facts, left_out=left_out)


def _compare(facts: Mapping[str, dict[str, Any]]) -> None:
    """Put the largest difference to cifarlab's instead of each system's probabilities."""
    given = {name: own.pop("probabilities", None) for name, own in facts.items()}
    for name, probabilities in given.items():
        if name != OURS and probabilities is not None:
            difference = np.abs(np.subtract(probabilities, given[OURS])).max()
            facts[name]["difference"] = float(difference)


def alternate(
    workers: Mapping[str, Worker], workload: Workload, left_out: dict[str, str]
) -> dict[str, list[float]]:
    """Run the rounds, each worker in turn, and return images per second by system and round.

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
