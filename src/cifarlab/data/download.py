"""Fetch a file over https: whole and checked under its final name, or not at all.

Requests is used directly: it lets each redirect be looked at before it is followed,
and a broken transfer be taken up where it stopped.
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
# Answers that may be better a moment later; any other error status is final.
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file to fetch, and how to tell that it is the right one.

    Attributes:
        url: where it is, https.
        name: what it is called on disk.
        magic: the bytes that it starts with.
        max_bytes: more than this is refused.
        digest: ``"md5:..."`` or ``"sha256:..."``, or empty when none is published.
    """

    url: str
    name: str
    magic: bytes
    max_bytes: int
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class DownloadOptions:
    """How to go about a download.

    Attributes:
        attempts: how often to try.
        silent_seconds: an attempt is over after so long without data.
        pause_seconds: wait before the second attempt; doubles with each further one.
        allow_loopback_http: let ``http://127.0.0.1`` pass, for servers under test.
    """

    attempts: int = 3
    silent_seconds: float = 30.0
    pause_seconds: float = 1.0
    allow_loopback_http: bool = False


USUAL = DownloadOptions()


class _PassingError(Exception):
    """This attempt failed in a way that another may not."""


def fetch(
    remote: RemoteFile,
    folder: Path,
    *,
    manner: DownloadOptions = USUAL,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Return ``folder / remote.name``, downloading it unless it is there already.

    A part file left by a killed process is continued if the server still has the same
    version (entity tag), else started again. One process downloads, others wait for it.

    Args:
        remote: the file.
        folder: an existing directory.
        manner: attempts and time-outs.
        progress: called with one line now and then.

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
            return _fetch_patiently(remote, target, manner, progress)
    except OSError as error:
        needed = f" and up to {remote.max_bytes / 1e6:.0f} MB are needed"
        reason = cannot_write(target, error, needed)
        raise ResourceError(f"{reason} (set CIFARLAB_CACHE to it)") from error


def _fetch_patiently(
    remote: RemoteFile,
    target: Path,
    manner: DownloadOptions,
    progress: Callable[[str], None] | None,
) -> Path:
    import requests

    part = target.with_name(f"{target.name}.part")
    reason = ""
    with requests.Session() as session:
        for attempt in range(manner.attempts):
            if attempt:
                time.sleep(manner.pause_seconds * 2 ** (attempt - 1))
                if progress:
                    progress(f"{remote.name}: {reason}; trying again")
            try:
                resumed = _transfer(session, remote, part, manner, progress)
            except _PassingError as failure:
                reason = str(failure)
                continue
            except requests.RequestException as failure:
                reason = _say_why(failure, manner)
                continue
            except NetworkError:
                _discard(part)
                raise
            reason = _wrong(part, remote) or ""
            if not reason:
                _make_final(part, target)
                return target
            # Keep nothing of a wrong file: the next attempt, or run, starts from zero.
            _discard(part)
            if not resumed:
                raise NetworkError(f"{remote.url}: {reason}; refused, nothing was kept")
    raise NetworkError(
        f"{remote.url}: {reason} ({manner.attempts} attempts); "
        "try again later, or set CIFARLAB_DATA to a copy on this machine"
    )


def _say_why(failure: requests.RequestException, manner: DownloadOptions) -> str:
    import requests
    import urllib3

    # Silence in mid-body arrives as a ConnectionError that wraps urllib3's time-out.
    inner = failure.args[0] if failure.args else None
    if isinstance(failure, requests.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} s"
    if isinstance(failure, requests.Timeout) or isinstance(
        inner, urllib3.exceptions.ReadTimeoutError
    ):
        return f"no data for {manner.silent_seconds:g} s"
    return f"the connection failed ({type(failure).__name__})"


def _transfer(
    session: requests.Session,
    remote: RemoteFile,
    part: Path,
    manner: DownloadOptions,
    progress: Callable[[str], None] | None,
) -> bool:
    """Bring ``part`` to its full length; return whether it was begun by an earlier attempt."""
    tag_file = part.with_name(f"{part.name}.etag")
    have, tag = 0, ""
    with contextlib.suppress(OSError):
        have, tag = part.stat().st_size, tag_file.read_text()
    headers = {"Accept-Encoding": "identity"}
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    with _open(session, remote.url, headers, manner) as answer:
        resumed = answer.status_code == 206
        if resumed and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _discard(part)
            raise _PassingError("the server continued at another place than asked")
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
    session: requests.Session, url: str, headers: dict[str, str], manner: DownloadOptions
) -> requests.Response:
    """Follow redirects by hand, so that none leads away from https unseen."""
    for _ in range(MAX_REDIRECTS + 1):
        parts = urlsplit(url)
        loopback = parts.scheme == "http" and parts.hostname == "127.0.0.1"
        if parts.scheme != "https" and not (loopback and manner.allow_loopback_http):
            raise NetworkError(f"{url}: only https is used for downloads; refused")
        answer = session.get(
            url,
            headers=headers,
            stream=True,
            allow_redirects=False,
            timeout=(CONNECT_SECONDS, manner.silent_seconds),
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
        raise _PassingError("the server cannot continue the part file")
    if status in PASSING_STATUS:
        raise _PassingError(f"the server answered {status}")
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
                    f"{remote.url}: what came does not start like {remote.name}; "
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
    # Requests on urllib3 1.x takes an early end for the end.
    if have < total:
        raise _PassingError(f"only {have} of {total} bytes came")


def _wrong(path: Path, remote: RemoteFile) -> str | None:
    """Say what is wrong with a whole file, or ``None``."""
    if not remote.digest:
        with path.open("rb") as file:
            return None if file.read(len(remote.magic)) == remote.magic else "it is not the file"
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
