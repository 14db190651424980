"""Which images are meant: files, folders, patterns and lists, found one at a time."""

from __future__ import annotations

import glob
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO, NoReturn

from cifarlab.data.image import read_bytes
from cifarlab.data.readers.walk import walk_images
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

# Any number of folders, in a pattern.
DEEP = "**"
LIST_PIECE = 1 << 16

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One image that is to be classified.

    Attributes:
        name: its path, or another name.
        read: returns the content of the file, or raises ``InputError``.
        path: where it is; ``None`` where it is in no file.
    """

    name: str
    read: Callable[[], bytes]
    path: Path | None = None


def find_images(
    names: Iterable[PathLike | Source], *, follow_links: bool = False
) -> Iterator[Source]:
    """Yield the images that are meant, in the order of the names.

    Nothing is held of what was found, so that there may be any number of images. A name that
    leads to no image becomes a source whose ``read`` raises the reason. What is left out of
    folders is counted in one warning at the end.

    Args:
        names: files; folders, which are searched with all below them as datasets are; patterns such
            as ``"photos/**/*.jpg"``. What exists under a name is taken before its meaning as a
            pattern. A source stands for itself.
        follow_links: read what links out of a folder lead to.
    """
    left_out = _LeftOut()
    for name in names:
        if isinstance(name, Source):
            yield name
            continue
        try:
            yield from _images_of(os.fspath(name), follow_links, left_out)
        except InputError as error:
            yield _bad(os.fspath(name), error)
    left_out.warn()


def check_names(
    names: Iterable[PathLike | Source],
    *,
    copy_to: PathLike | None = None,
    follow_links: bool = False,
) -> None:
    """Raise for what can be known before the work begins.

    Raises:
        InputError: a folder without images, or a pattern that fits nothing.
        UsageError: copies in the folder ``copy_to`` would be found by the search for images.
    """
    for name in names:
        if isinstance(name, Source):
            continue
        search = _search(os.fspath(name))
        if search is not None and copy_to is not None:
            _check_outside(Path(copy_to), search)
        if search is not None:
            next(_found(search, follow_links, _LeftOut()))


def known_count(names: Sequence[PathLike | Source]) -> int | None:
    """Return how many images the names stand for; ``None`` where only a search can tell."""
    texts = [os.fspath(name) for name in names if not isinstance(name, Source)]
    return None if any(map(_search, texts)) else len(names)


def listed_names(file: BinaryIO) -> Iterator[str]:
    """Yield the names in a list: one per line, or with a NUL after each; empty ones are skipped.

    Args:
        file: UTF-8 text, as a stream of bytes, since names of files need not be text.
    """
    rest, end = b"", b"\n"
    while piece := file.read(LIST_PIECE):
        if b"\0" in piece:
            end = b"\0"
        *whole, rest = (rest + piece).split(end)
        yield from filter(None, map(_name, whole))
    if _name(rest):
        yield _name(rest)


@dataclass(frozen=True, kw_only=True)
class _Search:
    """Images below ``folder`` whose paths there, part by part, fit ``pattern``."""

    folder: Path
    pattern: tuple[str, ...]
    name: str

    def may_hold(self, folder: Path) -> bool:
        """Whether something in or below this folder may fit."""
        return _may_fit(folder.relative_to(self.folder).parts, self.pattern)

    def fits(self, file: Path) -> bool:
        """Whether the file fits, or a folder that it is in, which stands for all in it."""
        parts = file.relative_to(self.folder).parts
        return any(_fits(parts[:depth], self.pattern) for depth in range(1, len(parts) + 1))


class _LeftOut:
    """Counts what is left out, and keeps the first line as an example."""

    def __init__(self) -> None:
        self.count = 0
        self.example = ""

    def __call__(self, line: str) -> None:
        self.count += 1
        self.example = self.example or line

    def warn(self) -> None:
        if self.count == 1:
            warnings.warn(self.example, stacklevel=3)
        elif self.count:
            warnings.warn(f"{self.example}; and {self.count - 1:,} more left out", stacklevel=3)


def _images_of(name: str, follow_links: bool, left_out: _LeftOut) -> Iterator[Source]:
    search = _search(name)
    if search is None:
        yield _file(Path(name))
    else:
        yield from _found(search, follow_links, left_out)


def _search(name: str) -> _Search | None:
    # Unlike ``Path.is_dir`` this is no error for a name with a NUL.
    if os.path.isdir(name):  # noqa: PTH112
        return _Search(folder=Path(name), pattern=(DEEP,), name=name)
    if "\0" in name or not glob.has_magic(name) or os.path.lexists(name):
        return None
    parts = PurePath(name).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return _Search(folder=Path(*parts[:fixed]), pattern=parts[fixed:], name=name)


def _found(search: _Search, follow_links: bool, left_out: _LeftOut) -> Iterator[Source]:
    failed: list[InputError] = []
    images = walk_images(
        search.folder,
        enter=search.may_hold,
        take=search.fits,
        follow_links=follow_links,
        left_out=left_out,
        failed=failed.append,
    )
    found = False
    for image in images:
        found = True
        yield _file(image)
    yield from (_bad(search.name, error) for error in failed)
    if not (found or failed):
        what = "in this folder" if search.pattern == (DEEP,) else "that fit this pattern"
        raise InputError(f"{printable(search.name)}: no images {what}; name some that exist")


def _check_outside(folder: Path, search: _Search) -> None:
    place = search.folder.resolve()
    if folder.resolve().is_relative_to(place) and search.may_hold(
        search.folder / folder.resolve().relative_to(place)
    ):
        raise UsageError(
            f"{printable(folder)}: lies in {printable(search.folder)}, so that the copies would be "
            "classified too; choose a folder outside"
        )


def _may_fit(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not parts or not pattern or pattern[0] == DEEP:
        return True
    return fnmatchcase(parts[0], pattern[0]) and _may_fit(parts[1:], pattern[1:])


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == DEEP:
        return any(_fits(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _file(path: Path) -> Source:
    return Source(name=str(path), read=partial(read_bytes, path), path=path)


def _bad(name: str, error: InputError) -> Source:
    def read() -> NoReturn:
        raise error

    # The error names what it is about, which may be below ``name``.
    named = str(error).partition(": ")[0]
    return Source(name=named if named.startswith(name) else name, read=read)


def _name(line: bytes) -> str:
    # What editors on Windows add.
    return os.fsdecode(line.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\r"))
