"""The worker that runs a published record's own code, once for each message."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.answering import Message, RefusalError, Work, converse
from benchmarks.on_cpu import on_cpu
from benchmarks.published import RECORDS, names_of
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset, Split, without_validation
from cifarlab.errors import CifarlabError
from cifarlab.runtime.device import choose_device


def prepare(job: Message) -> tuple[Mapping[str, Any], Work]:
    """Read the script and, on a GPU, warm up; return the facts and what trains once.

    Args:
        job: ``record``, a name in ``RECORDS``; ``script``, its path; ``data``; ``device``.
    """
    try:
        device = choose_device(job["device"])
        data = load_dataset(job["data"])
    except CifarlabError as error:
        raise RefusalError("usage", str(error)) from error
    record = RECORDS[job["record"]]
    # The script looks for its data here, and may write.
    folder = Path(tempfile.mkdtemp(prefix="cifarlab-record-"))
    _write(without_validation(data) if len(data.validation) else data, folder / "cifar10")
    os.chdir(folder)
    seen: dict[str, float] = {}

    def note(variables: Mapping[str, Any], is_final_entry: bool) -> None:
        if is_final_entry:
            seen.update(accuracy=variables["tta_val_acc"], seconds=variables[record.seconds])

    with _where(device):
        names = names_of(Path(job["script"]))
        names["print_training_details"] = note
        train = record.start(names)
        # Nothing is compiled on a CPU.
        if device.type != "cpu":
            train("warmup")

    def work(message: Message) -> Mapping[str, Any]:
        torch.manual_seed(message["seed"])
        with _where(device):
            train(message["seed"])
        return dict(seen)

    return {"images": len(data.train) + len(data.validation)}, work


def _where(device: torch.device) -> contextlib.AbstractContextManager[None]:
    return on_cpu() if device.type == "cpu" else contextlib.nullcontext()


def _write(data: Dataset, folder: Path) -> None:
    folder.mkdir()
    for name, split in (("train", data.train), ("test", data.test)):
        torch.save(_as_published(split, data.class_names), folder / f"{name}.pt")


def _as_published(split: Split, classes: tuple[str, ...]) -> dict[str, Any]:
    images = torch.from_numpy(np.array(split.images))
    return {"images": images, "labels": torch.from_numpy(split.labels), "classes": list(classes)}


if __name__ == "__main__":
    converse(prepare)
