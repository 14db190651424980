"""Downloaded files in the cache: a folder of them appears complete, or not at all."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from cifarlab.errors import InputError
from cifarlab.files import printable, sync_directory

MAX_MEMBER_BYTES = 1 << 30
CHUNK_BYTES = 1 << 20


def readable(folder: Path) -> Path:
    """Return the only file of a folder, or the folder."""
    files = list(folder.iterdir())
    return files[0] if len(files) == 1 else folder


def place(
    final: Path,
    *,
    files: Sequence[Path] = (),
    unpack: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Move files, and members of an archive, into the new folder ``final``, all or none.

    Raises:
        InputError: the archive is damaged, or lacks a member.
    """
    temporary = final.with_name(f"{final.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for file in files:
            file.replace(temporary / file.name)
        if unpack is not None:
            _unpack(*unpack, temporary)
        sync_directory(temporary)
        temporary.replace(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(final.parent)


def _unpack(archive: Path, members: Sequence[str], folder: Path) -> None:
    """Unpack members by exact name into ``folder``, without the folders that they are in."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in members:
                if packed.getinfo(member).file_size > MAX_MEMBER_BYTES:
                    raise InputError(f"{printable(archive)}: {member} is too long to be right")
                with (
                    packed.open(member) as source,
                    (folder / member.rpartition("/")[2]).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
                    target.flush()
                    os.fsync(target.fileno())
    except (KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise InputError(
            f"{printable(archive)}: damaged, or not the archive that it should be "
            f"({type(error).__name__}); remove it and try again"
        ) from error
