"""Download a file over https: complete and checked under its final name, or not at all.

Requests is used directly, because it allows each redirect to be checked before it is followed
and an interrupted transfer to be resumed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from cifarlab.errors import NetworkError, ResourceError
from cifarlab.files import cannot_write, sync_directory

if TYPE_CHECKING:
    import requests

CONNECT_SECONDS = 10.0
MAX_REDIRECTS = 5
CHUNK_BYTES = 1 << 18
# Statuses after which another attempt may succeed; any other error status is final.
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to download, and how to recognise that it is the right one.

    Attributes:
        url: its https address.
        name: its name on disk.
        magic: the bytes that it starts with.
        max_bytes: a longer file is refused.
        digest: ``"md5:..."`` or ``"sha256:..."``, or empty when none is published.
    """

    url: str
    name: str
    magic: bytes
    max_bytes: int
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """Attempts and time-outs of a download.

    Attributes:
        attempts: how often to try, at least 1.
        silent_seconds: an attempt ends after this time without data.
        pause_seconds: wait before the second attempt; doubles with each further one.
        allow_loopback_http: allow ``http://127.0.0.1``, for test servers.
    """

    attempts: int = 3
    silent_seconds: float = 30.0
    pause_seconds: float = 1.0
    allow_loopback_http: bool = False


DEFAULT_OPTIONS = DownloadOptions()


class _TemporaryError(Exception):
    """This attempt failed, and another one may succeed."""


def fetch(
    remote: RemoteFile,
    folder: Path,
    *,
    options: DownloadOptions = DEFAULT_OPTIONS,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Return ``folder / remote.name``, downloading it unless it is there already.

    A part file left by a killed process is continued if the server still has the same
    version (entity tag), else started again. One process downloads, others wait for it.

    Args:
        remote: the file.
        folder: an existing directory.
        options: attempts and time-outs.
        progress: called with one line of text now and then.

    Raises:
        NetworkError: no connection, a time-out, an error page, the wrong content.
        ResourceError: the disk is full or cannot be written.
    """
    from filelock import FileLock

    target = folder / remote.name
    try:
        with FileLock(folder / f"{remote.name}.lock"):
            if target.exists() and _wrong(target, remote) is None:
                return target
            return _fetch_with_retries(remote, target, options, progress)
    except OSError as error:
        needed = f" and up to {remote.max_bytes / 1e6:.0f} MB are needed"
        reason = cannot_write(target, error, needed)
        raise ResourceError(f"{reason} (set CIFARLAB_CACHE to it)") from error


def _fetch_with_retries(
    remote: RemoteFile,
    target: Path,
    options: DownloadOptions,
    progress: Callable[[str], None] | None,
) -> Path:
    import requests

    part = target.with_name(f"{target.name}.part")
    reason = ""
    with requests.Session() as session:
        for attempt in range(options.attempts):
            if attempt:
                time.sleep(options.pause_seconds * 2 ** (attempt - 1))
                if progress:
                    progress(f"{remote.name}: {reason}; trying again")
            try:
                resumed = _transfer(session, remote, part, options, progress)
            except _TemporaryError as failure:
                reason = str(failure)
                continue
            except requests.RequestException as failure:
                reason = _reason_for(failure, options)
                continue
            except NetworkError:
                _discard(part)
                raise
            reason = _wrong(part, remote) or ""
            if not reason:
                _make_final(part, target)
                return target
            # Nothing of a wrong file is kept: the next attempt starts from the beginning.
            _discard(part)
            if not resumed:
                raise NetworkError(f"{remote.url}: {reason}; refused, nothing was kept")
    raise NetworkError(
        f"{remote.url}: {reason} ({options.attempts} attempts); "
        "try again later, or set CIFARLAB_DATA to a copy on this machine"
    )


def _reason_for(failure: requests.RequestException, options: DownloadOptions) -> str:
    import requests
    import urllib3

    # A time-out within the body is a ConnectionError that wraps urllib3's time-out.
    inner = failure.args[0] if failure.args else None
    if isinstance(failure, requests.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(failure, requests.Timeout) or isinstance(
        inner, urllib3.exceptions.ReadTimeoutError
    ):
        return f"no data for {options.silent_seconds:g} s"
    return f"the connection failed ({type(failure).__name__})"


def _transfer(
    session: requests.Session,
    remote: RemoteFile,
    part: Path,
    options: DownloadOptions,
    progress: Callable[[str], None] | None,
) -> bool:
    """Download the rest of ``part``; return whether an earlier attempt had begun it."""
    tag_file = part.with_name(f"{part.name}.etag")
    have, tag = 0, ""
    with contextlib.suppress(OSError):
        have, tag = part.stat().st_size, tag_file.read_text()
    headers = {"Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    with _open(session, remote.url, headers, options) as answer:
        resumed = answer.status_code == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _discard(part)
            raise _TemporaryError("the server resumed at another position than requested")
        _check_answer(answer, remote, part)
        if not resumed:
            have = 0
            # A weak tag does not promise the same bytes.
            tag = answer.headers.get("ETag", "")
            part.unlink(missing_ok=True)
            tag_file.write_text("" if tag.startswith("W/") else tag)
        total = have + int(answer.headers.get("Content-Length") or 0)
        _receive(answer, remote, part, have, total, progress)
    return resumed


def _open(
    session: requests.Session, url: str, headers: dict[str, str], options: DownloadOptions
) -> requests.Response:
    """Send the request; follow redirects by hand, so that none leads away from https."""
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(url)
        loopback = parts.scheme == "http" and parts.hostname == "127.0.0.1"
        if parts.scheme != "https" and not (loopback and options.allow_loopback_http):
            raise NetworkError(f"{url}: only https is used for downloads; refused")
        answer = session.get(
            url,
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, options.silent_seconds),
        )
        if not answer.is_redirect:
            return answer
        answer.close()
        url = urljoin(url, answer.headers["Location"])
    raise NetworkError(f"{url}: more than {MAX_REDIRECTS} redirects; refused")


def _check_answer(answer: requests.Response, remote: RemoteFile, part: Path) -> None:
    status = answer.status_code
    if status == 416:
        _discard(part)
        raise _TemporaryError("the server cannot resume the part file")
    if status in RETRIED_STATUS:
        raise _TemporaryError(f"the server answered {status}")
    if status not in (200, 206):
        raise NetworkError(f"{remote.url}: the server answered {status}; try again later")


def _receive(
    answer: requests.Response,
    remote: RemoteFile,
    part: Path,
    have: int,
    total: int,
    progress: Callable[[str], None] | None,
) -> None:
    shown = have
    with part.open("ab") as file:
        for chunk in answer.iter_content(CHUNK_BYTES):
            if have == 0 and not chunk.startswith(remote.magic):
                raise NetworkError(
                    f"{remote.url}: the content does not start like {remote.name}; "
                    "a login page or proxy may be in the way"
                )
            have += len(chunk)
            if have > remote.max_bytes:
                raise NetworkError(
                    f"{remote.url}: longer than the {remote.max_bytes} bytes allowed; refused"
                )
            file.write(chunk)
            if progress and have - shown >= max(total // 10, CHUNK_BYTES):
                shown = have
                whole = f" of {total / 1e6:.0f}" if total else ""
                progress(f"{remote.name}: {have / 1e6:.0f}{whole} MB")
        file.flush()
        os.fsync(file.fileno())
    # With urllib3 1.x, Requests does not notice that a body ends early.
    if have < total:
        raise _TemporaryError(f"only {have} of {total} bytes arrived")


def _wrong(path: Path, remote: RemoteFile) -> str | None:
    """Return what is wrong with a complete file, or ``None``."""
    if not remote.digest:
        with path.open("rb") as file:
            right = file.read(len(remote.magic)) == remote.magic
        return None if right else f"it does not start like {remote.name}"
    method, _, expected = remote.digest.partition(":")
    with path.open("rb") as file:
        actual = hashlib.file_digest(
            file, lambda: hashlib.new(method, usedforsecurity=False)
        ).hexdigest()
    if actual == expected:
        return None
    return f"wrong content: {method} {actual}, expected {expected}"


def _make_final(part: Path, target: Path) -> None:
    part.replace(target)
    _discard(part)
    sync_directory(target.parent)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_name(f"{part.name}.etag").unlink(missing_ok=True)
