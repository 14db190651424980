"""Datasets in the files in which they are published."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np

from cifarlab.data.dataset import Split

PARTS = ("train-00000-of-00001.parquet", "test-00000-of-00001.parquet")


def binary(split: Split) -> bytes:
    planes = split.images.transpose(0, 3, 1, 2).reshape(len(split), -1)
    return np.concatenate([split.labels[:, None].astype(np.uint8), planes], axis=1).tobytes()


def write_binary(folder: Path, train: Split, test: Split) -> Path:
    folder.mkdir(parents=True)
    for i, part in enumerate(np.array_split(np.arange(len(train)), 5)):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(binary(train.subset(part)))
    (folder / "test_batch.bin").write_bytes(binary(test))
    return folder


def pack(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        tar.add(folder, folder.name)
    return path
