"""Read Toronto's files of the CIFAR datasets, from an archive or an unpacked folder."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cifarlab.data.named.cifar import CifarVariant
from cifarlab.data.named.cifar_formats import Layout
from cifarlab.data.split import Split
from cifarlab.errors import InputError, UnsafeError
from cifarlab.files import printable

# The real archives unpack to about 190 MB.
MAX_UNPACKED_BYTES = 256_000_000


def find(
    path: Path, variants: tuple[CifarVariant, ...]
) -> Iterator[tuple[CifarVariant, Layout, Path]]:
    """Yield variant, layout and folder of the unpacked files at ``path`` or below."""
    for variant in variants:
        for layout in variant.layouts:
            for folder in (path / layout.folder, path):
                # One file is enough here; reading then names the missing ones.
                named = folder.name == layout.folder and folder.is_dir()
                if named or all((folder / n).is_file() for n in (layout.train[0], layout.test[0])):
                    yield variant, layout, folder


def is_archive(path: Path) -> bool:
    """Whether ``path`` is one of Toronto's archives, by its name or by what it begins with."""
    if not path.name.endswith((".tar.gz", ".tgz")):
        return False
    if path.name.startswith("cifar-10"):
        return True
    try:
        with tarfile.open(path) as archive:
            first = archive.next()
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        return False
    return first is not None and first.name.startswith("cifar-10")


def read_folder(variant: CifarVariant, layout: Layout, folder: Path) -> tuple[Split, Split]:
    """Read the train and test images of ``variant`` from a directory in ``layout``.

    Raises:
        InputError: a file is missing, too long, truncated or holds other values.
        UnsafeError: a pickle asks for anything but data.
    """
    members = {}
    for name in layout.train + layout.test:
        file = folder / name
        try:
            if file.stat().st_size > MAX_UNPACKED_BYTES:
                raise InputError(
                    f"{printable(file)}: longer than {MAX_UNPACKED_BYTES} bytes; not {variant.name}"
                )
            members[name] = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"{printable(file)}: cannot be read ({error.strerror}); {variant.name} needs it: "
                "copy it again"
            ) from error
    return _decode(layout, members, printable(folder))


def read_archive(
    path: Path, variants: tuple[CifarVariant, ...]
) -> tuple[CifarVariant, Split, Split]:
    """Read one of Toronto's ``.tar.gz`` archives in memory; nothing is extracted to disk.

    Members are looked up by exact name; other members are ignored.

    Raises:
        InputError: it is damaged, or holds none of ``variants``.
        UnsafeError: it unpacks to far too much, or a wanted member is a link or comes twice.
    """
    shown = printable(path)
    members = _wanted_members(path, variants, shown)
    for variant in variants:
        for layout in variant.layouts:
            batches = {
                name: members[f"{layout.folder}/{name}"]
                for name in layout.train + layout.test
                if f"{layout.folder}/{name}" in members
            }
            if batches:
                train, test = _decode(layout, batches, shown)
                return variant, train, test
    names = ", ".join(layout.folder for variant in variants for layout in variant.layouts)
    raise InputError(f"{shown}: the archive holds none of {names}; give one of Toronto's archives")


def _wanted_members(path: Path, variants: tuple[CifarVariant, ...], shown: str) -> dict[str, bytes]:
    wanted = {
        f"{layout.folder}/{name}"
        for variant in variants
        for layout in variant.layouts
        for name in layout.train + layout.test
    }
    members: dict[str, bytes] = {}
    try:
        with _Capped(path) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name not in wanted:
                    continue
                content = archive.extractfile(member) if member.isreg() else None
                if content is None or name in members:
                    raise UnsafeError(f"{shown}: refused: {name} is a link or comes twice")
                members[name] = content.read()
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise InputError(
            f"{shown}: an incomplete or damaged .tar.gz archive ({error}); copy it again"
        ) from error
    return members


class _Capped(gzip.GzipFile):
    """Raise ``UnsafeError`` when more is unpacked than any real archive holds."""

    left = MAX_UNPACKED_BYTES

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise UnsafeError(
                f"{printable(self.name)}: refused: it unpacks to more than "
                f"{MAX_UNPACKED_BYTES} bytes"
            )
        return chunk


def _decode(layout: Layout, members: dict[str, bytes], where: str) -> tuple[Split, Split]:
    missing = [name for name in layout.train + layout.test if name not in members]
    if missing:
        raise InputError(f"{where}: {', '.join(missing)} missing; copy it again")
    train, test = (
        [layout.decode(members[name], f"{where}: {name}") for name in names]
        for names in (layout.train, layout.test)
    )
    return _join(train), _join(test)


def _join(parts: list[Split]) -> Split:
    return Split(
        images=np.concatenate([part.images for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        names=tuple(name for part in parts for name in part.names),
    )
