"""Datasets on the Hugging Face Hub: their Parquet files, for the Parquet reader.

The Hub converts public datasets to Parquet on a branch of its own, one folder for each
configuration and split: https://huggingface.co/docs/dataset-viewer/parquet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cifarlab.data import cache
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named import download
from cifarlab.data.named.kept_files import place
from cifarlab.errors import NetworkError, ResourceError, UsageError
from cifarlab.files import cannot_write, printable
from cifarlab.runtime.extras import require_extra

PREFIX = "hf:"
CONVERTED = "refs/convert/parquet"
MAX_BYTES = 50_000_000_000
REMEDY = "download its Parquet files from {url} and give the folder"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
SPEC = re.compile(rf"hf:(?P<repo>{_PART}/{_PART})(?:/(?P<config>{_PART}))?")


@dataclass(frozen=True, kw_only=True)
class _Parquet:
    """One Parquet file of a repository.

    Attributes:
        path: in the repository.
        config, split: what it belongs to.
        size: in bytes.
        sha256: of its content, or empty where the Hub gives none.
    """

    path: str
    config: str
    split: str
    size: int
    sha256: str


def fetch_hub(
    spec: str,
    options: LoadOptions,
    *,
    download_options: download.DownloadOptions = download.DEFAULT_OPTIONS,
    endpoint: str = "https://huggingface.co",
) -> Path:
    """Return a folder with the Parquet files of ``hf:OWNER/NAME`` or ``hf:OWNER/NAME/CONFIG``.

    What is in the cache is used as it is, even if the Hub has a newer version.

    Args:
        spec: the dataset, and which of its configurations if it has several.
        options: of which ``offline`` and ``progress`` count.
        download_options: attempts and time-outs.
        endpoint: the address of the Hub.

    Raises:
        UsageError: ``spec`` is written differently, names no configuration where there are
            several, or the extra ``hub`` is not installed.
        NetworkError: the Hub does not answer, or has no such dataset, or not as Parquet.
        ResourceError: it is too large, or the cache cannot be written.
    """
    match = SPEC.fullmatch(spec)
    if match is None:
        raise UsageError(f"dataset {printable(spec)}: write hf:OWNER/NAME or hf:OWNER/NAME/CONFIG")
    repo, config = match["repo"], match["config"]
    key = "hf-" + "--".join([*repo.split("/"), *([config] if config else [])])
    final = cache.directory() / "named" / key
    if final.is_dir():
        return final
    if options.offline:
        raise NetworkError(
            f"{spec}: not in the cache {printable(cache.directory())}, and downloads are off; "
            "load it once without --offline"
        )
    require_extra("hub", f"{spec}: the Hugging Face Hub", ["huggingface_hub"])
    try:
        with cache.lock(f"named-{key}", progress=options.progress):
            if not final.is_dir():
                _download(repo, config, final, options, download_options, endpoint)
    except OSError as error:
        raise cannot_write(cache.directory(), error) from error
    return final


def _download(
    repo: str,
    config: str | None,
    final: Path,
    options: LoadOptions,
    download_options: download.DownloadOptions,
    endpoint: str,
) -> None:
    revision, files, licence = _list(repo, endpoint)
    chosen = _of_config(repo, files, config)
    total = sum(file.size for file in chosen)
    if total > MAX_BYTES:
        raise ResourceError(
            f"{PREFIX}{repo}: {total:,} bytes; at most {MAX_BYTES:,} are downloaded; "
            "download a part of it and give the folder"
        )
    cache.say(
        options.progress,
        f"downloading {repo}, {total / 1e6:,.0f} MB (licence: {licence or 'not stated'})",
    )
    folder = cache.directory() / "downloads" / final.name
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    for file, name in _shard_names(chosen):
        remote = download.RemoteFile(
            url=f"{endpoint}/datasets/{repo}/resolve/{revision}/{quote(file.path)}",
            name=name,
            magic=b"PAR1",
            max_bytes=file.size or MAX_BYTES,
            digest=f"sha256:{file.sha256}" if file.sha256 else "",
        )
        path = download.fetch(remote, folder, options=download_options, progress=options.progress)
        done.append(path)
    place(final, files=done)


def _list(repo: str, endpoint: str) -> tuple[str, list[_Parquet], str]:
    """Return the commit, its Parquet files and the licence: of the converted branch, else main."""
    converted = _info(repo, CONVERTED, endpoint)
    main = _info(repo, "main", endpoint)
    if main is None:
        raise NetworkError(
            f"{PREFIX}{repo}: no such dataset on the Hub, or not a public one; check the name, or "
            + REMEDY.format(url=f"{endpoint}/datasets/{repo}")
        )
    licence = str((main.card_data or {}).get("license") or "")
    for info in (converted, main):
        files = _parquet_files(info) if info is not None else []
        # Of what is too large the Hub converts only the beginning.
        if files and not any(file.split.startswith("partial-") for file in files):
            return str(info.sha), files, licence
    raise NetworkError(
        f"{PREFIX}{repo}: the Hub has it not, or not all of it, as Parquet; "
        "download its files and give the folder"
    )


def _info(repo: str, revision: str, endpoint: str) -> Any:
    """Return what the Hub knows of a revision, or ``None`` if there is no such one."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return HfApi(endpoint=endpoint).dataset_info(repo, revision=revision, files_metadata=True)
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return None
    except HfHubHTTPError as error:
        raise NetworkError(
            f"{PREFIX}{repo}: the Hub answered {error.response.status_code}; try again later"
        ) from error
    # Its HTTP library raises errors of its own, and which library that is depends on the version.
    except Exception as error:
        raise NetworkError(
            f"{PREFIX}{repo}: the Hub cannot be reached ({type(error).__name__}); "
            "check the connection, or load it with --offline if it is in the cache"
        ) from error


def _parquet_files(info: Any) -> list[_Parquet]:
    files = []
    for sibling in info.siblings or ():
        if not sibling.rfilename.endswith(".parquet"):
            continue
        parts = sibling.rfilename.split("/")
        lfs: Mapping[str, Any] = sibling.lfs or {}
        files.append(
            _Parquet(
                path=sibling.rfilename,
                config=parts[0] if len(parts) > 1 and parts[0] != "data" else "default",
                split=parts[1] if len(parts) > 2 else re.split(r"[-.]", parts[-1])[0],
                size=int(sibling.size or 0),
                sha256=str(lfs["sha256"]) if lfs else "",
            )
        )
    return files


def _of_config(repo: str, files: Sequence[_Parquet], config: str | None) -> list[_Parquet]:
    configs = sorted({file.config for file in files})
    if config is None and len(configs) == 1:
        config = configs[0]
    if config not in configs:
        raise UsageError(
            f"{PREFIX}{repo}: it has the configurations {', '.join(map(printable, configs))}; "
            f"say which, such as {PREFIX}{repo}/{configs[0]}"
        )
    return [file for file in files if file.config == config]


def _shard_names(files: Sequence[_Parquet]) -> list[tuple[_Parquet, str]]:
    """Return a name for each file by which the Parquet reader knows its split."""
    named = []
    for split in sorted({file.split for file in files}):
        shards = sorted((file for file in files if file.split == split), key=lambda f: f.path)
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", split)
        named += [
            (shard, f"{safe}-{index:05d}-of-{len(shards):05d}.parquet")
            for index, shard in enumerate(shards)
        ]
    return named
