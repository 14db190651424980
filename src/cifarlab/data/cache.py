"""The cache: decoded images on disk, memory-mapped when they are read again.

An entry is a directory of files with raw pixels, labels in ``.npy`` files, and one ``meta.json``.
It is written under a temporary name and renamed when complete, so a reader sees all of it or
nothing. Images are written straight to the disk while they are decoded, so that they need not fit
into memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.split import Split
from cifarlab.errors import UsageError
from cifarlab.files import printable, sync_directory

Progress = Callable[[str], None] | None
# Images that are written at once.
ROWS = 1024

NOTHING = Split(images=np.empty((0, 0, 0, 3), np.uint8), labels=np.empty(0, np.int64))

# Part of every entry's name: raise it when the layout of an entry changes.
LAYOUT = 2
# Entries of version 0.1, with ``.npy`` files: named datasets need no second download.
OLD_LAYOUT = "v1-"


# Returns a uint8 array of a shape to be filled, for the split of that name.
Allocate = Callable[[str, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A dataset as its source divides it.

    Attributes:
        name: the name in every output.
        source: where it was read from.
        class_names: one name per class, in label order.
        train: images to train on, and to take the missing splits from.
        test: images to report on; empty where the source has no test split.
        validation: images to choose by; empty where the source has no validation split.
        skipped: one line for each image that was left out because it is bad.
        bits: of the values in 16-bit files.
        grey: whether every image was grey before it was brought to a number of channels; ``None``
            where that was not recorded.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    validation: Split = NOTHING
    skipped: tuple[str, ...] = ()
    bits: int = 16
    grey: bool | None = None

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def has(self, split: str) -> bool:
        """Whether the source has that split, good images in it or not."""
        return bool(self.splits[split].images.shape[1])


def in_memory(_: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Allocate memory for images of ``shape``, where nothing can be kept."""
    return np.empty(shape, dtype=np.uint8)


def directory() -> Path:
    """Return where cifarlab keeps its files.

    ``CIFARLAB_CACHE``, else ``$XDG_CACHE_HOME/cifarlab``, else ``~/.cache/cifarlab``.

    Raises:
        UsageError: neither variable is set, and there is no home directory.
    """
    if chosen := os.environ.get("CIFARLAB_CACHE"):
        return Path(chosen).expanduser().absolute()
    # The XDG rules say that a relative path there is to be ignored.
    if (xdg := os.environ.get("XDG_CACHE_HOME")) and Path(xdg).is_absolute():
        return Path(xdg) / "cifarlab"
    try:
        return Path.home() / ".cache" / "cifarlab"
    except RuntimeError as error:
        raise UsageError(
            "no home directory, so there is no default cache directory; set CIFARLAB_CACHE to one"
        ) from error


def key_for(path: Path, files: Sequence[Path], options: Sequence[object] = ()) -> str:
    """Return the name of the entry for a local source in its present state.

    It depends on the absolute path and the options, and on the files' sizes and
    modification times, so an edited source is decoded afresh.
    """
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)]
    source = _short_hash([str(path.resolve()), list(options)])
    return f"local-{source}-{_short_hash(states)}"


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def get(key: str, build: Callable[[Allocate], Decoded], *, progress: Progress = None) -> Decoded:
    """Return the entry ``key``, calling ``build`` to make it when there is none.

    Of several processes that ask at once, one builds and the others wait for it.
    Where the cache cannot be written the result stays in memory, with a warning.

    Args:
        build: is given a function that allocates arrays, on the disk where that can be; the images
            that it returns may be such arrays, or their first rows, or others.

    Raises:
        whatever ``build`` raises.
    """
    entry = read(key)
    if entry is not None:
        return entry
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(key, progress=progress))
        except OSError as error:
            say(progress, _not_kept(error))
            return build(in_memory)
        # Another process may have written it while this one waited for the lock.
        entry = read(key)
        if entry is not None:
            return entry
        try:
            with _new_entry(key) as folder:
                decoded = build(_allocating_in(folder, progress))
                try:
                    _fill(folder, decoded)
                    _keep(folder, key)
                except OSError as error:
                    say(progress, _not_kept(error))
                    return _copied(decoded)
        except OSError as error:
            say(progress, _not_kept(error))
            return build(in_memory)
    return read(key) or decoded


def _not_kept(error: OSError) -> str:
    return (
        f"warning: cache {printable(directory())} cannot be written ({error.strerror or error}): "
        "the images are decoded in memory each time; set CIFARLAB_CACHE to a writable directory"
    )


def say(progress: Progress, message: str) -> None:
    """Pass ``message`` to ``progress``, or to the log when ``progress`` is ``None``."""
    if progress is not None:
        progress(message)
    elif message.startswith("warning: "):
        logging.getLogger("cifarlab").warning(message.removeprefix("warning: "))
    else:
        logging.getLogger("cifarlab").info(message)


@contextlib.contextmanager
def lock(key: str, *, progress: Progress = None) -> Iterator[None]:
    """Hold the lock on entry ``key``; the system releases it when the process dies.

    Raises:
        OSError: the cache directory cannot be written.
    """
    from filelock import FileLock, Timeout

    root = directory()
    root.mkdir(parents=True, exist_ok=True)
    held = FileLock(root / f"{key}.lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        say(progress, f"waiting for another process that prepares {key} in {printable(root)}")
        held.acquire()
    try:
        yield
    finally:
        held.release()


def read(key: str) -> Decoded | None:
    """Return entry ``key``, images memory-mapped, or ``None`` if it is absent or broken."""
    entry = _entry(key)
    old = directory() / f"{OLD_LAYOUT}{key}"
    if not entry.exists() and old.exists():
        entry = old
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        return Decoded(
            name=meta["name"],
            source=meta["source"],
            class_names=tuple(meta["class_names"]),
            train=_read_split(entry, "train", meta["train"]),
            test=_read_split(entry, "test", meta.get("test")),
            validation=_read_split(entry, "validation", meta.get("validation")),
            skipped=tuple(meta["skipped"]),
            bits=meta.get("bits", 16),
            grey=meta.get("grey"),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _read_split(entry: Path, part: str, meta: dict[str, Any] | None) -> Split:
    if meta is None:
        return NOTHING
    shape = tuple(meta["shape"])
    file = entry / f"{part}_images.bin"
    labels = np.load(entry / f"{part}_labels.npy")
    if entry.name.startswith(OLD_LAYOUT):
        images = np.load(entry / f"{part}_images.npy", mmap_mode="r")
        return Split(images=images, labels=labels, names=tuple(meta["names"]))
    if file.stat().st_size != math.prod(shape) or labels.shape != shape[:1]:
        raise ValueError(f"{part}: the files do not match meta.json")
    # An empty file cannot be mapped.
    images = in_memory(part, shape)
    if images.size:
        images = np.memmap(file, np.uint8, "r", shape=shape)
    return Split(images=images, labels=labels, names=tuple(meta["names"]))


@contextlib.contextmanager
def _new_entry(key: str) -> Iterator[Path]:
    """Give a temporary directory for entry ``key``; hold ``lock(key)`` meanwhile.

    Raises:
        OSError: the cache cannot be written.
    """
    entry = _entry(key)
    # While the lock is held, any other temporary directory of this key is a dead process's.
    for stale in entry.parent.glob(f"{entry.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = entry.with_name(f"{entry.name}.tmp-{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _allocating_in(folder: Path, progress: Progress) -> Allocate:
    def allocate(part: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        size = math.prod(shape)
        try:
            if size == 0:
                return in_memory(part, shape)
            with (folder / f"{part}_images.bin").open("wb") as file:
                # Reserved now: a full disk would otherwise kill the process while it writes.
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                file.truncate(size)
            return np.memmap(folder / f"{part}_images.bin", np.uint8, "r+", shape=shape)
        except OSError as error:
            say(progress, _not_kept(error))
            return in_memory(part, shape)

    return allocate


def _keep(folder: Path, key: str) -> None:
    """Give a complete entry its name, and remove those of earlier states of the same source."""
    entry = _entry(key)
    shutil.rmtree(entry, ignore_errors=True)
    folder.replace(entry)
    sync_directory(entry.parent)
    if key.startswith("local-"):
        for old in entry.parent.glob(f"{entry.name.rpartition('-')[0]}-*"):
            # Another process may be filling a temporary directory at this moment.
            if old.is_dir() and old != entry and ".tmp-" not in old.name:
                shutil.rmtree(old, ignore_errors=True)


def _fill(folder: Path, decoded: Decoded) -> None:
    meta: dict[str, Any] = {
        "name": decoded.name,
        "source": decoded.source,
        "class_names": decoded.class_names,
        "skipped": decoded.skipped,
        "bits": decoded.bits,
        "grey": decoded.grey,
    }
    for part, split in decoded.splits.items():
        if not decoded.has(part):
            continue
        _write_images(folder / f"{part}_images.bin", split.images)
        with (folder / f"{part}_labels.npy").open("wb") as file:
            np.save(file, split.labels, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        meta[part] = {"shape": split.images.shape, "names": split.names}
    with (folder / "meta.json").open("w", encoding="utf-8") as text:
        json.dump(meta, text)
        text.flush()
        os.fsync(text.fileno())
    sync_directory(folder)


def _write_images(file: Path, images: np.ndarray[Any, Any]) -> None:
    """Write the images to ``file``, unless they are the file itself; either way all of it."""
    if isinstance(images, np.memmap) and Path(str(images.filename)) == file:
        images.flush()
        with file.open("r+b") as opened:
            # Fewer images than were expected may have been good, or they turned out grey.
            opened.truncate(images.size)
            os.fsync(opened.fileno())
        return
    with file.open("wb") as opened:
        for start in range(0, len(images), ROWS):
            opened.write(np.ascontiguousarray(images[start : start + ROWS]).data)
        opened.flush()
        os.fsync(opened.fileno())


def _copied(decoded: Decoded) -> Decoded:
    """Return the same in memory, for when the files that hold it go."""
    train, validation, test = (
        replace(split, images=np.array(split.images)) for split in decoded.splits.values()
    )
    return replace(decoded, train=train, validation=validation, test=test)


def _entry(key: str) -> Path:
    return directory() / f"v{LAYOUT}-{key}"
