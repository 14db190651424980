"""Bring a named dataset into the cache, as files that the readers take."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from cifarlab.data import cache
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named import download, hub
from cifarlab.data.named.dataset import NamedDataset
from cifarlab.data.named.general import GENERAL
from cifarlab.data.named.kept_files import place, readable
from cifarlab.data.named.medical import MEDICAL
from cifarlab.errors import InputError, NetworkError, ResourceError, UsageError
from cifarlab.files import cannot_write, printable

NAMED = {dataset.name: dataset for dataset in (*GENERAL, *MEDICAL)}


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
        raise ResourceError(f"{reason} (set CIFARLAB_CACHE to it)") from error
    return readable(final)


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
            _keep(dataset, files, final)
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


def _keep(dataset: NamedDataset, files: Sequence[Path], final: Path) -> None:
    if dataset.members:
        place(final, unpack=(files[0], dataset.members))
    else:
        place(final, files=files)
