"""Load a dataset by name or from a path."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cifarlab.data import cache
from cifarlab.data.bad_images import in_one_line
from cifarlab.data.dataset import Dataset
from cifarlab.data.decoding import FULL_BITS, decode
from cifarlab.data.dividing import divide
from cifarlab.data.load_options import AUTO, LoadOptions
from cifarlab.data.multi_label.dataset import refuse_multi_label
from cifarlab.data.named import known_content
from cifarlab.data.named.dataset import labelled
from cifarlab.data.named.fetching import NAMED, fetch_named
from cifarlab.data.named.hub import PREFIX as HUB
from cifarlab.data.named.known_content import KNOWN_CONTENT
from cifarlab.data.readers import (
    archives,
    folder,
    idx,
    npz,
    parquet,
    pixel_tables,
    svhn,
    tiny_imagenet,
    unsupported,
)
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import CifarlabError, InputError, UsageError, warn_user
from cifarlab.files import printable

Reader = Callable[[Path, LoadOptions], Found | Rejected]
# A layout of its own, which other readers would take for class folders.
FIRST_READERS: tuple[Reader, ...] = (tiny_imagenet.find,)
READERS: tuple[Reader, ...] = (
    parquet.find,
    pixel_tables.find,
    folder.find,
    archives.find,
    npz.find,
    idx.find,
    svhn.find,
    unsupported.find,
)
NAMES: tuple[str, ...] = (*KNOWN_CONTENT, *NAMED)
KINDS = (
    "a folder of images, a table of labels, a .parquet, .npz, .zip or .tar file, IDX files, or one "
    "of Toronto's CIFAR .tar.gz archives"
)


def load_dataset(
    spec: str | os.PathLike[str] | None = "cifar10",
    *,
    image_size: int | tuple[int, int] | str = AUTO,
    channels: str = AUTO,
    resize_mode: str = "squash",
    bits: int | None = None,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    group_by: str | None = None,
    skip_bad: bool = False,
    class_folder: str = AUTO,
    follow_links: bool = False,
    labels: str | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    label_pattern: str | None = None,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a dataset by name or from a path.

    A path may be a folder of images (one subfolder per class), files of tables or arrays, an
    archive, or Toronto's CIFAR archives; docs/own_images.md lists them. A string that is a name is
    taken as the name; write ``./cifar10`` for a folder of that name.

    Args:
        spec: ``"cifar10"``, ``"cifar100"``, ``"shapes10"``, ``"mnist"`` or another name in
            docs/own_images.md, ``"hf:OWNER/NAME"``, or a path.
        image_size, channels, resize_mode, bits: what every image is brought to.
        validation_fraction, split_seed, group_by: how images are divided into splits.
        skip_bad: leave out images that cannot be decoded instead of raising.
        class_folder, follow_links: how folders are read.
        labels, image_column, label_column, label_pattern: where the classes are told.
        offline: never use the network.
        progress: called with one line of text now and then.
            ``LoadOptions`` describes each of them.

    Returns:
        Three splits of uint8 images ``[N, H, W, C]``, 0 to 255, with int64 labels ``[N]``.

    Raises:
        UsageError: ``spec`` is neither a name nor an existing path, or an option is not possible.
        InputError: the content is damaged, or not what it claims to be.
        UnsafeError: a file could run code or fill the memory.
        NetworkError: nothing could be downloaded, or the downloaded files are not the dataset.
        ResourceError: the disk is full.

    Example:
        >>> data = load_dataset("shapes10")  # doctest: +SKIP
        >>> data.name, data.train.images.shape  # doctest: +SKIP
        ('shapes10', (4500, 32, 32, 3))
    """
    options = LoadOptions(
        image_size=image_size,
        channels=channels,
        resize_mode=resize_mode,
        bits=bits,
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        group_by=group_by,
        skip_bad=skip_bad,
        class_folder=class_folder,
        follow_links=follow_links,
        labels=labels,
        image_column=image_column,
        label_column=label_column,
        label_pattern=label_pattern,
        offline=offline,
        progress=progress,
    )
    return load("cifar10" if spec is None else spec, options)


def load(spec: str | os.PathLike[str], options: LoadOptions) -> Dataset:
    """Load like ``load_dataset``, by options that are one value."""
    data = load_without_bad(spec, options)
    warn_of_skipped(data.source, data.skipped)
    return data


def load_without_bad(spec: str | os.PathLike[str], options: LoadOptions) -> Dataset:
    """Load like ``load``; nothing is said of the images that are left out."""
    refuse_multi_label(spec)
    with arguments_in_notes():
        decoded, guessed = read(spec, options)
        return divide(decoded, replace(options, **guessed))


@contextmanager
def arguments_in_notes() -> Iterator[None]:
    """Add to an error what the options that it names are called in Python.

    Python shows such notes below the error; the command line does not.
    """
    try:
        yield
    except CifarlabError as error:
        names = [field.name for field in dataclasses.fields(LoadOptions)]
        named = [n for n in names if re.search(f"--{n.replace('_', '-')}\\b", str(error))]
        if named:
            arguments = ", ".join(f"{name}=" for name in named)
            error.add_note(f"In Python: {arguments} of load_dataset or of LoadOptions")
        raise


def read(
    spec: str | os.PathLike[str], options: LoadOptions
) -> tuple[cache.Decoded, Mapping[str, Any]]:
    """Return all images, divided as the source divides them, and the options that were guessed."""
    if isinstance(spec, str) and spec in KNOWN_CONTENT:
        return known_content.in_format(KNOWN_CONTENT[spec](options), options, spec), {}
    if isinstance(spec, str) and (spec in NAMED or spec.startswith(HUB)):
        return decoded_with_notes(_named(spec, options), options)
    path = existing(spec)
    archive = known_content.read_archive(path, options)
    if archive is not None:
        return known_content.in_format(archive, options, str(path)), {}
    return decoded_with_notes(find(path, options), options)


def _named(spec: str, options: LoadOptions) -> Found:
    found = find(fetch_named(spec, options), options)
    if spec in NAMED:
        return labelled(found, NAMED[spec])
    return replace(found, name=spec)


def decoded_with_notes(
    found: Found, options: LoadOptions
) -> tuple[cache.Decoded, Mapping[str, Any]]:
    """Return the images that a reader found, and the options that were guessed; warn of its notes.

    Raises:
        InputError: an image is bad.
    """
    for note in found.notes:
        warn_user(f"{printable(found.source)}: {note}")
    decoded = decode(found, replace(options, **found.options), known_content.named_by_content)
    if options.bits is None and decoded.bits < FULL_BITS:
        _warn_of_bits(decoded)
    return decoded, found.options


def find(path: Path, options: LoadOptions) -> Found:
    """Return what the one reader that can read ``path`` found.

    Raises:
        InputError: none can, or several could.
    """
    for reader in FIRST_READERS:
        answer = reader(path, options)
        if isinstance(answer, Found):
            return answer
    answers = [reader(path, options) for reader in READERS]
    found = [answer for answer in answers if isinstance(answer, Found)]
    if len(found) > 1:
        ways = " and ".join(f"{one.what} ({_some(one.class_names)})" for one in found)
        raise InputError(
            f"{printable(str(path))}: holds {ways}; name the one that is meant by its own path, "
            "or, for the folders, say --class-folder first"
        )
    if not found:
        reasons = [answer.reason for answer in answers if isinstance(answer, Rejected)]
        said = "; ".join(dict.fromkeys(filter(None, reasons)))
        shown = printable(str(path))
        # A reason that names a file in it says the path already.
        where = "" if said.startswith((f"{shown}/", f"{shown}:")) else f"{shown}: "
        raise InputError(f"{where}{said or 'not a dataset; give ' + KINDS}")
    (one,) = found
    return replace(one, name=f"local-{one.name}") if one.name in NAMES else one


def _some(names: Iterable[str], most: int = 3) -> str:
    names = list(names)
    shown = ", ".join(printable(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} …"


def existing(spec: str | os.PathLike[str]) -> Path:
    """Return the path that ``spec`` is.

    Raises:
        UsageError: there is none.
    """
    advice = unsupported.url(os.fspath(spec))
    if advice is not None:
        raise UsageError(f"dataset {os.fspath(spec)!r}: {advice}")
    path = Path(spec).expanduser()
    try:
        # An empty string would mean the current directory, which nobody intends.
        if os.fspath(spec) and path.exists():
            return path
        reason = "no such name or path"
    except OSError as error:
        reason = error.strerror or "cannot be opened"
    raise UsageError(
        f"dataset {os.fspath(spec)!r}: {reason}; give {', '.join(NAMES)}, or the path of {KINDS}"
    )


def _warn_of_bits(decoded: cache.Decoded) -> None:
    white = 2**decoded.bits - 1
    warn_user(
        f"{printable(decoded.source)}: no value in its files of 16 or 32 bits is above {white:,}, "
        f"which is taken for white; say it with bits {decoded.bits}, or bits 16 if white is 65,535"
    )


def warn_of_skipped(source: str, skipped: Sequence[str]) -> None:
    """Say how many images were left out because they are bad, and why; nothing if none were."""
    if not skipped:
        return
    count = len(skipped)
    images = "1 bad image" if count == 1 else f"{count:,} bad images"
    warn_user(f"{printable(source)}: {images} left out: {in_one_line(skipped)}")
