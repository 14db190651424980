"""The cache: decoded images on disk, memory-mapped when they are read again.

An entry is a directory of ``.npy`` files and one ``meta.json``. It is written under a
temporary name and renamed when complete, so a reader sees all of it or nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.dataset import Split
from cifarlab.errors import UsageError
from cifarlab.files import printable, sync_directory

Progress = Callable[[str], None] | None

# Part of every entry's name: raise it when the layout of an entry changes.
LAYOUT = 1


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A dataset as its source stores it, before the validation split is taken out.

    Attributes:
        name: the name in every output.
        source: where it was read from.
        class_names: one name per class, in label order.
        train: images to divide into training and validation.
        test: images to report on; empty where the source has no test part.
        skipped: one line for each image that was left out because it is bad.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    skipped: tuple[str, ...] = ()


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


def key_for(path: Path, files: list[Path], options: tuple[object, ...] = ()) -> str:
    """Return the name of the entry for a local source in its present state.

    It depends on the absolute path and the options, and on the files' sizes and
    modification times, so an edited source is decoded afresh.
    """
    states = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(files)]
    source = _short_hash([str(path.resolve()), list(options)])
    return f"local-{source}-{_short_hash(states)}"


def _short_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def get(key: str, build: Callable[[], Decoded], *, progress: Progress = None) -> Decoded:
    """Return the entry ``key``, calling ``build`` to make it when there is none.

    Of several processes that ask at once, one builds and the others wait for it.
    Where the cache cannot be written the result stays in memory, with a warning.

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
            return build()
        # Another process may have written it while this one waited for the lock.
        entry = read(key)
        if entry is not None:
            return entry
        decoded = build()
        try:
            write(key, decoded)
        except OSError as error:
            say(progress, _not_kept(error))
            return decoded
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
    try:
        meta = json.loads((entry / "meta.json").read_text(encoding="utf-8"))
        return Decoded(
            name=meta["name"],
            source=meta["source"],
            class_names=tuple(meta["class_names"]),
            train=_read_split(entry, "train", meta["train"]),
            test=_read_split(entry, "test", meta["test"]),
            skipped=tuple(meta["skipped"]),
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _read_split(entry: Path, part: str, meta: dict[str, Any]) -> Split:
    images = np.load(entry / f"{part}_images.npy", mmap_mode="r")
    labels = np.load(entry / f"{part}_labels.npy")
    if list(images.shape) != meta["shape"] or labels.shape != images.shape[:1]:
        raise ValueError(f"{part}: the arrays do not match meta.json")
    return Split(images=images, labels=labels, names=tuple(meta["names"]))


def write(key: str, decoded: Decoded) -> None:
    """Store ``decoded`` as entry ``key``; call it while holding ``lock(key)``.

    Entries for earlier states of the same local source are removed.

    Raises:
        OSError: the disk is full or the cache cannot be written; nothing is left behind.
    """
    entry = _entry(key)
    # While the lock is held, any other temporary directory of this key is a dead process's.
    for stale in entry.parent.glob(f"{entry.name}.tmp-*"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary = entry.with_name(f"{entry.name}.tmp-{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        _fill(temporary, decoded)
        shutil.rmtree(entry, ignore_errors=True)
        temporary.replace(entry)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
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
    }
    for part, split in (("train", decoded.train), ("test", decoded.test)):
        for field, array in (("images", split.images), ("labels", split.labels)):
            with (folder / f"{part}_{field}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        meta[part] = {"shape": split.images.shape, "names": split.names}
    with (folder / "meta.json").open("w", encoding="utf-8") as text:
        json.dump(meta, text)
        text.flush()
        os.fsync(text.fileno())
    sync_directory(folder)


def _entry(key: str) -> Path:
    return directory() / f"v{LAYOUT}-{key}"
