"""A folder and all below it, listed once: what is read from it, and what is left out and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cifarlab.data.listing import SUFFIXES, resolved
from cifarlab.errors import InputError
from cifarlab.files import printable

# Folders that systems and programs leave behind; images in them are copies or thumbnails.
SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"}
    | {"__pycache__", "node_modules", ".ipynb_checkpoints"}
)
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
# How image files begin, for those without a suffix.
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
# A folder that holds one of these is no data: a run of this program, an environment, a cache.
MARKS: Mapping[str, str] = {
    "pyvenv.cfg": "a Python environment",
    "CACHEDIR.TAG": "a cache",
}


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder as it was found.

    Attributes:
        path: where it is, beginning with the path that was given.
        folders: what is read of the folders in it, by name.
        images: the image files in it, by name.
        others: the other files in it, by name.
        skipped: how many folders and files in it are left out.
    """

    path: Path
    folders: tuple[Folder, ...]
    images: tuple[Path, ...]
    others: tuple[Path, ...]
    skipped: int

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.name

    def everything(self) -> Iterator[Path]:
        """Yield the images in it and below it, by path."""
        below = [image for folder in self.folders for image in folder.everything()]
        yield from sorted([*self.images, *below])

    def other_files(self) -> Iterator[Path]:
        """Yield the files in it and below it that are no images."""
        yield from self.others
        for folder in self.folders:
            yield from folder.other_files()

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is read from it."""
        nothing = not self.images and not self.others and not self.skipped
        return nothing and all(folder.is_empty for folder in self.folders)

    @property
    def with_images(self) -> tuple[Folder, ...]:
        """The folders in it that hold images, directly or deeper."""
        return tuple(f for f in self.folders if next(f.everything(), None) is not None)


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A tree, and one line for each thing in it that is not read."""

    root: Folder
    left_out: tuple[str, ...]


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
        root=_listed(path, root, seen, left_out, follow_links=follow_links),
        left_out=tuple(left_out),
    )


def walk_images(
    path: Path,
    *,
    enter: Callable[[Path], bool] = lambda _: True,
    take: Callable[[Path], bool] = lambda _: True,
    follow_links: bool = False,
    left_out: Callable[[str], object],
    failed: Callable[[InputError], object],
) -> Iterator[Path]:
    """Yield the images in the folder ``path`` and all below it, by the rules of ``list_tree``.

    For trees of any size: of files, only the names in one folder are held at a time. The images in
    a folder come before those in its subfolders, both sorted.

    Args:
        enter: whether a folder is searched.
        take: whether a file is wanted.
        follow_links: read what links out of the tree lead to, each folder once.
        left_out: called with one line for each thing that is wanted and not read.
        failed: called with the error of each folder that cannot be listed or entered.

    Raises:
        InputError: ``path`` is no folder.
    """
    root = resolved(path)
    seen = {root}

    def is_read(here: Path) -> bool:
        if _is_hidden(here.name):
            return False
        lines: list[str] = []
        try:
            kept = not here.is_symlink() or _followed(here, root, seen, lines, follow_links)
            if kept and here.is_dir():
                kept = _is_new_folder(here, seen, lines)
            elif kept and not (here.is_file() and _is_image(here)):
                kept = False
                lines.append(f"{printable(here)}: left out, not an image file")
        except OSError as error:
            cannot_list(error)
            return False
        for line in lines:
            left_out(line)
        return kept

    def cannot_list(error: OSError) -> None:
        failed(_cannot_list(Path(error.filename or path), error))

    for folder, folders, names in os.walk(path, onerror=cannot_list, followlinks=follow_links):
        here = Path(folder)
        below = filter(enter, (here / name for name in sorted(folders)))
        folders[:] = [path.name for path in below if is_read(path)]
        yield from filter(is_read, filter(take, (here / name for name in sorted(names))))


def _listed(
    path: Path, root: Path, seen: set[Path], left_out: list[str], *, follow_links: bool
) -> Folder:
    folders: list[Folder] = []
    images: list[Path] = []
    others: list[Path] = []
    before = len(left_out)
    below = 0
    for entry in _entries(path):
        name = entry.name
        here = Path(entry.path)
        if _is_hidden(name):
            continue
        if entry.is_symlink() and not _followed(here, root, seen, left_out, follow_links):
            continue
        if entry.is_dir():
            if not _is_new_folder(here, seen, left_out):
                continue
            lines = len(left_out)
            folders.append(_listed(here, root, seen, left_out, follow_links=follow_links))
            below += len(left_out) - lines
        elif not entry.is_file():
            left_out.append(f"{printable(here)}: left out, not an ordinary file")
        elif _is_image(here):
            images.append(here)
        else:
            others.append(here)
    return Folder(
        path=path,
        folders=tuple(folders),
        images=tuple(images),
        others=tuple(others),
        skipped=len(left_out) - before - below,
    )


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _cannot_list(path, error) from None


def _cannot_list(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{printable(path)}: cannot be listed ({error.strerror}); check its permissions"
    )


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in SYSTEM_FILES


def _is_new_folder(here: Path, seen: set[Path], left_out: list[str]) -> bool:
    reason = _no_data(here)
    if reason:
        left_out.append(f"{printable(here)}: left out, {reason}")
        return False
    real = here.resolve()
    if real in seen:
        left_out.append(f"{printable(here)}: left out, its folder is read already")
        return False
    seen.add(real)
    return True


def _no_data(folder: Path) -> str | None:
    if folder.name.casefold() in SYSTEM_FOLDERS:
        return "a system folder"
    if (folder / "recipe.json").is_file() and (folder / "environment.json").is_file():
        return "a run directory"
    return next((what for mark, what in MARKS.items() if (folder / mark).is_file()), None)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES or (not file.suffix and _begins_like_an_image(file))


def _begins_like_an_image(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            head = opened.read(16)
    except OSError:
        return False
    webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return webp or head.startswith(SIGNATURES) or head[4:8] == b"ftyp"


def _followed(
    link: Path, root: Path, seen: set[Path], left_out: list[str], follow_links: bool
) -> bool:
    shown = printable(link)
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        left_out.append(f"{shown}: left out, the link leads nowhere")
        return False
    if target.is_relative_to(root):
        left_out.append(f"{shown}: left out, the link leads to what is read already")
        return False
    if not follow_links:
        left_out.append(f"{shown}: left out, the link leads out of the folder (--follow-links)")
        return False
    if target in seen:
        left_out.append(f"{shown}: left out, the link leads to what is read already")
        return False
    if target.is_file():
        seen.add(target)
    return True
