"""What a dry run is given instead of CIFAR-10, a GPU and the published code."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from benchmarks.gpu.race import PUBLISHED
from benchmarks.gpu.setup import Setup
from benchmarks.gpu.shards import write_shards
from benchmarks.published import RECORDS
from cifarlab.data.dataset import Dataset
from cifarlab.data.named.shapes import draw

STAND_IN = Path(__file__).with_name("stand_in_record.py")
TRAIN_IMAGES, TEST_IMAGES = 600, 100
SHARD_BYTES = 500_000


def dry_setup(folder: Path) -> Setup:
    """Write drawn images in shards, and a script in the form of each record; return the setup."""
    drawn = draw(TRAIN_IMAGES, TEST_IMAGES)
    none = drawn.train.subset(np.arange(0))
    data = Dataset(
        name=drawn.name,
        source=drawn.source,
        class_names=drawn.class_names,
        train=drawn.train,
        validation=none,
        test=drawn.test,
    )
    write_shards(data, folder / "data", SHARD_BYTES)
    for name in PUBLISHED:
        record = RECORDS[name]
        copy = folder / "published" / record.repository.split("/")[1] / record.script
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(STAND_IN, copy)
    return Setup(device="cpu", data=str(folder / "data"), published=folder / "published", tiny=True)
