"""The server as its users run it: a process, real sockets, signals and disconnections."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cifarlab.serving.options import ServeOptions, options_from_json
from cifarlab.serving.server import VARIABLE, serve
from serving.conftest import noise, png
from support import posix_only

BOUNDARY = "b"
BODY = (
    b'--b\r\nContent-Disposition: form-data; name="images"; filename="p.png"\r\n\r\n'
    + png(noise(1))
    + b"\r\n--b--\r\n"
)
HEADERS = {"Content-Type": "multipart/form-data; boundary=b"}


@contextmanager
def serving(model: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cifarlab", "serve", str(model), "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--no-page", *arguments], stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: process.poll() is not None or status(port, "/v2/health/ready") == 200)
        assert process.poll() is None, process.communicate()[1]
        yield process, port
    finally:
        # Not killed: it ends its workers.
        process.terminate()
        process.communicate()


def until(condition) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


def status(port: int, path: str) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def post(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/predict", BODY, HEADERS)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@posix_only
def test_sigterm_under_load_finishes_what_was_begun(model_file):
    with serving(model_file) as (process, port):
        statuses: list[int] = []
        cut_off: list[Exception] = []
        told = threading.Event()

        def client() -> None:
            while True:
                try:
                    statuses.append(post(port))
                except ConnectionRefusedError:
                    return
                except (OSError, http.client.HTTPException) as error:
                    # Accepted by the kernel, never by the server: only after it was told to stop.
                    if not told.is_set():
                        cut_off.append(error)
                    return

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: len(statuses) > 100)
        # A request that is half sent when the signal comes is finished and answered.
        half = socket.create_connection(("127.0.0.1", port))
        head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n"
        head += f"Content-Type: {HEADERS['Content-Type']}\r\n\r\n"
        half.sendall(head.encode() + BODY[:50])
        until(lambda: len(statuses) > 150)
        told.set()
        process.send_signal(signal.SIGTERM)
        half.sendall(BODY[50:])
        assert half.recv(1000).startswith(b"HTTP/1.1 200")
        half.close()
        for thread in threads:
            thread.join()
        # Before the deadline for requests in flight, 10 s, was up: it was not killed.
        assert process.wait(60) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        assert set(statuses) == {200}
        assert not cut_off
        assert status(port, "/v2/health/live") is None


@posix_only
def test_clients_that_go_away_leave_nothing_behind(model_file):
    with serving(model_file, "--queue", "8") as (process, port):
        watched = psutil.Process(process.pid)

        def leave(count: int) -> None:
            for i in range(count):
                gone = socket.create_connection(("127.0.0.1", port))
                head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n"
                head += f"Content-Type: {HEADERS['Content-Type']}\r\n\r\n"
                gone.sendall(head.encode() + (BODY if i % 2 else BODY[:60]))
                gone.close()

        def settled() -> bool:
            return post(port) == 200 and watched.num_fds() <= files

        for _ in range(200):
            post(port)
        files = watched.num_fds() + 2
        leave(100)
        until(settled)
        memory = watched.memory_info().rss
        for _ in range(5):
            leave(100)
            for _ in range(100):
                assert post(port) in (200, 503)
        until(settled)
        assert watched.memory_info().rss < memory + 30 * 2**20


@posix_only
def test_options_reach_the_processes_that_serve(monkeypatch):
    options = ServeOptions(name="tiny", tta=False, queue=7)
    started = {}
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: started.update(os.environ))
    serve(options, "127.0.0.1", 1, workers=2)
    assert options_from_json(started[VARIABLE]) == options
    assert VARIABLE not in os.environ


@posix_only
def test_several_workers_count_together(model_file):
    with serving(model_file, "--workers", "2") as (_, port):
        until(lambda: [post(port) for _ in range(4)] == [200] * 4)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        lines = [line for line in text.splitlines() if 'status="200"' in line]
        assert sum(float(line.split()[-1]) for line in lines) >= 4


@pytest.mark.parametrize("arguments", [["--queue", "0"], ["no-such.keras"]])
def test_what_cannot_be_served_is_one_line(tmp_path, model_file, arguments):
    model = [] if arguments[0].endswith(".keras") else [str(model_file)]
    done = subprocess.run(
        [sys.executable, "-m", "cifarlab", "serve", *model, *arguments, "--no-page"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ},
        check=False,
    )
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("cifarlab: error: ")
    assert done.stderr.count("\n") == 1
