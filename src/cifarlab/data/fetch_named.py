"""Bring a named dataset into the cache, as files that the readers take."""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from cifarlab.data import cache, download, hub
from cifarlab.data.cifar import Source
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named import GENERAL, NamedDataset
from cifarlab.data.named_medical import MEDICAL
from cifarlab.errors import InputError, NetworkError, UsageError
from cifarlab.files import cannot_write, printable, sync_directory

NAMED = {dataset.name: dataset for dataset in (*GENERAL, *MEDICAL)}
MAX_MEMBER_BYTES = 1 << 30
CHUNK_BYTES = 1 << 20


def fetch_named(
    name: str,
    options: LoadOptions,
    *,
    download_options: download.DownloadOptions = download.DEFAULT_OPTIONS,
) -> Path:
    """Return the file or folder that holds a named dataset, downloaded unless it is in the cache.

    Args:
        name: a key of ``NAMED``, or ``"hf:OWNER/NAME"`` or ``"hf:OWNER/NAME/CONFIG"`` for a dataset
            on the Hugging Face Hub.
        options: of which ``offline`` and ``progress`` count.
        download_options: attempts and time-outs.

    Raises:
        UsageError: no such name.
        NetworkError: no source has it; the message has the reason for each of them.
        ResourceError: the cache cannot be written.
    """
    if name.startswith(hub.PREFIX):
        return hub.fetch_hub(name, options, download_options=download_options)
    if name not in NAMED:
        raise UsageError(
            f"dataset {printable(name)}: no such name; give one of {', '.join(NAMED)}, "
            f"or {hub.PREFIX}OWNER/NAME"
        )
    return fetch(NAMED[name], options, download_options=download_options)


def fetch(
    dataset: NamedDataset,
    options: LoadOptions,
    *,
    download_options: download.DownloadOptions = download.DEFAULT_OPTIONS,
) -> Path:
    """Return the file or folder that holds ``dataset``; see ``fetch_named``."""
    final = cache.directory() / "named" / dataset.name
    if final.is_dir():
        return readable(final)
    if options.offline:
        raise NetworkError(
            f"{dataset.name}: not in the cache {printable(cache.directory())}, and downloads are "
            f"off; {_remedy(dataset)}"
        )
    try:
        with cache.lock(f"named-{dataset.name}", progress=options.progress):
            if not final.is_dir():
                _download(dataset, final, options, download_options)
    except OSError as error:
        reason = cannot_write(cache.directory(), error)
        raise type(reason)(f"{reason} (set CIFARLAB_CACHE to it)") from error
    return readable(final)


def readable(folder: Path) -> Path:
    """Return the only file of a folder, or the folder."""
    files = list(folder.iterdir())
    return files[0] if len(files) == 1 else folder


def _remedy(dataset: NamedDataset) -> str:
    return (
        f"download it from {dataset.home} and give its path, or set CIFARLAB_CACHE to a filled "
        "cache"
    )


def _download(
    dataset: NamedDataset,
    final: Path,
    options: LoadOptions,
    download_options: download.DownloadOptions,
) -> None:
    failures = []
    for number, source in enumerate(dataset.sources):
        folder = cache.directory() / "downloads" / (dataset.archive or f"{dataset.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
        cache.say(
            options.progress,
            f"downloading {dataset.title} from {source.name} (licence: {dataset.licence})",
        )
        try:
            files = [
                download.fetch(file, folder, options=download_options, progress=options.progress)
                for file in source.files
            ]
            _keep(dataset, source, files, final)
        except (NetworkError, InputError) as error:
            # The message gives one remedy at its end, not one for each source.
            failures.append(str(error).partition("; ")[0])
            cache.say(options.progress, f"warning: {failures[-1]}")
            continue
        if not dataset.archive:
            shutil.rmtree(folder, ignore_errors=True)
        return
    raise NetworkError(
        f"{dataset.name}: no source has it: {' | '.join(failures)}; {_remedy(dataset)}"
    )


def _keep(dataset: NamedDataset, source: Source, files: Sequence[Path], final: Path) -> None:
    if dataset.members:
        place(final, unpack=(files[0], dataset.members))
    else:
        place(final, files=[(file, remote.name) for file, remote in zip(files, source.files)])


def place(
    final: Path,
    *,
    files: Sequence[tuple[Path, str]] = (),
    unpack: tuple[Path, Sequence[str]] | None = None,
) -> None:
    """Move files, and members of an archive, into the new folder ``final``, all or none.

    Raises:
        InputError: the archive is damaged, or lacks a member.
    """
    temporary = final.with_name(f"{final.name}.tmp-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for file, name in files:
            file.replace(temporary / name)
        if unpack is not None:
            _unpack(*unpack, temporary)
        sync_directory(temporary)
        temporary.replace(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(final.parent)


def _unpack(archive: Path, members: Sequence[str], folder: Path) -> None:
    """Unpack members by exact name into ``folder``, without the folders that they are in."""
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in members:
                if packed.getinfo(member).file_size > MAX_MEMBER_BYTES:
                    raise InputError(f"{printable(archive)}: {member} is too long to be right")
                with (
                    packed.open(member) as source,
                    (folder / member.rpartition("/")[2]).open("wb") as target,
                ):
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
                    target.flush()
                    os.fsync(target.fileno())
    except (KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise InputError(
            f"{printable(archive)}: damaged, or not the archive that it should be "
            f"({type(error).__name__}); remove it and try again"
        ) from error
