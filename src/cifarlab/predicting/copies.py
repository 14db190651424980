"""Sort copies of image files into a folder per class."""

from __future__ import annotations

import filecmp
import re
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path

from cifarlab.files import TEMPORARY_PREFIX, cannot_write

NOT_SURE = "not sure"
# What one system or another does not allow in a name.
_NOT_IN_NAMES = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def folder_names(class_names: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each class, possible on every system; no two are the same.

    Example:
        >>> folder_names(["cat", "a/b", "A:B"])
        {'cat': 'cat', 'a/b': 'a_b', 'A:B': 'A_B-2'}
    """
    taken = {NOT_SURE}
    names: dict[str, str] = {}
    for class_name in class_names:
        wanted = _possible(class_name)
        free = next(name for name in _numbered(wanted, "") if name.casefold() not in taken)
        taken.add(free.casefold())
        names[class_name] = free
    return names


def copy_into(folder: Path, file: Path) -> Path:
    """Copy ``file`` into ``folder`` and return where it is; nothing is ever overwritten.

    A name that is taken gets a number, unless the file there has the same content: then that is
    the copy, so that going on after an interruption makes no second one.

    Raises:
        ResourceError: it cannot be written.
    """
    temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        targets = (folder / name for name in _numbered(file.stem, file.suffix))
        target = next(targets)
        while target.exists():
            if filecmp.cmp(file, target, shallow=False):
                return target
            target = next(targets)
        # A name appears when the copy is whole.
        shutil.copy2(file, temporary)
        while not _renamed(temporary, target):
            target = next(targets)
        return target
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _renamed(temporary: Path, target: Path) -> bool:
    """Rename unless the new name is taken, also where another process takes it just now."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:
        # Not every file system has links.
        if target.exists():
            return False
        temporary.rename(target)
    return True


def _possible(name: str) -> str:
    possible = _NOT_IN_NAMES.sub("_", name).rstrip(". ")
    if not possible or possible.startswith(".") or _RESERVED.fullmatch(possible):
        return f"_{possible}"
    return possible


def _numbered(stem: str, suffix: str) -> Iterable[str]:
    yield f"{stem}{suffix}"
    for number in count(2):
        yield f"{stem}-{number}{suffix}"
