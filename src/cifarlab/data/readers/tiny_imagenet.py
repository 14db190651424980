"""Tiny ImageNet as Stanford publishes it, a folder or its zip archive, which is not unpacked.

Layout: ``train/<id>/images/*.JPEG``, ``val/images`` with ``val/val_annotations.txt`` (a row for
each image: file, id, and a box around the object), ``words.txt`` (id and names of each class),
``test/images`` without labels.
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.split_names import TRAIN, VALIDATION
from cifarlab.data.samples import Found, Rejected, Samples, Stored
from cifarlab.errors import InputError
from cifarlab.files import printable

ANNOTATIONS, WORDS = "val/val_annotations.txt", "words.txt"
SUFFIXES = (".jpeg", ".jpg", ".png")
MAX_TEXT_BYTES = 16_000_000
MAX_IMAGE_BYTES = 16_000_000


@dataclass(frozen=True, kw_only=True)
class _Files:
    """The files of a folder or an archive by their paths below the top, with ``/``."""

    names: frozenset[str]
    files: tuple[Path, ...]
    text: Callable[[str], str]
    stored: Callable[[Sequence[str]], Iterator[Stored]]


def find(path: Path, options: LoadOptions) -> Found | Rejected:  # noqa: ARG001
    """Understand Tiny ImageNet at ``path``: a folder, the folder around it, or a zip archive.

    Raises:
        InputError: it is damaged, or an image has a label that is none of the classes.
    """
    files = _from_archive(path) if path.is_file() else _from_folder(path)
    if files is None:
        return Rejected(reason="")
    ids = sorted({name.split("/")[1] for name in files.names if _is_training_image(name)})
    if len(ids) < 2:
        return Rejected(reason="Tiny ImageNet without training images; copy it again")
    train = sorted(name for name in files.names if _is_training_image(name))
    validation = _annotated(files, ids, printable(path))
    positions = {name: index for index, name in enumerate(ids)}
    unlabelled = sum(name.startswith("test/images/") for name in files.names)
    note = f"left out {unlabelled:,} test images, which have no labels"
    return Found(
        what="Tiny ImageNet",
        name="tiny_imagenet",
        source=str(path.absolute()),
        class_names=_class_names(files, ids),
        splits={
            TRAIN: _samples(files, train, [positions[name.split("/")[1]] for name in train]),
            VALIDATION: _samples(
                files, list(validation), [positions[found] for found in validation.values()]
            ),
        },
        files=files.files,
        notes=(note,) if unlabelled else (),
    )


def _from_archive(path: Path) -> _Files | None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m.filename for m in archive.infolist() if not m.is_dir()]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    top = next((n.removesuffix(ANNOTATIONS) for n in members if n.endswith(ANNOTATIONS)), None)
    if top is None:
        return None
    names = frozenset(name.removeprefix(top) for name in members if name.startswith(top))

    def read(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
        try:
            with archive.open(top + name) as member:
                return member.read(most)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
            raise _damaged(path, name, error) from error
        except zipfile.BadZipFile as error:
            raise _damaged(path, name, error) from error

    def text(name: str) -> str:
        with zipfile.ZipFile(path) as archive:
            return read(archive, name, MAX_TEXT_BYTES).decode("utf-8", "replace")

    def stored(wanted: Sequence[str]) -> Iterator[Stored]:
        with zipfile.ZipFile(path) as archive:
            for name in wanted:
                yield read(archive, name, MAX_IMAGE_BYTES)

    return _Files(names=names, files=(path,), text=text, stored=stored) if WORDS in names else None


def _from_folder(path: Path) -> _Files | None:
    if not path.is_dir():
        return None
    tops = [top for top in (path, *sorted(path.iterdir())) if (top / ANNOTATIONS).is_file()]
    if not tops or not (tops[0] / WORDS).is_file():
        return None
    top = tops[0]
    paths = [file for file in sorted(top.rglob("*")) if file.is_file()]

    def text(name: str) -> str:
        try:
            with (top / name).open("rb") as file:
                return file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise _damaged(top, name, error) from error

    def stored(wanted: Sequence[str]) -> Iterator[Stored]:
        return iter([top / name for name in wanted])

    names = frozenset(file.relative_to(top).as_posix() for file in paths)
    return _Files(names=names, files=tuple(paths), text=text, stored=stored)


def _is_training_image(name: str) -> bool:
    parts = PurePosixPath(name)
    return (
        len(parts.parts) == 4
        and parts.parts[0] == "train"
        and parts.parts[2] == "images"
        and parts.suffix.casefold() in SUFFIXES
    )


def _annotated(files: _Files, ids: Sequence[str], shown: str) -> Mapping[str, str]:
    """Return the class id of each validation image."""
    labels: dict[str, str] = {}
    for number, line in enumerate(files.text(ANNOTATIONS).splitlines(), start=1):
        file, _, rest = line.partition("\t")
        name, found = f"val/images/{file}", rest.partition("\t")[0].strip()
        if not line.strip():
            continue
        if found not in ids or name not in files.names:
            raise InputError(
                f"{shown}: line {number} of {ANNOTATIONS} names {printable(file)} of class "
                f"{printable(found)}; no such file or class: copy it again"
            )
        labels[name] = found
    if not labels:
        raise InputError(f"{shown}: {ANNOTATIONS} names no images; copy it again")
    return labels


def _class_names(files: _Files, ids: Sequence[str]) -> tuple[str, ...]:
    """Return the first name of each class, with its id where two classes have the same."""
    words: dict[str, str] = {}
    for line in files.text(WORDS).splitlines():
        found, _, names = line.partition("\t")
        words[found] = names.partition(",")[0].strip()
    first = [words.get(found) or found for found in ids]
    counts = Counter(name.casefold() for name in first)
    return tuple(
        name if counts[name.casefold()] == 1 else f"{name} ({found})"
        for name, found in zip(first, ids, strict=True)
    )


def _samples(files: _Files, names: Sequence[str], labels: Sequence[int]) -> Samples:
    return Samples(
        labels=np.array(labels, dtype=np.int64),
        names=tuple(names),
        contents=lambda: files.stored(names),
    )


def _damaged(path: Path, name: str, error: Exception) -> InputError:
    return InputError(
        f"{printable(path)}: {printable(name)} cannot be read ({type(error).__name__}); "
        "copy it again"
    )
