"""The worker that reads a folder of images and reports its time and memory."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping
from typing import Any

from benchmarks.answering import Message, answer
from benchmarks.scaling_worker import peak_bytes
from cifarlab.data.catalog import load_dataset


def work(job: Message) -> Mapping[str, Any]:
    """Read ``job["folder"]`` on ``job["cores"]`` cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job["cores"]])
    before = peak_bytes()
    began = time.perf_counter()
    with warnings.catch_warnings():
        # Repeated files are in several splits.
        warnings.simplefilter("ignore")
        data = load_dataset(job["folder"], image_size=job["image_size"])
    return {
        "seconds": time.perf_counter() - began,
        "bytes_before": before,
        "peak_bytes": peak_bytes(),
        "data_bytes": sum(s.images.nbytes for s in (data.train, data.validation, data.test)),
    }


if __name__ == "__main__":
    answer(work)
