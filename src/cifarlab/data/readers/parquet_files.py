"""Which Parquet files of a folder belong together, and which split each is in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cifarlab.data.readers import arrow_files
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.split_names import (
    TEST,
    TRAIN,
    VALIDATION,
    all_in_one,
    split_of,
    splits_of,
)
from cifarlab.data.readers.what_is_read import SUFFIXES, SYSTEM_FOLDERS, is_hidden
from cifarlab.errors import InputError
from cifarlab.files import printable

MAX_DEPTH = 3
PARQUET = (".parquet", ".pq")
KINDS = (*PARQUET, *arrow_files.SUFFIXES)
SHARD = re.compile(
    r"(?P<stem>.+)-(?P<index>\d{5})-of-(?P<count>\d{5})(?P<rest>.*)\.(?P<suffix>parquet|arrow)"
)


@dataclass(frozen=True, kw_only=True)
class ParquetFiles:
    """The files of each split, and one line for each decision."""

    splits: Mapping[str, tuple[Path, ...]]
    notes: tuple[str, ...] = ()


def is_parquet(path: Path) -> bool:
    """Whether a file is called as a Parquet file or a table of Arrow."""
    return path.suffix.lower() in PARQUET or arrow_files.is_table(path)


def find_files(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder and up to three folders deep, sorted."""
    return sorted(file for file in _walk(folder, MAX_DEPTH) if is_parquet(file))


def count_images(folder: Path) -> int:
    """Return how many image files are beside the Parquet files."""
    return sum(file.suffix.lower() in SUFFIXES for file in _walk(folder, MAX_DEPTH))


def by_split(root: Path, files: list[Path], *, measuring: bool = False) -> ParquetFiles:
    """Give each file to the split that its name, or a folder above it, speaks of.

    A file is in one split only. Files that speak of none are training files, unless others are.

    Args:
        measuring: a model is to be measured, so that files of any one split are enough.

    Raises:
        InputError: several datasets, no training files, or a shard is missing.
    """
    _refuse_several(root, files)
    _refuse_missing_shards(files)
    words = {file: _spoken(root, file) for file in files}
    spoken = splits_of(sorted(set(words.values())))
    parts: dict[str, list[Path]] = {}
    silent: list[Path] = []
    for file, word in words.items():
        part = parts.setdefault(spoken[word], []) if word in spoken else silent
        part.append(file)
    notes = []
    if not silent:
        parts = all_in_one(parts, measuring=measuring)
    if TRAIN not in parts:
        parts[TRAIN] = silent
    elif silent:
        names = some([str(file.relative_to(root)) for file in silent])
        notes.append(f"left out {names}: its name speaks of no split and others are called train")
    if not parts[TRAIN]:
        names = some([str(file.relative_to(root)) for file in files])
        raise InputError(
            f"{printable(root)}: holds {names}, no file of training images; add one, or rename one "
            "of these"
        )
    splits = {s: tuple(parts[s]) for s in (TRAIN, VALIDATION, TEST) if s in parts}
    return ParquetFiles(splits=splits, notes=tuple(notes))


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        raise InputError(
            f"{printable(folder)}: cannot be listed ({error.strerror}); check its permissions"
        ) from None
    for entry in found:
        # Files may be links, as in the cache of Hugging Face; linked folders could go round.
        if entry.is_file():
            yield Path(entry.path)
        elif (
            depth
            and entry.is_dir(follow_symlinks=False)
            and entry.name.casefold() not in SYSTEM_FOLDERS
        ):
            yield from _walk(Path(entry.path), depth - 1)


def _spoken(root: Path, file: Path) -> str:
    """Return the word that tells the split of a file: its name, or the nearest folder's."""
    names = [file.stem, *reversed(file.relative_to(root).parts[:-1])]
    return next((name for name in names if split_of(name) is not None), file.stem)


def _refuse_several(root: Path, files: list[Path]) -> None:
    """Refuse folders beside each other that each hold a dataset, as on Hugging Face."""
    folders: dict[tuple[str, ...], Path] = {}
    for file in files:
        parts = file.relative_to(root).parts[:-1]
        key = tuple(part for part in parts if part != "data" and split_of(part) is None)
        folders.setdefault(key, root.joinpath(*key))
    if len(folders) > 1:
        raise InputError(
            f"{printable(root)}: holds several datasets; give one of "
            f"{some(sorted(map(str, folders.values())))}"
        )


def _refuse_missing_shards(files: list[Path]) -> None:
    present = set(files)
    for file in files:
        if match := SHARD.fullmatch(file.name):
            stem, count, rest = match["stem"], int(match["count"]), match["rest"]
            # A suffix after the count differs from shard to shard, so it cannot be guessed.
            for index in range(count if not rest else 0):
                shard = file.with_name(f"{stem}-{index:05d}-of-{count:05d}.{match['suffix']}")
                if shard not in present:
                    raise InputError(f"{printable(shard)}: missing, one of {count}; copy it there")
