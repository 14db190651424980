"""How fast a folder of JPEG files is read, on one core and on all, and with how much memory.

Command: ``python -m benchmarks.reading``; see docs/benchmarks.md. Each reading is done by a process
of its own, with an empty cache, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.workers import running
from cifarlab.errors import CifarlabError

CLASSES = 10
# So many files have a content of their own; the others repeat it, which decoding cannot notice.
DISTINCT = 200


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write ``count`` JPEG files of ``size``, height and width, evenly into class folders."""
    from PIL import Image

    draws = np.random.default_rng(0)
    contents = []
    for _ in range(min(count, DISTINCT)):
        small = draws.integers(0, 256, (12, 16, 3), np.uint8)
        photo = Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        noise = draws.normal(0, 8, (*size, 3))
        pixels = np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=90)
        contents.append(file.getvalue())
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for number in range(count):
        path = folder / f"class{number % CLASSES}" / f"{number}.jpg"
        path.write_bytes(contents[number % len(contents)])


def measure(folder: Path, image_size: int, cores: int) -> Mapping[str, Any]:
    """Read the folder twice in new processes that may use so many cores; return what they report.

    Raises:
        WorkerError: a process failed.
    """
    reports = []
    with tempfile.TemporaryDirectory() as cache:
        for reading in ("first", "second"):
            with running(
                f"{reading} reading on {cores} cores",
                "benchmarks.reading_worker",
                environment={"CIFARLAB_CACHE": cache, "KERAS_BACKEND": "torch"},
            ) as worker:
                job = {"folder": str(folder), "image_size": image_size, "cores": cores}
                reports.append(worker.ask(job))
    return {"first": reports[0], "second": reports[1]}


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=positive, default=20_000)
    parser.add_argument("--height", type=positive, default=375)
    parser.add_argument("--width", type=positive, default=500)
    parser.add_argument("--image-size", type=positive, default=32)
    options = parser.parse_args(arguments)
    end_in_order_on_sigterm()
    try:
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "photos"
            say(f"writing {options.images:,} files")
            write_photos(folder, options.images, (options.height, options.width))
            counts = sorted({1, len(os.sched_getaffinity(0))})
            results = {cores: measure(folder, options.image_size, cores) for cores in counts}
    except CifarlabError as error:
        say(str(error))
        return error.exit_code
    seconds = {cores: result["first"]["seconds"] for cores, result in results.items()}
    document = {
        "images": options.images,
        "size": [options.height, options.width],
        "results": results,
        "times_one_core": seconds[1] / seconds[max(seconds)],
    }
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
