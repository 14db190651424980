"""Load a dataset by name or from a path."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data import cache, cifar, cifar_files, cifar_formats, shapes, sources
from cifarlab.data.dataset import Dataset, Split, check_split, stratified_split
from cifarlab.data.readers import parquet
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

VARIABLE = "CIFARLAB_DATA"
# A source without test images gives this share of each class.
TEST_FRACTION = 0.1


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How to load a dataset; see ``load_dataset`` for the fields."""

    validation_fraction: float = 0.1
    split_seed: int = 0
    image_size: int = 32
    resize_mode: str = "squash"
    skip_bad: bool = False
    class_folder: str = "auto"
    follow_links: bool = False
    offline: bool = False
    progress: Callable[[str], None] | None = None

    @property
    def recorded(self) -> dict[str, Any]:
        """Those that decide what the images are and which split each is in."""
        names = (
            "validation_fraction",
            "split_seed",
            "image_size",
            "resize_mode",
            "class_folder",
            "follow_links",
        )
        return {name: getattr(self, name) for name in names}


def load_dataset(
    spec: str | os.PathLike[str] | None = "cifar10",
    *,
    validation_fraction: float = 0.1,
    split_seed: int = 0,
    image_size: int = 32,
    resize_mode: str = "squash",
    skip_bad: bool = False,
    class_folder: str = "auto",
    follow_links: bool = False,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a dataset by name or from a path.

    A path may be a folder of images (one subfolder per class), parquet files in the Hugging
    Face schema, or Toronto's CIFAR archives, packed or unpacked. A string that is a name is
    taken as the name; write ``./cifar10`` for a folder of that name.

    Args:
        spec: ``"cifar10"``, ``"cifar100"``, ``"shapes10"``, or a path.
        validation_fraction: share of each class of the training images that becomes the
            validation split, above 0 and below 1.
        split_seed: the same seed gives the same validation images.
        image_size: height and width that images from a path are resized to.
        resize_mode: ``"squash"``, ``"crop"`` or ``"pad"``.
        skip_bad: leave out images that cannot be decoded instead of raising.
        class_folder: which folder names the class where folders of images are nested:
            ``"first"``, ``"last"``, or ``"auto"`` for the only possible one.
        follow_links: read what links out of a folder of images lead to.
        offline: never use the network.
        progress: called with one line of text now and then.

    Returns:
        Three splits of uint8 images ``[N, image_size, image_size, 3]``, 0 to 255, with int64
        labels ``[N]``.

    Raises:
        UsageError: ``spec`` is neither a name nor an existing path.
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
        validation_fraction=validation_fraction,
        split_seed=split_seed,
        image_size=image_size,
        resize_mode=resize_mode,
        skip_bad=skip_bad,
        class_folder=class_folder,
        follow_links=follow_links,
        offline=offline,
        progress=progress,
    )
    return load_and_list_bad("cifar10" if spec is None else spec, options)[0]


def load_and_list_bad(
    spec: str | os.PathLike[str], options: LoadOptions
) -> tuple[Dataset, tuple[str, ...] | None]:
    """Load like ``load_dataset``; also return one line for each bad image that was left out.

    For a folder of images that list is ``None``: the folder loader does not keep one.
    """
    data, skipped = _load(spec, options)
    return replace(data, loading=options.recorded), skipped


def _load(
    spec: str | os.PathLike[str], options: LoadOptions
) -> tuple[Dataset, tuple[str, ...] | None]:
    if isinstance(spec, str) and spec in NAMES:
        _require_cifar_size(options, spec)
        return _divide(NAMES[spec](options), options)
    path = _existing(spec)
    reader = _recognise(path, options)
    if reader is None:
        return _load_images(path, options), None
    return _divide(_load_local(path, reader, options), options)


def _require_cifar_size(options: LoadOptions, what: str) -> None:
    if options.image_size != cifar_formats.SIDE:
        raise UsageError(
            f"image size {options.image_size}: the images of {printable(what)} are 32x32; "
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
        reason = error.strerror or "cannot be opened"
    raise UsageError(
        f"dataset {os.fspath(spec)!r}: {reason}; give {', '.join(NAMES)}, "
        "or the path of a folder of images, a parquet file or a CIFAR archive"
    )


def _divide(decoded: cache.Decoded, options: LoadOptions) -> tuple[Dataset, tuple[str, ...]]:
    if decoded.skipped:
        cache.say(
            options.progress,
            f"warning: {len(decoded.skipped)} bad images left out, "
            f"the first is {decoded.skipped[0]}",
        )
    train, test, shown = decoded.train, decoded.test, printable(decoded.source)
    check_split(train, decoded.class_names, f"{shown} (train)")
    if not len(test):
        cache.say(
            options.progress,
            f"{shown}: no test images; a tenth of each class becomes the test split",
        )
        train, test = _hold_out(train, TEST_FRACTION, options.split_seed)
    check_split(test, decoded.class_names, f"{shown} (test)")
    train, validation = _hold_out(train, options.validation_fraction, options.split_seed)
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
    """A recognised local source: its files, and a function that decodes them."""

    files: list[Path]
    read: Callable[[], cache.Decoded]


def _recognise(path: Path, options: LoadOptions) -> Reader | None:
    """Return how to read ``path``, or ``None`` for a folder of images."""
    if files := parquet.find(path):
        read = partial(_read_parquet, path, files, options)
        return Reader(files=[*files.train, *files.test], read=read)
    archives = [path] if path.is_file() else sorted(path.glob("cifar-10*-*.tar.gz"))
    for variant, layout, folder in cifar_files.find(path, cifar.VARIANTS):
        _require_cifar_size(options, str(path))
        present = [folder / name for name in layout.train + layout.test if (folder / name).exists()]
        return Reader(files=present, read=partial(_read_toronto, variant, layout, folder))
    for archive in archives:
        if archive.name.endswith((".tar.gz", ".tgz")):
            _require_cifar_size(options, str(path))
            return Reader(files=[archive], read=partial(_read_archive, archive))
    if path.is_dir():
        return None
    raise InputError(
        f"{printable(path)}: not a dataset; give a folder of images, a .parquet file, "
        "or one of Toronto's CIFAR .tar.gz archives"
    )


def _load_local(path: Path, reader: Reader, options: LoadOptions) -> cache.Decoded:
    decoding = (options.image_size, options.resize_mode, options.skip_bad)
    key = cache.key_for(path, reader.files, decoding)
    return cache.get(key, reader.read, progress=options.progress)


def _read_archive(path: Path) -> cache.Decoded:
    variant, train, test = cifar_files.read_archive(path, cifar.VARIANTS)
    return _verified(variant, train, test, path)


def _read_toronto(
    variant: cifar.CifarVariant, layout: cifar_formats.Layout, folder: Path
) -> cache.Decoded:
    train, test = cifar_files.read_folder(variant, layout, folder)
    return _verified(variant, train, test, folder)


def _verified(variant: cifar.CifarVariant, train: Split, test: Split, path: Path) -> cache.Decoded:
    cifar.verify(variant, train, test, printable(path))
    return cache.Decoded(
        name=variant.name,
        source=str(path.absolute()),
        class_names=variant.class_names,
        train=train,
        test=test,
    )


def _read_parquet(path: Path, files: parquet.Files, options: LoadOptions) -> cache.Decoded:
    content = parquet.read(
        files,
        image_size=options.image_size,
        resize_mode=options.resize_mode,
        skip_bad=options.skip_bad,
        progress=options.progress,
    )
    train, test = content.train, content.test
    name, class_names = _own_name(path), content.class_names
    if test is None:
        test = train.subset(np.arange(0))
    else:
        check_split(test, class_names, f"{printable(path)} (test)")
        if variant := cifar.identify(train, test):
            name, class_names = variant.name, variant.class_names
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


def _load_images(path: Path, options: LoadOptions) -> Dataset:
    from cifarlab.data.readers import folder

    data = folder.load_folder(
        path,
        image_size=options.image_size,
        resize_mode=options.resize_mode,
        skip_bad=options.skip_bad,
        class_folder=options.class_folder,
        follow_links=options.follow_links,
        validation_fraction=options.validation_fraction,
        split_seed=options.split_seed,
        progress=options.progress,
    )
    return replace(data, name=_own_name(path)) if data.name in NAMES else data


# --- named sources


def _cifar10(options: LoadOptions) -> cache.Decoded:
    if path := os.environ.get(VARIABLE):
        return _from_variable(cifar.CIFAR10, path, options)
    remedy = f"set {VARIABLE} to a copy on this machine, or CIFARLAB_CACHE to a filled cache"
    return _from_sources(cifar.CIFAR10, options, remedy)


def _from_variable(variant: cifar.CifarVariant, value: str, options: LoadOptions) -> cache.Decoded:
    path = Path(value).expanduser()
    if not path.exists():
        raise UsageError(
            f"{VARIABLE}={printable(value)}: no such path; set it to a copy of {variant.name}"
        )
    reader = _recognise(path, options)
    if reader is None:
        raise InputError(
            f"{VARIABLE}={printable(value)}: holds no {variant.name}; set it to its parquet files "
            "or one of Toronto's archives, packed or not"
        )
    decoded = _load_local(path, reader, options)
    if decoded.name != variant.name:
        cifar.verify(variant, decoded.train, decoded.test, f"{VARIABLE}={printable(value)}")
    return decoded


def _from_sources(variant: cifar.CifarVariant, options: LoadOptions, remedy: str) -> cache.Decoded:
    return sources.obtain(
        variant, offline=options.offline, progress=options.progress, remedy=remedy
    )


def _shapes10(options: LoadOptions) -> cache.Decoded:
    return cache.get(shapes.key(), shapes.draw, progress=options.progress)


NAMES: dict[str, Callable[[LoadOptions], cache.Decoded]] = {
    "cifar10": _cifar10,
    "cifar100": lambda options: _from_sources(cifar.CIFAR100, options, sources.REMEDY),
    "shapes10": _shapes10,
}
