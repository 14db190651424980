"""A zip archive as a ``Place``: members are read by random access, a bounded part of each."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from cifarlab.data.readers.name_tree import Member, check_count, key_of, tree_of
from cifarlab.data.readers.places import Place
from cifarlab.data.readers.tree import Listing, name_below
from cifarlab.data.readers.what_is_read import HEAD
from cifarlab.errors import InputError
from cifarlab.files import printable

ENCRYPTED = 0x1
# What damaged members raise, and methods of compression that Python has not.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError)


def zip_place(path: Path) -> Place:
    """List a zip archive.

    Raises:
        InputError: it is damaged or encrypted.
    """
    shown = printable(path)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            check_count(path, len(infos))
            if any(info.flag_bits & ENCRYPTED for info in infos):
                raise InputError(
                    f"{shown}: encrypted; unpack it with its password, give the folder"
                )
            files = [info for info in infos if not info.is_dir()]
            plain = [info for info in files if not _is_special(info)]
            members = [Member(name=i.filename, head=_head(archive, i)) for i in plain]
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{shown}: a damaged zip archive ({reason}); copy it again") from None
    listing = tree_of(path, members, [info.filename for info in infos if info.is_dir()])
    by_name = {key_of(info.filename): info for info in plain}

    def read(member: PurePath, most: int) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return _content(archive, by_name[name_below(path, member)], most)

    def contents(wanted: Sequence[PurePath]) -> Iterator[bytes]:
        from cifarlab.data.image import MAX_BYTES

        with zipfile.ZipFile(path) as archive:
            for member in wanted:
                yield _content(archive, by_name[name_below(path, member)], MAX_BYTES + 1)

    special = len(files) - len(plain)
    notes = (f"{shown}: left out {special:,} links and special files",) if special else ()
    return Place(
        path=path,
        what="a zip archive of images",
        name=path.stem,
        listing=Listing(root=listing.root, left_out=(*listing.left_out, *notes)),
        read=read,
        contents=contents,
    )


def _is_special(info: zipfile.ZipInfo) -> bool:
    mode = stat.S_IFMT(info.external_attr >> 16)
    return info.create_system == 3 and mode not in (0, stat.S_IFREG)


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the first bytes of a member without a suffix, which only they can tell."""
    return b"" if PurePath(info.filename).suffix else _content(archive, info, HEAD)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """Return the first bytes of a member; nothing if it is damaged, as decoding then says."""
    try:
        with archive.open(info) as file:
            return file.read(most)
    except _DAMAGE:
        return b""
