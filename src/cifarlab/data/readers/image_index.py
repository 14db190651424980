"""Which image file a cell of a table names: by its path, its name, or its name without a suffix."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from cifarlab.data.readers.split_names import split_of, splits_of
from cifarlab.data.readers.tree import name_below

_DRIVE = re.compile(r"[A-Za-z]:/")
_ADDRESS = re.compile(r"[a-z]+://")
# What may follow the path in an address.
_QUERY = re.compile(r"[?#].*")
_ZEROS = re.compile(r"^0+(?=\d)")


@dataclass(frozen=True, kw_only=True)
class ImageIndex:
    """The image files below a root. Only files in it are ever returned, whatever a cell says.

    Attributes:
        root: the folder or the archive.
        by_name: the files of each name and of each name without its suffix, in small letters, and
            without the zeros before a number.
        folders: the names of the folders, in small letters.
        splits: the split that a folder of that name, right below a root, speaks of.
    """

    root: PurePath
    by_name: Mapping[str, tuple[PurePath, ...]]
    folders: frozenset[str]
    splits: Mapping[str, str]

    def split(self, image: PurePath) -> str | None:
        """Return the split that the folders above an image speak of."""
        folders = name_below(self.root, image).split("/")[:-1]
        return next((self.splits[name] for name in folders if name in self.splits), None)

    def candidates(self, cell: Any, folder: PurePath) -> list[PurePath]:
        """Return the images that a cell may name.

        A path of another machine, or an address, names the images that end as it does.

        Args:
            folder: the one that the table is in.
        """
        parts = self._parts(cell, folder)
        if not parts:
            return []
        last = parts[-1].casefold()
        named = self.by_name.get(last) or self.by_name.get(_ZEROS.sub("", last), ())
        above = tuple(part.casefold() for part in parts[:-1])
        found = [p for p in named if _ends_with(p.parent, above)] or self._moved(named, above)
        if len(found) < 2:
            return found
        for exact in (folder.joinpath(*parts), self.root.joinpath(*parts)):
            if exact in found:
                return [exact]
        whole = [p for p in found if p.name == parts[-1]]
        return whole or [p for p in found if p.stem == parts[-1]] or found

    def _moved(self, named: Sequence[PurePath], above: tuple[str, ...]) -> list[PurePath]:
        """Return those of ``named`` that share the most folders with a path of another place."""
        for first in range(1, len(above) + 1):
            found = [p for p in named if _ends_with(p.parent, above[first:])]
            if found:
                other = above[first - 1]
                # A folder that is here and holds no such image: the image is missing.
                if other in self.folders:
                    return []
                return [p for p in found if split_of(other) in (None, self.split(p))]
        return []

    def is_elsewhere(self, cell: Any) -> bool:
        """Whether a cell is a whole path, or an address, that is not below the root."""
        text = _plain(cell)
        whole = text.startswith("/") or _DRIVE.match(text) or _ADDRESS.match(text)
        return bool(whole) and not text.startswith(self._whole_root)

    @property
    def _whole_root(self) -> str:
        return Path(self.root).absolute().as_posix() + "/"

    def _parts(self, cell: Any, folder: PurePath) -> tuple[str, ...]:
        """Return the parts of a cell's path; none if it leads out of the root."""
        text = _plain(cell)
        if _ADDRESS.match(text):
            text = _QUERY.sub("", text).partition("://")[2]
        else:
            text = _DRIVE.sub("/", text.removeprefix(self._whole_root), count=1)
        if ".." in text.split("/"):
            here = posixpath.join(folder.as_posix(), text)
            below = PurePosixPath(posixpath.normpath(here))
            root_path = PurePosixPath(self.root.as_posix())
            return below.relative_to(root_path).parts if below.is_relative_to(root_path) else ()
        return tuple(part for part in text.split("/") if part not in ("", "."))


def _plain(cell: Any) -> str:
    return str(cell).strip().replace("\\", "/")


def leads_out(cell: Any) -> bool:
    """Whether a cell that names no image is a path out of the table's folder."""
    return ".." in _plain(cell).split("/")


def index_images(root: PurePath, images: Iterable[PurePath]) -> ImageIndex:
    """Return the index of ``images``, which are below ``root``."""
    by_name: dict[str, list[PurePath]] = {}
    folders: set[str] = set()
    for image in images:
        name, stem = image.name.casefold(), image.stem.casefold()
        # Tables that hold numbers lose the zeros before them.
        number = (stem.lstrip("0") or "0") if stem.isdecimal() else stem
        for key in dict.fromkeys((name, stem, number)):
            by_name.setdefault(key, []).append(image)
        folders.update(name_below(root, image).split("/")[:-1])
    return ImageIndex(
        root=root,
        by_name={name: tuple(paths) for name, paths in by_name.items()},
        folders=frozenset(name.casefold() for name in folders),
        splits=splits_of(sorted(folders)),
    )


def _ends_with(folder: PurePath, parts: tuple[str, ...]) -> bool:
    return not parts or tuple(p.casefold() for p in folder.parts[-len(parts) :]) == parts
