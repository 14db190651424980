"""Load a named dataset: from the cache, else from the first source that has all of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from cifarlab.data import cache
from cifarlab.data.decoding import decode_in_memory
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named import cifar, cifar_files, download
from cifarlab.data.readers import parquet
from cifarlab.data.samples import Found
from cifarlab.errors import InputError, NetworkError, UnsafeError
from cifarlab.files import printable

REMEDY = "set CIFARLAB_CACHE to a writable directory"


def obtain(
    variant: cifar.CifarVariant,
    *,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
    remedy: str = REMEDY,
    options: download.DownloadOptions = download.DEFAULT_OPTIONS,
) -> cache.Decoded:
    """Return ``variant`` from the cache, else from the first of its sources that has all of it.

    Args:
        remedy: the advice at the end of an error message.

    Raises:
        NetworkError: no source has it; the message has the reason for each of them.
    """

    def produce() -> cache.Decoded:
        try:
            return _download(variant, offline, progress, options)
        except NetworkError as error:
            raise NetworkError(f"{error}; {remedy}") from error

    return cache.get(variant.name, lambda _: produce(), progress=progress)


def _download(
    variant: cifar.CifarVariant,
    offline: bool,
    progress: Callable[[str], None] | None,
    options: download.DownloadOptions,
) -> cache.Decoded:
    shown = printable(cache.directory())
    if offline:
        raise NetworkError(f"{variant.name}: not in the cache {shown}, and downloads are off")
    failures = []
    for number, source in enumerate(variant.sources):
        folder = cache.directory() / "downloads" / f"{variant.name}-{number}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NetworkError(
                f"{variant.name}: not in the cache {shown}, and a download cannot be "
                f"written there ({error.strerror})"
            ) from error
        cache.say(progress, f"downloading {variant.name} from {source.name}")
        try:
            decoded = _from_source(variant, source, folder, progress, options)
        except NetworkError as error:
            # The message gives one remedy at its end, not one for each source.
            failures.append(str(error).partition("; ")[0])
        except (InputError, UnsafeError) as error:
            # Wrong content is never kept, so that the next run does not use it.
            shutil.rmtree(folder, ignore_errors=True)
            failures.append(str(error).partition("; ")[0])
        else:
            shutil.rmtree(folder, ignore_errors=True)
            return decoded
        cache.say(progress, f"warning: {failures[-1]}")
    raise NetworkError(f"{variant.name}: no source has it: {' | '.join(failures)}")


def _from_source(
    variant: cifar.CifarVariant,
    source: cifar.Source,
    folder: Path,
    progress: Callable[[str], None] | None,
    options: download.DownloadOptions,
) -> cache.Decoded:
    paths = [
        download.fetch(remote, folder, options=options, progress=progress)
        for remote in source.files
    ]
    urls = ", ".join(remote.url for remote in source.files)
    found = parquet.find(folder, LoadOptions())
    if isinstance(found, Found):
        if "test" not in found.splits:
            raise InputError(f"{urls}: it has no test images; use another source")
        content = decode_in_memory(found, LoadOptions(image_size=32, progress=progress))
        train, test = content.train, content.test
    else:
        _, train, test = cifar_files.read_archive(paths[0], (variant,))
    cifar.verify(variant, train, test, urls)
    return cache.Decoded(
        name=variant.name, source=urls, class_names=variant.class_names, train=train, test=test
    )
