"""List the images in a folder; no other module walks folders of images."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

from cifarlab.errors import InputError
from cifarlab.files import printable

# Suffixes of images. Formats that cannot be decoded are here too, so that such files are
# reported as bad instead of being ignored.
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"}
    | {".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jp2", ".jxl", ".ppm", ".pgm"}
)


def list_images(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Return every image in a folder and its subfolders, in the order of their paths.

    Images are recognised by their suffix. Hidden files are left out. Links that lead out of
    the folder, or nowhere, are left out with a warning, as are other files.

    Args:
        path: the folder.

    Returns:
        Paths that begin with ``path``; may be empty.

    Raises:
        InputError: ``path`` is not a folder or cannot be listed.
    """
    return list_below(Path(path), resolved(Path(path)))


def resolved(path: Path) -> Path:
    """Return the folder ``path`` with all links resolved.

    Raises:
        InputError: it is not a folder or cannot be opened.
    """
    shown = printable(str(path))
    try:
        if not path.exists():
            raise InputError(f"{shown}: no such folder; check the path")
        if not path.is_dir():
            raise InputError(f"{shown}: not a folder; give a folder of images")
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{shown}: cannot be opened ({error}); check the path") from None


def list_folder(folder: Path, root: Path) -> list[Path]:
    """Return the entries of ``folder``, sorted, without hidden names and links out of ``root``.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
        entries = [entry for entry in entries if _stays(entry, root)]
        for entry in entries:
            entry.stat()  # so that a later is_dir cannot fail
    except OSError as error:
        raise InputError(
            f"{printable(str(folder))}: cannot be listed ({error.strerror}); check its permissions"
        ) from None
    return entries


def _stays(entry: Path, root: Path) -> bool:
    if not entry.is_symlink():
        return True
    try:
        target = entry.resolve(strict=True)
    except (OSError, RuntimeError):
        target = None
    if target is not None and target.is_relative_to(root):
        return True
    where = "leads nowhere" if target is None else "leads out of the folder"
    warnings.warn(f"{printable(str(entry))}: skipped, as the link {where}", stacklevel=2)
    return False


def list_below(folder: Path, root: Path) -> tuple[Path, ...]:
    """List like ``list_images``, leaving out links that lead out of ``root``."""
    files = list(_walk(folder, root))
    others = [file for file in files if file.suffix.lower() not in SUFFIXES]
    if others:
        warnings.warn(
            f"{printable(str(folder))}: skipped {len(others)} files that are not images, "
            f"such as {printable(others[0].name)}",
            stacklevel=2,
        )
    return tuple(sorted(file for file in files if file.suffix.lower() in SUFFIXES))


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(folder, ())]
    while waiting:
        current, above = waiting.pop()
        real = current.resolve()
        # A link to a folder above itself would never end.
        if real in above:
            continue
        for entry in list_folder(current, root):
            if entry.is_dir():
                waiting.append((entry, (*above, real)))
            elif entry.is_file():
                yield entry
