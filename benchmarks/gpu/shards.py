"""A dataset as Parquet files of limited size, in the schema of Hugging Face's CIFAR."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import say
from cifarlab.data.dataset import Dataset, Split, without_validation
from cifarlab.data.decoding import decode_in_memory
from cifarlab.data.inspection import train_fingerprint
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import parquet
from cifarlab.data.samples import Found
from cifarlab.data.split import fingerprint, stratified_split
from cifarlab.errors import InputError

# About what Parquet adds to a file's images, and to each of them.
FILE_OVERHEAD, ROW_OVERHEAD = 4096, 16


def write_shards(data: Dataset, folder: Path, limit: int) -> list[Path]:
    """Write the dataset as Parquet files in Hugging Face's schema; return them.

    Images are PNG, so nothing is lost. Training and validation images become one part, in an order
    in which ``catalog.load`` divides them the same way again.

    Args:
        folder: is made if it is not there.
        limit: bytes that a file holds at most.

    Raises:
        InputError: a file of one image is larger.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for part, split in (("train", _undivided(data)), ("test", data.test)):
        images = [_png(image) for image in split.images]
        names = split.names or (None,) * len(split)
        sizes = [len(i) + len(n or "") + ROW_OVERHEAD for i, n in zip(images, names, strict=True)]
        cut = list(runs(sizes, limit - FILE_OVERHEAD))
        for number, run in enumerate(cut):
            path = folder / f"{part}-{number:05d}-of-{len(cut):05d}.parquet"
            _write(path, images[run], names[run], split.labels[run], data.class_names)
            if path.stat().st_size > limit:
                raise InputError(
                    f"{path.name} takes {path.stat().st_size} bytes; a file may take {limit}: "
                    "allow larger ones"
                )
            files.append(path)
    return files


def _undivided(data: Dataset) -> Split:
    """Return the training and validation images as one split that divides as ``data`` does.

    That holds where they were divided by ``load`` with its usual share and seed.
    """
    if not len(data.validation):
        return data.train
    both = without_validation(data).train
    kept, held = stratified_split(both.labels, 0.1, 0)
    order = np.empty(len(both), dtype=np.int64)
    # Of each class the training images come first in ``both``, and so they do on the right side.
    for label in np.unique(both.labels):
        indices = [part[both.labels[part] == label] for part in (kept, held)]
        order[np.concatenate(indices)] = np.flatnonzero(both.labels == label)
    return both.subset(order)


def _png(image: np.ndarray[Any, Any]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def runs(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Cut what has these sizes into runs that add up to at most ``limit``, or are one alone."""
    first = total = 0
    for number, size in enumerate(sizes):
        if total + size > limit and number > first:
            yield slice(first, number)
            first, total = number, 0
        total += size
    yield slice(first, len(sizes))


def _write(
    path: Path,
    images: Sequence[bytes],
    names: Sequence[str | None],
    labels: np.ndarray[Any, Any],
    class_names: Sequence[str],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    label = {"_type": "ClassLabel", "names": list(class_names)}
    features = {"img": {"_type": "Image"}, "label": label}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("img", image), ("label", pa.int64())],
        {"huggingface": json.dumps({"info": {"features": features}})},
    )
    rows = [{"bytes": data, "path": name} for data, name in zip(images, names, strict=True)]
    table = pa.table([pa.array(rows, image), pa.array(labels, pa.int64())], schema=schema)
    # PNG is compressed, and no two images are alike.
    pq.write_table(table, path, use_dictionary=False, compression="none", write_statistics=False)


def check_shards(data: Dataset, folder: Path) -> None:
    """Raise ``InputError`` unless the files in ``folder`` hold the images and names of ``data``."""
    shards = parquet.find(folder, LoadOptions())
    assert isinstance(shards, Found)
    content = decode_in_memory(shards, LoadOptions(image_size=data.test.images.shape[1:3]))
    for part, read, packed in (
        ("train", fingerprint(content.train), train_fingerprint(data)),
        ("test", fingerprint(content.test), fingerprint(data.test)),
        ("class names", content.class_names, data.class_names),
    ):
        if read != packed:
            raise InputError(f"{part}: read back as {read}, packed as {packed}; try again")
        say(f"{part}: read back as packed, {read}")
