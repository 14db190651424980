"""A name or a path goes in, a ``Dataset`` comes out.

>>> data = load("shapes10")
>>> data.name, len(data.class_names)
('shapes10', 10)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cifarlab.data import cache, cifar, cifar_files, cifar_formats, parquet, shapes, sources
from cifarlab.data.dataset import Dataset, Split, check_split, stratified_split
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

VARIABLE = "CIFARLAB_DATA"
# A source without test images gives this share of each class.
TEST_FRACTION = 0.1


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load, whatever is loaded; see ``load``."""

    validation_fraction: float = 0.1
    split_seed: int = 0
    image_size: int = 32
    resize_mode: str = "squash"
    skip_bad: bool = False
    offline: bool = False
    progress: Callable[[str], None] | None = None


def load_dataset(
    spec: str | os.PathLike[str] | None = "cifar10",
    *,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    image_size: int = 32,
    resize_mode: str = "squash",
    skip_bad: bool = False,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a dataset by name or from a path.

    A path may be a folder of images (a subfolder a class), parquet files in the Hugging
    Face schema, or Toronto's CIFAR archives, packed or unpacked. A string that is a name is
    taken as the name; write ``./cifar10`` for a folder of that name.

    Args:
        spec: ``"cifar10"``, ``"cifar100"``, ``"shapes10"``, or a path.
        validation_fraction: share of each class of the training images to choose with.
        split_seed: the same seed gives the same validation images.
        image_size: height and width that images from a path are brought to.
        resize_mode: ``"squash"``, ``"crop"`` or ``"pad"``.
        skip_bad: leave out images that cannot be decoded instead of raising.
        offline: never use the network.
        progress: called with one line now and then.

    Raises:
        UsageError: ``spec`` is neither a name nor an existing path.
        InputError: the content is damaged, or not what it claims to be.
        UnsafeError: a file could run code or fill the memory.
        NetworkError: nothing could be downloaded, or what came is not the dataset.
        ResourceError: the disk is full.
    """
    wish = LoadOptions(
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        image_size=image_size,
        resize_mode=resize_mode,
        skip_bad=skip_bad,
        offline=offline,
        progress=progress,
    )
    return load_and_list_bad("cifar10" if spec is None else spec, wish)[0]


def load_and_list_bad(
    spec: str | os.PathLike[str], wish: LoadOptions
) -> tuple[Dataset, tuple[str, ...] | None]:
    """Do what ``load`` does, and return a line for each bad image that was left out too.

    For a folder of images that list is ``None``: nobody has kept one.
    """
    if isinstance(spec, str) and spec in NAMES:
        _need_own_size(wish, spec)
        return _divide(NAMES[spec](wish), wish)
    path = _existing(spec)
    reader = _recognise(path, wish)
    if reader is None:
        return _load_images(path, wish), None
    return _divide(_load_local(path, reader, wish), wish)


def _need_own_size(wish: LoadOptions, what: str) -> None:
    if wish.image_size != cifar_formats.SIDE:
        raise UsageError(
            f"image size {wish.image_size}: the images of {printable(what)} are 32x32; "
            "leave the size at 32, or give a folder of images"
        )


def _existing(spec: str | os.PathLike[str]) -> Path:
    path = Path(spec).expanduser()
    try:
        # An empty string would mean the current directory, which nobody intends.
        if os.fspath(spec) and path.exists():
            return path
        reason = "no such name or path"
    except OSError as error:
        reason = error.strerror or "cannot be looked at"
    raise UsageError(
        f"dataset {os.fspath(spec)!r}: {reason}; give {', '.join(NAMES)}, "
        "or the path of a folder of images, a parquet file or a CIFAR archive"
    )


def _divide(decoded: cache.Decoded, wish: LoadOptions) -> tuple[Dataset, tuple[str, ...]]:
    if decoded.skipped:
        cache.say(
            wish.progress,
            f"warning: {len(decoded.skipped)} bad images left out, "
            f"the first is {decoded.skipped[0]}",
        )
    train, test, shown = decoded.train, decoded.test, printable(decoded.source)
    check_split(train, decoded.class_names, f"{shown} (train)")
    if not len(test):
        cache.say(
            wish.progress, f"{shown}: no test images; a tenth of each class is held out for that"
        )
        train, test = _hold_out(train, TEST_FRACTION, wish.split_seed)
    check_split(test, decoded.class_names, f"{shown} (test)")
    train, validation = _hold_out(train, wish.validation_fraction, wish.split_seed)
    check_split(validation, decoded.class_names, f"{shown} (validation)")
    data = Dataset(
        name=decoded.name,
        source=decoded.source,
        class_names=decoded.class_names,
        train=train,
        validation=validation,
        test=test,
    )
    return data, decoded.skipped


def _hold_out(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    kept, held = stratified_split(split.labels, fraction, seed)
    return split.subset(kept), split.subset(held)


# --- local sources


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A recognised local source: the files that it consists of, and how to decode them."""

    files: list[Path]
    read: Callable[[], cache.Decoded]


def _recognise(path: Path, wish: LoadOptions) -> Reader | None:
    """Return how to read ``path``, or ``None`` for a folder of images."""
    if found := parquet.find(path):
        files = [*found.train, *found.test]
        return Reader(files=files, read=partial(_read_parquet, path, found, wish))
    archives = [path] if path.is_file() else sorted(path.glob("cifar-10*-*.tar.gz"))
    for kind, layout, folder in cifar_files.find(path, cifar.KINDS):
        _need_own_size(wish, str(path))
        present = [folder / name for name in layout.train + layout.test if (folder / name).exists()]
        return Reader(files=present, read=partial(_read_toronto, kind, layout, folder))
    for archive in archives:
        if archive.name.endswith((".tar.gz", ".tgz")):
            _need_own_size(wish, str(path))
            return Reader(files=[archive], read=partial(_read_archive, archive))
    if path.is_dir():
        return None
    raise InputError(
        f"{printable(path)}: not a dataset; give a folder of images, a .parquet file, "
        "or one of Toronto's CIFAR .tar.gz archives"
    )


def _load_local(path: Path, reader: Reader, wish: LoadOptions) -> cache.Decoded:
    options = (wish.image_size, wish.resize_mode, wish.skip_bad)
    key = cache.key_for(path, reader.files, options)
    return cache.get(key, reader.read, progress=wish.progress)


def _read_archive(path: Path) -> cache.Decoded:
    kind, train, test = cifar_files.read_archive(path, cifar.KINDS)
    return _verified(kind, train, test, path)


def _read_toronto(
    kind: cifar.CifarVariant, layout: cifar_formats.Layout, folder: Path
) -> cache.Decoded:
    train, test = cifar_files.read_folder(kind, layout, folder)
    return _verified(kind, train, test, folder)


def _verified(kind: cifar.CifarVariant, train: Split, test: Split, path: Path) -> cache.Decoded:
    cifar.verify(kind, train, test, printable(path))
    return cache.Decoded(
        name=kind.name,
        source=str(path.absolute()),
        class_names=kind.class_names,
        train=train,
        test=test,
    )


def _read_parquet(path: Path, files: parquet.Files, wish: LoadOptions) -> cache.Decoded:
    content = parquet.read(
        files,
        image_size=wish.image_size,
        resize_mode=wish.resize_mode,
        skip_bad=wish.skip_bad,
        progress=wish.progress,
    )
    train, test = content.train, content.test
    name, class_names = _own_name(path), content.class_names
    if test is None:
        test = train.subset(np.arange(0))
    else:
        check_split(test, class_names, f"{printable(path)} (test)")
        if kind := cifar.identify(train, test):
            name, class_names = kind.name, kind.class_names
    return cache.Decoded(
        name=name,
        source=str(path.absolute()),
        class_names=class_names,
        train=train,
        test=test,
        skipped=content.skipped,
    )


def _own_name(path: Path) -> str:
    """Name a dataset after its path, but never like one whose content is known."""
    name = path.resolve().name.removesuffix(".parquet")
    return f"local-{name}" if name in NAMES else name


def _load_images(path: Path, wish: LoadOptions) -> Dataset:
    from cifarlab.data import folder

    data = folder.load_folder(
        path,
        image_size=wish.image_size,
        resize_mode=wish.resize_mode,
        skip_bad=wish.skip_bad,
        validation_fraction=wish.validation_fraction,
        split_seed=wish.split_seed,
        progress=wish.progress,
    )
    return replace(data, name=_own_name(path)) if data.name in NAMES else data


# --- named sources


def _cifar10(wish: LoadOptions) -> cache.Decoded:
    if given := os.environ.get(VARIABLE):
        return _from_variable(cifar.CIFAR10, given, wish)
    remedy = f"set {VARIABLE} to a copy on this machine, or CIFARLAB_CACHE to a filled cache"
    return _from_sources(cifar.CIFAR10, wish, remedy)


def _from_variable(kind: cifar.CifarVariant, given: str, wish: LoadOptions) -> cache.Decoded:
    path = Path(given).expanduser()
    if not path.exists():
        raise UsageError(
            f"{VARIABLE}={printable(given)}: no such path; set it to a copy of {kind.name}"
        )
    reader = _recognise(path, wish)
    if reader is None:
        raise InputError(
            f"{VARIABLE}={printable(given)}: holds no {kind.name}; set it to its parquet files "
            "or one of Toronto's archives, packed or not"
        )
    decoded = _load_local(path, reader, wish)
    if decoded.name != kind.name:
        cifar.verify(kind, decoded.train, decoded.test, f"{VARIABLE}={printable(given)}")
    return decoded


def _from_sources(kind: cifar.CifarVariant, wish: LoadOptions, remedy: str) -> cache.Decoded:
    return sources.obtain(kind, offline=wish.offline, progress=wish.progress, remedy=remedy)


def _shapes10(wish: LoadOptions) -> cache.Decoded:
    return cache.get(shapes.key(), shapes.draw, progress=wish.progress)


NAMES: dict[str, Callable[[LoadOptions], cache.Decoded]] = {
    "cifar10": _cifar10,
    "cifar100": lambda wish: _from_sources(cifar.CIFAR100, wish, sources.REMEDY),
    "shapes10": _shapes10,
}
