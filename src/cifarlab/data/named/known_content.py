"""Datasets whose content is known: by name, or recognised in files of any name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from cifarlab.data import cache
from cifarlab.data.decoding import decode
from cifarlab.data.load_options import CHANNELS, LoadOptions
from cifarlab.data.named import cifar, cifar_files, shapes, sources
from cifarlab.data.readers import parquet
from cifarlab.data.samples import Found, Rejected, Samples
from cifarlab.data.split import Split
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

VARIABLE = "CIFARLAB_DATA"


def read_archive(path: Path, options: LoadOptions) -> cache.Decoded | None:
    """Return the images of Toronto's files at ``path``, or ``None`` where there are none."""
    build = _toronto(path)
    return None if build is None else _cached(path, build, options)


def _toronto(path: Path) -> Callable[[], cache.Decoded] | None:
    """Return what reads Toronto's files at ``path``, or ``None`` where there are none."""
    for variant, layout, inner in cifar_files.find(path, cifar.VARIANTS):
        return lambda: _verified(variant, *cifar_files.read_folder(variant, layout, inner), inner)
    archives = [path] if path.is_file() else sorted(path.glob("cifar-10*-*.tar.gz"))
    for archive in archives:
        if cifar_files.is_archive(archive):
            return partial(_read_archive, archive)
    return None


def _read_archive(path: Path) -> cache.Decoded:
    variant, train, test = cifar_files.read_archive(path, cifar.VARIANTS)
    return _verified(variant, train, test, path)


def _verified(variant: cifar.CifarVariant, train: Split, test: Split, path: Path) -> cache.Decoded:
    cifar.verify(variant, train, test, printable(path))
    return cache.Decoded(
        name=variant.name,
        source=str(path.absolute()),
        class_names=variant.class_names,
        train=train,
        test=test,
    )


def _cached(path: Path, build: Callable[[], cache.Decoded], options: LoadOptions) -> cache.Decoded:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return cache.get(cache.key_for(path, files), lambda _: build(), progress=options.progress)


def named_by_content(decoded: cache.Decoded) -> cache.Decoded:
    """Return the dataset by its name where its content is that of a known one."""
    variant = cifar.identify(decoded.train, decoded.test)
    if variant is None:
        return decoded
    return replace(decoded, name=variant.name, class_names=variant.class_names)


def in_format(decoded: cache.Decoded, options: LoadOptions, what: str) -> cache.Decoded:
    """Bring a dataset of known content to another size or to grey, where that is asked for."""
    shape = decoded.train.images.shape[1:]
    wanted = options.size or shape[:2], CHANNELS[options.channels] or shape[2]
    if (*wanted[0], wanted[1]) == shape:
        return decoded
    found = Found(
        what=what,
        name=decoded.name,
        source=decoded.source,
        class_names=decoded.class_names,
        splits={
            part: Samples(
                labels=split.labels,
                names=split.names or tuple(f"{part} {i}" for i in range(len(split))),
                contents=partial(iter, split.images),
            )
            for part, split in decoded.splits.items()
            if len(split)
        },
        files=(),
    )
    return decode(found, replace(options, image_size=wanted[0]))


def _cifar10(options: LoadOptions) -> cache.Decoded:
    if path := os.environ.get(VARIABLE):
        return _from_variable(cifar.CIFAR10, path, options)
    remedy = f"set {VARIABLE} to a copy on this machine, or CIFARLAB_CACHE to a filled cache"
    return _from_sources(cifar.CIFAR10, options, remedy)


def _from_variable(variant: cifar.CifarVariant, value: str, options: LoadOptions) -> cache.Decoded:
    path = Path(value).expanduser()
    shown = f"{VARIABLE}={printable(value)}"
    if not path.exists():
        raise UsageError(f"{shown}: no such path; set it to a copy of {variant.name}")
    plain = LoadOptions(progress=options.progress)
    decoded = read_archive(path, plain)
    if decoded is None:
        found = parquet.find(path, plain)
        if isinstance(found, Rejected):
            raise InputError(
                f"{shown}: holds no {variant.name}; set it to its parquet files "
                "or one of Toronto's archives, packed or not"
            )
        decoded = decode(found, plain, named_by_content)
    if decoded.name != variant.name:
        cifar.verify(variant, decoded.train, decoded.test, shown)
    return decoded


def _from_sources(variant: cifar.CifarVariant, options: LoadOptions, remedy: str) -> cache.Decoded:
    return sources.obtain(
        variant, offline=options.offline, progress=options.progress, remedy=remedy
    )


def _shapes10(options: LoadOptions) -> cache.Decoded:
    return cache.get(shapes.key(), lambda _: shapes.draw(), progress=options.progress)


KNOWN_CONTENT: Mapping[str, Callable[[LoadOptions], cache.Decoded]] = {
    "cifar10": _cifar10,
    "cifar100": lambda options: _from_sources(cifar.CIFAR100, options, sources.REMEDY),
    "shapes10": _shapes10,
}
