"""Where the named datasets come from: the cache, else the first source that gives all of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from cifarlab.data import cache, cifar, cifar_files, download, parquet
from cifarlab.errors import InputError, NetworkError, UnsafeError
from cifarlab.files import printable

REMEDY = "set CIFARLAB_CACHE to a writable directory"


def obtain(
    kind: cifar.CifarVariant,
    *,
    offline: bool = False,
    progress: Callable[[str], None] | None = None,
    remedy: str = REMEDY,
    manner: download.DownloadOptions = download.USUAL,
) -> cache.Decoded:
    """Return ``kind`` from the cache, else from the first of its sources that gives it whole.

    Args:
        remedy: what the message of an error advises.

    Raises:
        NetworkError: no source did; the message has what each of them gave instead.
    """

    def produce() -> cache.Decoded:
        try:
            return _download(kind, offline, progress, manner)
        except NetworkError as error:
            raise NetworkError(f"{error}; {remedy}") from error

    return cache.get(kind.name, produce, progress=progress)


def _download(
    kind: cifar.CifarVariant,
    offline: bool,
    progress: Callable[[str], None] | None,
    manner: download.DownloadOptions,
) -> cache.Decoded:
    place = printable(cache.directory())
    if offline:
        raise NetworkError(f"{kind.name}: not in the cache {place}, and downloads are off")
    failures = []
    for number, source in enumerate(kind.sources):
        folder = cache.directory() / "downloads" / f"{kind.name}-{number}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NetworkError(
                f"{kind.name}: not in the cache {place}, and a download cannot be "
                f"written there ({error.strerror})"
            ) from error
        cache.say(progress, f"downloading {kind.name} from {source.name}")
        try:
            decoded = _from_source(kind, source, folder, progress, manner)
        except NetworkError as error:
            # One remedy stands at the end, not one for each source.
            failures.append(str(error).partition("; ")[0])
        except (InputError, UnsafeError) as error:
            # Wrong content is never kept: the next run must not find it.
            shutil.rmtree(folder, ignore_errors=True)
            failures.append(str(error).partition("; ")[0])
        else:
            shutil.rmtree(folder, ignore_errors=True)
            return decoded
        cache.say(progress, f"warning: {failures[-1]}")
    raise NetworkError(f"{kind.name}: no source gave it: {' | '.join(failures)}")


def _from_source(
    kind: cifar.CifarVariant,
    source: cifar.Source,
    folder: Path,
    progress: Callable[[str], None] | None,
    manner: download.DownloadOptions,
) -> cache.Decoded:
    paths = [
        download.fetch(remote, folder, manner=manner, progress=progress) for remote in source.files
    ]
    urls = ", ".join(remote.url for remote in source.files)
    if files := parquet.find(folder):
        content = parquet.read(files, progress=progress)
        if content.test is None:
            raise InputError(f"{urls}: no test images came; use another source")
        train, test = content.train, content.test
    else:
        _, train, test = cifar_files.read_archive(paths[0], (kind,))
    cifar.verify(kind, train, test, urls)
    return cache.Decoded(
        name=kind.name, source=urls, class_names=kind.class_names, train=train, test=test
    )
