"""A download is complete and checked under its final name, or that file does not exist."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cifarlab.data.named.download import DownloadOptions, RemoteFile, fetch
from cifarlab.errors import NetworkError, ResourceError

BODY = b"PAR1" + bytes(range(256)) * 4000
SHA256 = "sha256:" + hashlib.sha256(BODY).hexdigest()
QUICK = DownloadOptions(attempts=3, silent_seconds=20, pause_seconds=0.01, allow_loopback_http=True)

CHILD = """
import sys
from pathlib import Path
from cifarlab.data.named.download import DownloadOptions, RemoteFile, fetch
from cifarlab.errors import CifarlabError
url, folder, digest = sys.argv[1:4]
if len(sys.argv) > 4:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
try:
    fetch(
        RemoteFile(url=url, name="file", magic=b"PAR1", max_bytes=10_000_000, digest=digest),
        Path(folder),
        options=DownloadOptions(pause_seconds=0.01, allow_loopback_http=True),
    )
except CifarlabError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def remote(server):
    return RemoteFile(
        url=f"{server.url}/file", name="file", magic=b"PAR1", max_bytes=10_000_000, digest=SHA256
    )


def child(remote: RemoteFile, folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, remote.url, str(folder), remote.digest, *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"file.lock"}


def test_brings_the_file_and_leaves_nothing_else(server, remote, tmp_path):
    server.serve("/file", BODY)
    path = fetch(remote, tmp_path, options=QUICK)
    assert path == tmp_path / "file"
    assert path.read_bytes() == BODY
    assert left_in(tmp_path) <= {"file"} | {"own-cache"}


def test_a_file_that_is_there_is_not_fetched_again(server, remote, tmp_path):
    (tmp_path / "file").write_bytes(BODY)
    fetch(remote, tmp_path, options=QUICK)
    assert server.seen == []


def test_a_wrong_file_under_the_final_name_is_replaced(server, remote, tmp_path):
    (tmp_path / "file").write_bytes(BODY[:-1])
    server.serve("/file", BODY)
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY


def test_progress_is_reported_in_megabytes(server, remote, tmp_path):
    server.serve("/file", BODY)
    said: list[str] = []
    fetch(remote, tmp_path, options=QUICK, progress=said.append)
    assert said
    assert all(line.endswith("of 1 MB") for line in said)


def test_connection_dropped_at_half_every_time(server, remote, tmp_path):
    half = BODY[: len(BODY) // 2]
    server.pages["/file"] = lambda request: server.send(request, half, length=len(BODY))
    with pytest.raises(NetworkError, match="3 attempts") as caught:
        fetch(remote, tmp_path, options=QUICK)
    assert caught.value.exit_code == 5
    assert len(server.seen) == 3
    assert not (tmp_path / "file").exists()


def test_connection_dropped_once_is_continued_where_it_stopped(server, remote, tmp_path):
    half = BODY[: len(BODY) // 2]

    def first(request):
        server.serve("/file", BODY)
        server.send(request, half, length=len(BODY), ETag='"one"')

    server.pages["/file"] = first
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY
    start = int(server.seen[1][1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(half)


@pytest.mark.parametrize("etag", ['"two"', 'W/"one"', ""])
def test_another_version_is_never_appended_to_an_old_part(server, remote, tmp_path, etag):
    (tmp_path / "file.part").write_bytes(b"PAR1 of another version")
    (tmp_path / "file.part.etag").write_text('"one"' if etag == '"two"' else "")
    server.serve("/file", BODY, etag=etag)
    remote = dataclasses.replace(remote, digest="")
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY


def test_a_weak_tag_does_not_promise_the_same_bytes(server, remote, tmp_path):
    half = BODY[: len(BODY) // 2]

    def first(request):
        server.serve("/file", BODY)
        server.send(request, half, length=len(BODY), ETag='W/"one"')

    server.pages["/file"] = first
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY
    assert server.seen == [("/file", None)] * 2


def test_a_part_that_cannot_be_continued_is_started_again(server, remote, tmp_path):
    (tmp_path / "file.part").write_bytes(BODY)
    (tmp_path / "file.part.etag").write_text('"one"')
    server.serve("/file", BODY)
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY
    assert [asked for _, asked in server.seen] == [f"bytes={len(BODY)}-", None]


def test_a_damaged_part_is_started_again_after_the_hash_fails(server, remote, tmp_path):
    (tmp_path / "file.part").write_bytes(b"PAR1" + b"?" * 1000)
    (tmp_path / "file.part.etag").write_text('"one"')
    server.serve("/file", BODY)
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY


def test_killed_in_mid_download_and_run_again(server, remote, tmp_path):
    half = BODY[: len(BODY) // 2]
    sent, over = threading.Event(), threading.Event()

    def stop_half_way(request):
        server.send(request, half, length=len(BODY), ETag='"one"')
        sent.set()
        over.wait(60)

    server.pages["/file"] = stop_half_way
    process = child(remote, tmp_path)
    assert sent.wait(60)
    while not (tmp_path / "file.part").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    over.set()
    assert not (tmp_path / "file").exists()

    server.serve("/file", BODY)
    process = child(remote, tmp_path)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_server_that_stalls(server, remote, tmp_path):
    over = threading.Event()

    def stall(request):
        server.send(request, BODY[:1000], length=len(BODY))
        over.wait(60)

    server.pages["/file"] = stall
    options = dataclasses.replace(QUICK, attempts=2, silent_seconds=0.3)
    with pytest.raises(NetworkError, match=r"no data for 0\.3 s \(2 attempts\)") as caught:
        fetch(remote, tmp_path, options=options)
    over.set()
    assert "CIFARLAB_DATA" in str(caught.value)
    assert not (tmp_path / "file").exists()


def test_a_server_that_accepts_and_says_nothing(server, remote, tmp_path):
    over = threading.Event()
    server.pages["/file"] = lambda _request: over.wait(60) and None
    options = dataclasses.replace(QUICK, attempts=1, silent_seconds=0.3)
    with pytest.raises(NetworkError, match=r"no data for 0\.3 s"):
        fetch(remote, tmp_path, options=options)
    over.set()


def test_a_port_without_a_server(server, remote, tmp_path):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(NetworkError, match="the connection failed"):
        fetch(remote, tmp_path, options=QUICK)


@pytest.mark.parametrize("honest", [True, False])
def test_an_html_page_with_status_200(server, remote, tmp_path, honest):
    page = b"<!DOCTYPE html><title>Log in</title>"
    content_type = "text/html; charset=utf-8" if honest else "application/octet-stream"
    server.pages["/file"] = lambda request: server.send(request, page, Content_Type=content_type)
    with pytest.raises(NetworkError, match="login page"):
        fetch(dataclasses.replace(remote, digest=""), tmp_path, options=QUICK)
    assert len(server.seen) == 1
    assert left_in(tmp_path) <= {"own-cache"}


def test_wrong_hash_shows_both_and_keeps_nothing(server, remote, tmp_path):
    wrong = BODY[:-1] + b"?"
    server.serve("/file", wrong)
    with pytest.raises(NetworkError) as caught:
        fetch(remote, tmp_path, options=QUICK)
    assert hashlib.sha256(wrong).hexdigest() in str(caught.value)
    assert SHA256.removeprefix("sha256:") in str(caught.value)
    assert left_in(tmp_path) <= {"own-cache"}


def test_md5_is_checked_too(server, remote, tmp_path):
    server.serve("/file", BODY)
    right = "md5:" + hashlib.md5(BODY, usedforsecurity=False).hexdigest()
    fetch(dataclasses.replace(remote, digest=right), tmp_path, options=QUICK)
    (tmp_path / "file").unlink()
    with pytest.raises(NetworkError, match="wrong content: md5"):
        fetch(dataclasses.replace(remote, digest="md5:" + "0" * 32), tmp_path, options=QUICK)


def test_plain_http_is_refused_before_anything_is_sent(server, remote, tmp_path):
    server.serve("/file", BODY)
    with pytest.raises(NetworkError, match="only https"):
        fetch(remote, tmp_path, options=dataclasses.replace(QUICK, allow_loopback_http=False))
    assert server.seen == []


@pytest.mark.parametrize("target", ["http://192.0.2.1/file", "ftp://127.0.0.1/file"])
def test_a_redirect_away_from_https_is_refused(server, remote, tmp_path, target):
    server.pages["/file"] = lambda request: server.send(request, b"", status=302, Location=target)
    with pytest.raises(NetworkError, match="only https"):
        fetch(remote, tmp_path, options=QUICK)


def test_a_redirect_is_followed_and_a_loop_is_not(server, remote, tmp_path):
    server.pages["/file"] = lambda request: server.send(request, b"", status=302, Location="/there")
    server.serve("/there", BODY)
    assert fetch(remote, tmp_path, options=QUICK).read_bytes() == BODY
    server.pages["/there"] = server.pages["/file"]
    (tmp_path / "file").unlink()
    with pytest.raises(NetworkError, match="more than 5 redirects"):
        fetch(remote, tmp_path, options=QUICK)


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 3), (429, 3)])
def test_only_temporary_failures_are_retried(server, remote, tmp_path, status, requests):
    server.pages["/file"] = lambda request: server.send(request, b"", status=status)
    with pytest.raises(NetworkError, match=f"answered {status}"):
        fetch(remote, tmp_path, options=QUICK)
    assert len(server.seen) == requests


@pytest.mark.parametrize("body", [b"", b"PAR1" + b"x" * 2000])
def test_empty_or_endless_files_are_refused(server, remote, tmp_path, body):
    server.serve("/file", body)
    small = dataclasses.replace(remote, digest="", max_bytes=1000)
    with pytest.raises(NetworkError):
        fetch(small, tmp_path, options=QUICK)
    assert left_in(tmp_path) <= {"own-cache"}


def test_a_folder_that_cannot_be_written(remote, tmp_path):
    (tmp_path / "plain").write_text("a file, not a folder")
    with pytest.raises(ResourceError) as caught:
        fetch(remote, tmp_path / "plain", options=QUICK)
    assert caught.value.exit_code == 6


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_a_disk_that_fills_up(server, remote, tmp_path):
    server.serve("/file", BODY)
    process = child(remote, tmp_path, "100000")
    _, errors = process.communicate()
    assert process.returncode == 6
    assert "10 MB are needed" in errors
    assert not (tmp_path / "file").exists()


def test_four_processes_fetch_it_once(server, remote, tmp_path):
    server.serve("/file", BODY)
    processes = [child(remote, tmp_path) for _ in range(4)]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    assert (tmp_path / "file").read_bytes() == BODY
    assert len(server.seen) == 1
