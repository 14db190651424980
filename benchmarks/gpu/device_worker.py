"""The worker that trains ``fast94`` in its form for a GPU, once for each message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.answering import Message, RefusalError, Work, converse
from benchmarks.gpu.device_form import DeviceForm
from cifarlab.data.catalog import load_dataset
from cifarlab.errors import CifarlabError
from cifarlab.recipes.recipe import from_json
from cifarlab.runs.record import data_for
from cifarlab.runtime.device import choose_device, choose_precision
from cifarlab.runtime.environment import describe_environment


def prepare(job: Message) -> tuple[Mapping[str, Any], Work]:
    """Compile and capture; return the facts, and what trains with a seed and measures.

    Args:
        job: ``recipe`` as JSON, ``data``, ``device``.
    """
    try:
        recipe = from_json(job["recipe"])
        data = data_for(recipe, load_dataset(job["data"]))
        device = choose_device(job["device"])
        precision = choose_precision("auto", device)
        form = DeviceForm(recipe, data, data.test, device, precision)
    except CifarlabError as error:
        raise RefusalError("usage", str(error)) from error
    form.warm_up()
    # The first run still meets memory that was never allocated.
    form.train(0)

    def work(message: Message) -> Mapping[str, Any]:
        accuracy, seconds = form.train(message["seed"])
        return {"accuracy": accuracy, "seconds": seconds}

    facts = {
        "images": {"train": len(data.train), "test": len(data.test)},
        "environment": describe_environment(device, precision),
        "graphs": len(form.graphs),
        "memory_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }
    return facts, work


if __name__ == "__main__":
    converse(prepare)
