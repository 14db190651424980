"""``Place``: image files below one root, in a folder or in an archive, read in the same way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from cifarlab.data.readers.labelling import Labelled
from cifarlab.data.readers.tree import Listing, list_tree, name_below
from cifarlab.data.samples import Samples, Stored
from cifarlab.errors import InputError
from cifarlab.files import printable


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder or an archive, listed once.

    Attributes:
        path: the folder or the archive.
        what: what it is, in words.
        name: the name of a dataset that is read from it.
        listing: what is in it; its paths begin with ``path``.
        read: returns the first bytes of a file, at most so many.
        contents: returns the stored images of these paths, in order.
        position: where a file stands, if it is cheap to read only in one order.
    """

    path: Path
    what: str
    name: str
    listing: Listing
    read: Callable[[PurePath, int], bytes]
    contents: Callable[[Sequence[PurePath]], Iterable[Stored]]
    position: Callable[[PurePath], int] | None = None

    def below(self, path: PurePath) -> str:
        """Return ``path`` below the root, with ``/``, fit for any output."""
        # File names that are not UTF-8 arrive as lone surrogates, which no output can hold.
        return os.fsencode(name_below(self.path, path)).decode(errors="backslashreplace")

    def samples(self, labelled: Labelled) -> Samples:
        """Return the images of one split, in an order in which they are cheap to read."""
        pairs: list[tuple[PurePath, int]] = list(zip(labelled.paths, labelled.labels, strict=True))
        if self.position is not None:
            position = self.position
            pairs.sort(key=lambda pair: position(pair[0]))
        paths = tuple(path for path, _ in pairs)
        labels: np.ndarray[Any, Any] = np.array([label for _, label in pairs], dtype=np.int64)
        return Samples(
            labels=labels,
            names=tuple(map(self.below, paths)),
            contents=lambda: self.contents(paths),
        )


def folder_place(path: Path, *, follow_links: bool = False) -> Place:
    """List a folder.

    Raises:
        InputError: it is no folder, or cannot be listed.
    """
    return Place(
        path=path,
        what="a folder of images",
        name=path.resolve().name,
        listing=list_tree(path, follow_links=follow_links),
        read=read_file,
        contents=lambda paths: (p if isinstance(p, Path) else Path(p) for p in paths),
    )


def read_file(path: PurePath, most: int) -> bytes:
    """Return the first bytes of a file, at most ``most``.

    Raises:
        InputError: it is no ordinary file, or cannot be read.
    """
    try:
        if not Path(path).is_file():
            raise InputError(f"{printable(path)}: no such file; check the path")
        with Path(path).open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise InputError(
            f"{printable(path)}: cannot be read ({error.strerror}); check its permissions"
        ) from None
