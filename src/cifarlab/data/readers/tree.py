"""A folder and all below it, listed once: what is read from it, and what is left out and why."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from cifarlab.data.readers.what_is_read import is_followed, is_hidden, is_image_file, is_new_folder
from cifarlab.errors import InputError
from cifarlab.files import printable


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder as it was found.

    Attributes:
        path: where it is, beginning with the path of the folder or archive that was given.
        folders: what is read of the folders in it, by name.
        images: the image files in it, by name.
        others: the other files in it, by name.
        skipped: how many folders and files in it are left out.
        linked_out: folders in it that are links out of the tree and are left out.
    """

    path: PurePath
    folders: tuple[Folder, ...]
    images: tuple[PurePath, ...]
    others: tuple[PurePath, ...]
    skipped: int = 0
    linked_out: tuple[PurePath, ...] = ()

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    def all_folders(self) -> Iterator[Folder]:
        """Yield it and the folders below it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting.extend(reversed(folder.folders))

    def everything(self) -> Iterator[PurePath]:
        """Yield the images in it and below it, by path."""
        images = (image for folder in self.all_folders() for image in folder.images)
        yield from sorted(images, key=lambda image: image.parts)

    def other_files(self) -> Iterator[PurePath]:
        """Yield the files in it and below it that are no images."""
        for folder in self.all_folders():
            yield from folder.others

    @property
    def has_images(self) -> bool:
        """Whether images are in it or below it."""
        return any(folder.images for folder in self.all_folders())

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is read from it."""
        return not any(f.images or f.others or f.skipped for f in self.all_folders())

    @property
    def with_images(self) -> tuple[Folder, ...]:
        """The folders in it that hold images, directly or deeper."""
        return tuple(folder for folder in self.folders if folder.has_images)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A tree, and one line for each thing in it that is not read."""

    root: Folder
    left_out: tuple[str, ...]

    @property
    def not_images(self) -> tuple[str, ...]:
        """One line that counts the other files, or nothing."""
        return count_others(list(self.root.other_files()))


def name_below(root: PurePath, path: PurePath) -> str:
    """Return ``path`` below ``root`` with ``/``; many times faster than ``relative_to``.

    Example:
        >>> name_below(PurePath("photos"), PurePath("photos/cat/1.png"))
        'cat/1.png'
    """
    above = root.as_posix()
    return path.as_posix() if above == "." else path.as_posix()[len(above.rstrip("/")) + 1 :]


def count_others(files: Sequence[PurePath]) -> tuple[str, ...]:
    """Return one line for files that are no images and were not read, or nothing."""
    if not files:
        return ()
    shown = printable(files[0].name)
    return (f"left out {len(files):,} files that are not images, such as {shown}",)


def list_tree(path: Path, *, follow_links: bool = False) -> Listing:
    """List the folder ``path`` and all below it, once.

    Hidden names, what systems leave behind, run directories, environments and caches are left
    out. Links to files and folders inside the tree add nothing, since what they name is there
    already; links out of it are followed on request. Nothing but ordinary files is opened.

    Args:
        follow_links: read what links out of the tree lead to, each folder once.

    Raises:
        InputError: ``path`` is no folder, or cannot be listed.
    """
    root = resolved(path)
    left_out: list[str] = []
    seen = {root}
    return Listing(
        root=_listed(path, root, seen, left_out, follow_links, depth=1),
        left_out=tuple(left_out),
    )


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


def _listed(
    path: Path, root: Path, seen: set[Path], left_out: list[str], follow_links: bool, depth: int
) -> Folder:
    folders: list[Folder] = []
    images: list[Path] = []
    others: list[Path] = []
    linked_out: list[Path] = []
    before = len(left_out)
    below = 0
    for entry in _entries(path):
        name = entry.name
        here = Path(entry.path)
        if is_hidden(name):
            continue
        if entry.is_symlink() and not is_followed(here, root, seen, left_out, follow_links):
            if entry.is_dir() and not here.resolve().is_relative_to(root):
                linked_out.append(here)
            continue
        if entry.is_dir():
            if not is_new_folder(here, seen, left_out, depth):
                continue
            lines = len(left_out)
            folders.append(_listed(here, root, seen, left_out, follow_links, depth + 1))
            below += len(left_out) - lines
        elif not entry.is_file():
            left_out.append(f"{printable(here)}: left out, not an ordinary file")
        elif is_image_file(here):
            images.append(here)
        else:
            others.append(here)
    return Folder(
        path=path,
        folders=tuple(folders),
        images=tuple(images),
        others=tuple(others),
        skipped=len(left_out) - before - below,
        linked_out=tuple(linked_out),
    )


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise cannot_list(path, error) from None


def cannot_list(path: Path, error: OSError) -> InputError:
    """Return the error for a folder that the system does not list."""
    return InputError(
        f"{printable(path)}: cannot be listed ({error.strerror}); check its permissions"
    )
