"""A tar archive, compressed or not, as a ``Place``: read from front to back, once a pass."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

from cifarlab.data.readers.name_tree import Member, check_count, key_of, tree_of
from cifarlab.data.readers.places import Place
from cifarlab.data.readers.tree import Listing, name_below
from cifarlab.data.readers.what_is_read import HEAD
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

SUFFIXES = (
    (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.lzma")
)  # fmt: skip
# Compressed archives that unpack to more than this, and to more than so many times their size,
# are made to fill a machine: images hardly shrink.
MAX_UNPACKED_BYTES, MAX_RATIO = 1024**3, 100
_DAMAGE = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def tar_place(path: Path) -> Place:
    """List a tar archive; of members with the same name the last one counts, as in unpacking.

    Raises:
        InputError: it is damaged.
        UnsafeError: it would unpack to far too much.
    """
    members: dict[str, tuple[int, Member]] = {}
    folders: list[str] = []
    outside: list[Member] = []
    special = 0
    for number, (archive, info) in enumerate(_walk(path)):
        check_count(path, number)
        if info.isdir():
            folders.append(info.name)
        elif not info.isreg():
            special += 1
        else:
            head = b"" if PurePath(info.name).suffix else _content(path, archive, info, HEAD)
            member = Member(name=info.name, head=head)
            key = key_of(info.name)
            if key is None:
                outside.append(member)
            else:
                members[key] = (number, member)
    listing = tree_of(path, [*(member for _, member in members.values()), *outside], folders)

    def position(member: PurePath) -> int:
        return members[name_below(path, member)][0]

    def contents(wanted: Sequence[PurePath]) -> Iterator[bytes]:
        from cifarlab.data.image import MAX_BYTES

        return _contents(path, [position(member) for member in wanted], MAX_BYTES + 1)

    left_out = f"{printable(path)}: left out {special:,} links and special files"
    return Place(
        path=path,
        what="a tar archive of images",
        name=_name(path),
        listing=Listing(
            root=listing.root, left_out=(*listing.left_out, *((left_out,) if special else ()))
        ),
        read=lambda member, most: next(_contents(path, [position(member)], most)),
        contents=contents,
        position=position,
    )


def is_called_tar(path: Path) -> bool:
    """Whether a file has the name of a tar archive."""
    return path.name.lower().endswith(SUFFIXES)


def _name(path: Path) -> str:
    suffixes = [s for s in SUFFIXES if path.name.lower().endswith(s)]
    return path.name[: -len(max(suffixes, key=len))] if suffixes else path.stem


def _contents(path: Path, numbers: Sequence[int], most: int) -> Iterator[bytes]:
    """Yield the first bytes of the members that stand at these places, which must rise."""
    wanted = iter(numbers)
    following = next(wanted, None)
    for number, (archive, info) in enumerate(_walk(path)):
        if following is None:
            return
        if number == following:
            yield _content(path, archive, info, most)
            following = next(wanted, None)


def _content(path: Path, archive: tarfile.TarFile, info: tarfile.TarInfo, most: int) -> bytes:
    with _one_line(path):
        file = archive.extractfile(info)
        return b"" if file is None else file.read(most)


class _Header(tarfile.TarInfo):
    """The head of a member. ``tarfile`` takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"cut off or changed, {error}") from None


def _walk(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield every member; each is to be read before the next one is asked for."""
    packed = path.stat().st_size
    with _one_line(path), tarfile.open(path, "r|*", tarinfo=_Header) as archive:
        for info in archive:
            end = info.offset_data + max(info.size, 0)
            if end > MAX_UNPACKED_BYTES and end > MAX_RATIO * packed:
                raise UnsafeError(
                    f"{printable(path)}: {packed:,} bytes that unpack to more than {end:,}; this "
                    "is no archive of images; unpack it yourself if you trust it"
                )
            yield archive, info


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{printable(path)}: a damaged tar archive ({reason}); copy it again"
        ) from None
