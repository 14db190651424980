"""Atomic writes: a file appears complete or not at all, and a failed write says why."""

from __future__ import annotations

import csv
import errno
import io
import json
import numbers
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import BinaryIO

from cifarlab.errors import ResourceError

TEMPORARY_PREFIX = ".cifarlab-tmp-"

# What ran out, and what to do about it.
_EXHAUSTED = {
    errno.ENOSPC: ("no space is left on the disk", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some of the quota"),
    errno.EFBIG: ("the file size limit is reached", "raise the limit (ulimit -f)"),
}


def printable(name: str | PurePath) -> str:
    """Return ``name`` fit for a one-line message: as it is, or quoted with escapes."""
    text = str(name)
    return text if text.isprintable() else repr(text)


@contextmanager
def replacing(path: Path, size: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to, then rename that file to ``path``.

    For libraries that open a path themselves. Whenever the process dies, ``path`` holds its
    old content or all of the new one. When the block raises, the old content stays and the
    temporary file is removed.

    Args:
        path: where the file ends up; the temporary path has the same suffix.
        size: how many bytes will be written, when that is known, for the error message.

    Raises:
        ResourceError: the disk is full or the directory cannot be written to.

    Example:
        >>> with replacing(Path("best.keras")) as temporary:  # doctest: +SKIP
        ...     model.save(temporary)
    """
    temporary = _temporary(path.parent, path.suffix)
    try:
        try:
            yield temporary
        except Exception as error:
            if _is_about_writing(error, temporary):
                raise cannot_write(path, error, _needed(temporary, size)) from error
            raise
        try:
            _commit(temporary, path)
        except OSError as error:
            raise cannot_write(path, error, _needed(temporary, size)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a binary stream, then make that the content of ``path``, all or nothing.

    The stream is in memory: it can seek, but has no file descriptor.

    Raises:
        ResourceError: the disk is full or the directory cannot be written to.
    """
    content = io.BytesIO()
    write(content)
    data = content.getbuffer()
    with replacing(path, len(data)) as temporary, temporary.open("xb") as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8; see ``atomic_write``."""
    # File names that are not UTF-8 reach us as lone surrogates, which UTF-8 cannot hold.
    data = text.encode(errors="backslashreplace")
    atomic_write(path, lambda file: file.write(data))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, keys in their order; see ``atomic_write``.

    Raises:
        ValueError: it holds NaN or infinity, which JSON cannot express.
    """
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write ``rows`` under a header of all their keys; see ``atomic_write``.

    Floats are written so that reading them gives the same value; a key that a row lacks
    leaves its cell empty.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    writer.writerows([_cell(row[key]) if key in row else "" for key in columns] for row in rows)
    write_text(path, text.getvalue())


def check_writable(path: Path) -> None:
    """Write a small file into the directory ``path`` and remove it.

    Raises:
        ResourceError: the directory cannot be written to, or the disk is full.
    """
    probe = _temporary(path, "")
    try:
        with probe.open("xb") as file:
            file.write(b"cifarlab")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            probe.unlink()


def sync_directory(path: Path) -> None:
    """Flush the directory ``path`` itself to the disk.

    Only after this a file that was created or renamed is sure to have its name after a crash.
    Where directories cannot be opened (Windows) nothing is done.

    Raises:
        OSError: the directory cannot be opened or the disk fails.
    """
    if os.name == "posix":
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _temporary(directory: Path, suffix: str) -> Path:
    return directory / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{suffix}"


def _commit(temporary: Path, path: Path) -> None:
    with temporary.open("r+b") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def _is_about_writing(error: Exception, temporary: Path) -> bool:
    """Tell a failed write from an error that the library had for another reason."""
    number = _error_number(error)
    return number in _EXHAUSTED or (number is not None and temporary.name in str(error))


def _error_number(error: Exception) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    # HDF5 and safetensors raise errors of their own and put the number into the text.
    match = re.search(r"(?:errno = |os error )(\d+)", str(error))
    return int(match[1]) if match else None


def _needed(temporary: Path, size: int | None) -> str:
    if size is not None:
        return f" and {size:,} bytes are needed"
    with suppress(OSError):
        return f" and more than {temporary.stat().st_size:,} bytes are needed"
    return ""


def cannot_write(path: Path, error: Exception, needed: str = "") -> ResourceError:
    """Return the error that says why ``path`` could not be written, and what to do.

    Args:
        path: what was to be written.
        error: what the attempt raised, by the system or a library.
        needed: text on the space that it takes, such as ``" and 8 bytes are needed"``.
    """
    shown, number = printable(path), _error_number(error)
    if number in _EXHAUSTED:
        what, remedy = _EXHAUSTED[number]
        return ResourceError(f"{shown}: {what}{needed}; {remedy} or write to another directory")
    reason = os.strerror(number) if number is not None else str(error)
    return ResourceError(
        f"{shown}: cannot be written ({reason}); "
        "choose a directory that exists and can be written to"
    )


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return str(value)
    return str(int(value)) if isinstance(value, numbers.Integral) else repr(float(value))
