"""Read parquet files in the Hugging Face schema: an image column and a label column."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.dataset import Split
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION, splits_of
from cifarlab.errors import InputError
from cifarlab.files import printable

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label", "labels")
SUBFOLDERS = (".", "plain_text", "data", "cifar100")
MAX_CLASSES = 10_000
BATCH_ROWS = 1000
SHARD = re.compile(r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<rest>.*)\.parquet")


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files that hold a dataset; ``test`` may be empty."""

    train: tuple[Path, ...]
    test: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Content:
    """The decoded files; ``test`` is ``None`` where no file has a name for testing.

    ``skipped`` has one line for each image that was left out because it is bad.
    """

    class_names: tuple[str, ...]
    train: Split
    test: Split | None
    skipped: tuple[str, ...]


def find(path: Path) -> Files | None:
    """Return the parquet files at ``path`` (a file, or a directory of them), or ``None``.

    Raises:
        InputError: files are named as shards, and one of them is missing.
    """
    if path.is_file():
        return Files(train=(path,), test=()) if path.suffix == ".parquet" else None
    for subfolder in SUBFOLDERS:
        files = _whole_shards(path / subfolder)
        if files:
            return _by_split(files)
    return None


def _by_split(files: tuple[Path, ...]) -> Files:
    """Give each file to the split that its name speaks of; a file is in one split only.

    Files that speak of none are training files, unless others are called so. Validation files
    serve as test files where nothing is called test.
    """
    spoken = splits_of([file.stem for file in files])
    parts: dict[str | None, list[Path]] = {}
    for file in files:
        parts.setdefault(spoken.get(file.stem), []).append(file)
    train = parts.get(TRAIN) or parts.get(None) or []
    rest = parts.get(None, []) if TRAIN in parts else []
    if not train:
        names = ", ".join(printable(file.name) for file in files[:3])
        raise InputError(f"{names}: no file of training images; add one, or rename one of these")
    if rest:
        warnings.warn(
            f"{printable(rest[0])}: left out, its name speaks of no split and others are called "
            "train",
            stacklevel=2,
        )
    return Files(train=tuple(train), test=tuple(parts.get(TEST) or parts.get(VALIDATION) or ()))


def _whole_shards(folder: Path) -> tuple[Path, ...]:
    files = tuple(sorted(folder.glob("*.parquet")))
    present = {file.name for file in files}
    for file in files:
        if match := SHARD.fullmatch(file.name):
            stem, count, rest = match["stem"], int(match["count"]), match["rest"]
            # A suffix after the count differs from shard to shard, so it cannot be guessed.
            for index in range(count if not rest else 0):
                name = f"{stem}-{index:05d}-of-{count:05d}.parquet"
                if name not in present:
                    raise InputError(
                        f"{printable(folder / name)}: missing, one of {count}; copy it there"
                    )
    return files


def read(
    files: Files,
    *,
    image_size: int = 32,
    resize_mode: str = "squash",
    skip_bad: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Content:
    """Decode every image.

    The image column holds PNG or JPEG bytes, bare or in a struct with ``bytes`` and
    ``path``. Class names come from the Hugging Face metadata; without it they are the numbers.

    Args:
        files: from ``find``.
        image_size: images of another size are resized to this height and width.
        resize_mode: how to resize; see ``image.decode_image``.
        skip_bad: leave out images that cannot be decoded instead of raising.
        progress: called with one line of text now and then.

    Raises:
        InputError: a file is damaged, has another schema, or holds bad images.
    """
    bad: list[str] = []

    def read_part(paths: tuple[Path, ...]) -> Split:
        return _read_part(paths, image_size, resize_mode, bad, progress)

    train = read_part(files.train)
    test = read_part(files.test) if files.test else None
    if bad and not skip_bad:
        raise InputError(
            f"{len(bad)} bad images, the first is {bad[0]}; repair them, or skip bad images"
        )
    highest = max(int(part.labels.max(initial=-1)) for part in (train, test) if part is not None)
    return Content(
        class_names=_class_names(files.train[0], highest),
        train=train,
        test=test,
        skipped=tuple(bad),
    )


def _read_part(
    paths: tuple[Path, ...],
    image_size: int,
    resize_mode: str,
    bad: list[str],
    progress: Callable[[str], None] | None,
) -> Split:
    from cifarlab.data import image

    labels: list[int] = []
    names: list[str] = []
    blocks = [np.empty((0, image_size, image_size, 3), dtype=np.uint8)]
    for path in paths:
        if progress:
            progress(f"decoding {printable(path.name)}")
        for rows in _batches(path):
            block = []
            for source, stored, label in rows:
                try:
                    data, name = _unpack(stored, source)
                    block.append(
                        image.decode_image(
                            data, name=source, size=image_size, resize_mode=resize_mode
                        )
                    )
                except InputError as error:
                    bad.append(str(error))
                    continue
                labels.append(label)
                names.append(name)
            if block:
                blocks.append(np.stack(block))
    return Split(
        images=np.concatenate(blocks), labels=np.array(labels, dtype=np.int64), names=tuple(names)
    )


def _unpack(image: Any, source: str) -> tuple[bytes, str]:
    data = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(data, bytes):
        raise InputError(f"{printable(source)}: holds no image bytes; embed the image in the file")
    path = image.get("path") if isinstance(image, dict) else None
    return data, path or source


def _batches(path: Path) -> Iterator[list[tuple[str, Any, int]]]:
    """Yield lists of (file and row as text, image, label)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shown = printable(path)
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            image = _column(path, schema.names, IMAGE_COLUMNS)
            label = _column(path, schema.names, LABEL_COLUMNS)
            if not pa.types.is_integer(schema.field(label).type):
                raise InputError(
                    f"{shown}: column {label!r} is {schema.field(label).type}; "
                    "labels must be integers from 0"
                )
            row = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=[image, label]):
                images, labels = batch[image].to_pylist(), batch[label].to_pylist()
                if None in labels:
                    number = row + labels.index(None)
                    raise InputError(f"{shown} row {number}: has no label; every image needs one")
                sources = (f"{path.name} row {row + i}" for i in range(len(labels)))
                yield list(zip(sources, images, labels, strict=True))
                row += len(labels)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{shown}: an incomplete or damaged parquet file ({reason}); copy it again"
        ) from error


def _column(path: Path, present: list[str], wanted: tuple[str, ...]) -> str:
    for name in wanted:
        if name in present:
            return name
    raise InputError(
        f"{printable(path)}: has columns {', '.join(map(printable, present))}; "
        f"one must be called {' or '.join(wanted)}"
    )


def _class_names(path: Path, highest: int) -> tuple[str, ...]:
    import pyarrow.parquet as pq

    metadata = pq.read_schema(path).metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        label = next(name for name in LABEL_COLUMNS if name in features)
        names = tuple(str(name) for name in features[label]["names"])
    except (KeyError, TypeError, ValueError, StopIteration):
        names = ()
    if highest < len(names) == len(set(names)):
        return names
    if highest >= MAX_CLASSES:
        raise InputError(
            f"{printable(path)}: label {highest}; at most {MAX_CLASSES} classes are allowed"
        )
    return tuple(str(i) for i in range(highest + 1))


def find_dataset(path, options):
    """stand-in"""
    from functools import partial

    from cifarlab.data.samples import Found, Rejected, Samples

    files = find(path)
    if files is None:
        return Rejected(reason="")
    splits = {}
    for part, paths in (("train", files.train), ("test", files.test)):
        if not paths:
            continue
        rows = [r for p in paths for b in _batches(p) for r in b]
        splits[part] = Samples(
            labels=np.array([r[2] for r in rows], np.int64),
            names=tuple(r[0] for r in rows),
            contents=partial(iter, [_unpack(r[1], r[0])[0] for r in rows]),
        )
    highest = max(int(s.labels.max(initial=-1)) for s in splits.values())
    return Found(
        what="parquet files",
        name=path.resolve().name.removesuffix(".parquet"),
        source=str(path.absolute()),
        class_names=_class_names(files.train[0], highest),
        splits=splits,
        files=(*files.train, *files.test),
    )
