"""The tree of the names in an archive, with the same things left out as in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath

from cifarlab.data.readers.tree import Folder, Listing
from cifarlab.data.readers.what_is_read import is_hidden, is_image, no_data
from cifarlab.errors import UnsafeError
from cifarlab.files import printable

# The names of more members than this would fill the memory.
MAX_MEMBERS = 5_000_000


def check_count(archive: PurePath, count: int) -> None:
    """Raise ``UnsafeError`` if an archive has too many members."""
    if count > MAX_MEMBERS:
        raise UnsafeError(
            f"{printable(archive)}: more than {MAX_MEMBERS:,} members; unpack it if you trust it, "
            "and give the folder"
        )


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive: its name, as it is written there, and its first bytes."""

    name: str
    head: bytes = b""


@dataclass(frozen=True)
class _Branch:
    folders: dict[str, _Branch] = field(default_factory=dict)
    files: dict[str, Member] = field(default_factory=dict)


def parts_of(name: str) -> tuple[str, ...] | None:
    """Return the parts of a member's path; ``None`` if it leads out of the archive."""
    text = name.replace("\\", "/")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    drive = text[1:2] == ":"
    if text.startswith("/") or drive or ".." in parts or "\0" in text or not parts:
        return None
    return parts


def key_of(name: str) -> str | None:
    """Return what all spellings of one member's path have in common, as ``name_below`` gives it."""
    parts = parts_of(name)
    return None if parts is None else "/".join(parts)


def tree_of(archive: PurePath, members: Iterable[Member], folders: Iterable[str]) -> Listing:
    """Return the tree of ``members`` and of empty ``folders``, as ``list_tree`` would.

    Its paths begin with the archive's.
    """
    top = _Branch()
    left_out: list[str] = []
    for name in folders:
        _branch(top, parts_of(name) or ())
    for member in members:
        parts = parts_of(member.name)
        if parts is None:
            left_out.append(f"{printable(member.name)}: left out, its path leads out")
            continue
        _branch(top, parts[:-1]).files[parts[-1]] = member
    return Listing(root=_folder(archive, top, left_out), left_out=tuple(left_out))


def _branch(top: _Branch, parts: tuple[str, ...]) -> _Branch:
    for part in parts:
        top = top.folders.setdefault(part, _Branch())
    return top


def _folder(path: PurePath, branch: _Branch, left_out: list[str], depth: int = 1) -> Folder:
    folders, images, others = [], [], []
    skipped = 0
    for name in sorted({*branch.folders, *branch.files}):
        here = path / name
        if is_hidden(name):
            continue
        if name in branch.folders:
            inner = branch.folders[name]
            reason = no_data(name, inner.files.__contains__, depth)
            if reason:
                left_out.append(f"{printable(here)}: left out, {reason}")
                skipped += 1
                continue
            folders.append(_folder(here, inner, left_out, depth + 1))
        elif is_image(here, lambda member=branch.files[name]: member.head):  # type: ignore[misc]
            images.append(here)
        else:
            others.append(here)
    return Folder(
        path=path,
        folders=tuple(folders),
        images=tuple(images),
        others=tuple(others),
        skipped=skipped,
    )
