"""Images per second in training and prediction, beside ``keras.Model.fit`` and ``predict``.

Four networks, cifarlab and Keras on PyTorch in turn (``benchmarks/rounds.py``). Cifarlab trains in
the precision that it chooses on the device and predicts in float32; Keras does both with each of
its precisions, uncompiled, as it is by default on PyTorch. ``tf32`` in a row says whether float32
convolutions may round to TF32, which is PyTorch's default on CUDA and is faster.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu.setup import Rows, Setup
from benchmarks.rounds import (
    OURS,
    PREDICTION,
    SYSTEMS,
    Measurement,
    Workload,
    crew,
    measure,
    round_ratios,
)
from cifarlab.errors import CifarlabError

RIVALS = ("keras_torch_float32", "keras_torch_mixed_bfloat16")
# Training comes last, in case time runs out: on a GPU every network is compiled for it first.
WORKLOADS = (
    Workload(batch_size=1000, steps=10, kind=PREDICTION),
    Workload(batch_size=64, steps=20, kind=PREDICTION),
    Workload(batch_size=512, steps=40),
)
TINY_RIVALS = RIVALS[:1]
TINY_WORKLOADS = (
    Workload(batch_size=8, steps=2, rounds=1, kind=PREDICTION),
    Workload(batch_size=8, steps=2, rounds=1, precision="float32"),
)
# Names in ``benchmarks.networks.NETWORKS``, those that compile longest last, and what makes a tiny
# one of each.
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "baseline": {"filters": (4, 8), "units": 8},
    "airnet": {"widths": (4, 8, 8)},
    "resnet18": {"width": 4},
    "vit": {"width": 8},
}


def rows(setup: Setup) -> Rows:
    """Yield a row for each kind, batch, network and system, once its last round is done.

    With a failure instead of figures where a system, or cifarlab and so all of them, failed.
    """
    systems = {name: SYSTEMS[name] for name in (TINY_RIVALS if setup.tiny else RIVALS)}
    with crew(systems, setup.device) as workers:
        for workload in TINY_WORKLOADS if setup.tiny else WORKLOADS:
            here = dataclasses.replace(workload, device=setup.device)
            for network, tiny in NETWORKS.items():
                what = {"network": network, "kind": here.kind, "batch": here.batch_size}
                arguments = tiny if setup.tiny else {}
                try:
                    measurement = measure(network, systems, here, workers, arguments)
                except CifarlabError as error:
                    yield {**what, "failure": _one_line(error)}
                    continue
                for row in _results(measurement, here):
                    yield {**what, **row}


def _results(measurement: Measurement, workload: Workload) -> Rows:
    ratios = round_ratios(measurement.rates)
    for name, rates in measurement.rates.items():
        yield {
            "system": name,
            **_figures(rates),
            "steps": workload.steps,
            "ratio": None if name == OURS else statistics.median(ratios[name]),
            **_circumstances(name, measurement.facts[name]),
        }
    for name, reason in measurement.left_out.items():
        yield {"system": name, "failure": _one_line(reason)}


def _figures(rates: Sequence[float]) -> dict[str, Any]:
    return {
        "images_per_second": statistics.median(rates),
        "min": min(rates),
        "max": max(rates),
        "rounds": len(rates),
        "per_round": list(rates),
    }


def _circumstances(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    if name == OURS:
        precision, compiled = facts["environment"]["precision"], facts["compiled"]
    else:
        precision, compiled = SYSTEMS[name].precision, facts["jit_compile"]
    return {
        "precision": precision,
        "compiled": compiled,
        "tf32": facts["tf32"],
        "device": facts["device"],
        "difference": facts.get("difference"),
    }


def _one_line(reason: object) -> str:
    return " ".join(str(reason).split())
