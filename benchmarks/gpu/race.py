"""``fast94`` as it is and in its form for a GPU, beside the published records, in turn.

Each system lives in a process of its own through the whole part and one works at a time: seed 0
of every system, then seed 1 of every system. Timed as the records are: preparing the data,
training and the final evaluation on the test split; not loading, compiling, warming up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from benchmarks.gpu.setup import Rows, Setup
from benchmarks.gpu.variants import FAST94_GPU, tiny
from benchmarks.published import RECORDS, obtain
from benchmarks.workers import Worker, running
from cifarlab.errors import CifarlabError
from cifarlab.recipes.fast import FAST94
from cifarlab.recipes.recipe import to_json

PUBLISHED = ("airbench94_muon", "hiverge")
AS_IT_IS, DEVICE_FORM = "fast94", "fast94_gpu"
# The trainer's own form is slower and has fewer runs; ten tell what it costs.
SEEDS, SEEDS_AS_IT_IS, TINY_SEEDS = 30, 10, 2


def rows(setup: Setup) -> Rows:
    """Yield a row for each run: system, seed, test accuracy and seconds.

    A system that fails is said so once and left out of the following rounds.
    """
    seeds = dict.fromkeys((DEVICE_FORM, *PUBLISHED, AS_IT_IS), SEEDS)
    seeds[AS_IT_IS] = SEEDS_AS_IT_IS
    if setup.tiny:
        seeds = dict.fromkeys(seeds, TINY_SEEDS)
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in seeds:
            module, job = _work(name, setup)
            try:
                if name in PUBLISHED:
                    script = obtain(RECORDS[name], setup.published)
                    job = {**job, "record": name, "script": str(script.absolute())}
                worker = stack.enter_context(
                    running(name, module, environment={"KERAS_BACKEND": "torch"})
                )
                facts = worker.ask(job)
                workers[name] = worker
                yield {"system": name, "facts": facts}
            except CifarlabError as error:
                yield {"system": name, "failure": str(error)}
        for seed in range(max(seeds.values())):
            for name in [name for name in workers if seed < seeds[name]]:
                try:
                    report = workers[name].ask({"seed": seed})
                except CifarlabError as error:
                    del workers[name]
                    yield {"system": name, "failure": str(error)}
                    continue
                figures = {key: report[key] for key in ("accuracy", "seconds")}
                yield {"system": name, "seed": seed, **figures}


def _work(name: str, setup: Setup) -> tuple[str, Mapping[str, Any]]:
    """Return the worker's module and its job."""
    common = {"data": setup.data, "device": setup.device}
    if name in PUBLISHED:
        return "benchmarks.record_worker", common
    recipe = FAST94 if name == AS_IT_IS else FAST94_GPU
    job = {**common, "recipe": to_json(tiny(recipe) if setup.tiny else recipe)}
    if name == DEVICE_FORM:
        return "benchmarks.gpu.device_worker", job
    return "benchmarks.training_worker", {**job, "split": "test", "precision": "auto"}
