"""Images per second through REST, and what happens when there are far too many.

The server runs as its users run it, in a process of its own. Clients post JPEG files of about
10 kB on the same machine, and so share its cores.

Command: ``python -m benchmarks.serving``; see docs/serving.md.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.command import end_in_order_on_sigterm, positive, say
from benchmarks.http_load import Connection, Tally, closed_loop, open_loop, upload
from cifarlab.errors import CifarlabError, ResourceError
from cifarlab.runtime.device import choose_device
from cifarlab.runtime.environment import describe_hardware

HOST = "127.0.0.1"
SIDE, QUALITY = 160, 81
START_SECONDS = 120
OVERLOAD = 10


def image() -> bytes:
    """Return a JPEG file of about 10 kB: smooth shapes with grain."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (10, 10, 3), np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = generator.normal(0, 14, (SIDE, SIDE, 1)).astype(np.int16)
    file = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=QUALITY
    )
    return file.getvalue()


@contextmanager
def server(arguments: Sequence[str]) -> Iterator[int]:
    """Run ``cifarlab serve`` until the block ends; yield its port.

    Raises:
        ResourceError: it did not become ready.
    """
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "cifarlab", "serve", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ, "KERAS_BACKEND": "torch"})
    try:
        _wait_until_ready(process, port)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(START_SECONDS * 10):
        if process.poll() is not None:
            raise ResourceError(f"the server ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://{HOST}:{port}/v2/health/ready").close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise ResourceError(f"the server is not ready after {START_SECONDS} s")


async def measure(port: int, clients: int, seconds: float) -> dict[str, Any]:
    """Measure capacity, latency at half of it, and overload, one after the other."""
    request = upload(image(), HOST)
    await closed_loop(HOST, port, request, clients, 2.0)
    say("capacity")
    full, took = await closed_loop(HOST, port, request, clients, seconds)
    rate = len(full.latencies) / took
    say(f"{rate:.0f} images/s; half of that")
    half = await open_loop(HOST, port, request, clients, rate / 2, seconds)
    say("overload")
    offered = OVERLOAD * rate
    over = await open_loop(HOST, port, request, OVERLOAD * clients, offered, seconds)
    recovery = await _until_answered(port, request)
    return {
        "clients": clients,
        "seconds": seconds,
        "request_bytes": len(request),
        "capacity": {"images_per_second": rate, **_numbers(full)},
        "half": {"images_per_second": rate / 2, **_numbers(half)},
        "overload": {
            "clients": OVERLOAD * clients,
            "requests_per_second": offered,
            "images_per_second": len(over.latencies) / seconds,
            **_numbers(over),
            "seconds_to_recover": recovery,
        },
    }


async def _until_answered(port: int, request: bytes) -> float:
    began = time.perf_counter()
    tally = Tally()
    while not tally.latencies:
        await Connection(HOST, port).ask(request, tally)
    return time.perf_counter() - began


def _numbers(tally: Tally) -> dict[str, Any]:
    return {
        "sent": tally.sent,
        "answered": len(tally.latencies),
        "refused": tally.refused,
        "other": tally.other,
        "lost": tally.lost,
        "p50_ms": 1000 * tally.percentile(0.5),
        "p99_ms": 1000 * tally.percentile(0.99),
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a table for people."""
    columns = ("images/s", "p50 ms", "p99 ms", "sent", "200", "503", "other", "lost")
    lines = [f"{'':10}" + "".join(f"{name:>11}" for name in columns)]
    for name in ("capacity", "half", "overload"):
        one = figures[name]
        numbers = (one["images_per_second"], one["p50_ms"], one["p99_ms"])
        counts = (one[key] for key in ("sent", "answered", "refused", "other", "lost"))
        cells = [f"{x:.1f}" for x in numbers] + [f"{x:,}" for x in counts]
        lines.append(f"{name:10}" + "".join(f"{cell:>11}" for cell in cells))
    recovered = figures["overload"]["seconds_to_recover"]
    return "\n".join([*lines, f"answered {recovered:.2f} s after the overload ended"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    add = parser.add_argument
    add("--model", default="cifar10", help="as for cifarlab serve (%(default)s)")
    add(
        "--tta",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="test-time augmentation (%(default)s)",
    )
    add("--clients", type=positive, default=32, metavar="N", help="(%(default)s)")
    add("--seconds", type=positive, default=10, metavar="N", help="each part (%(default)s)")
    add("--json", action="store_true", help="JSON on stdout, nothing else")
    chosen = parser.parse_args(arguments)
    try:
        with server([chosen.model, "--tta" if chosen.tta else "--no-tta", "--no-page"]) as port:
            figures = asyncio.run(measure(port, chosen.clients, chosen.seconds))
    except CifarlabError as error:
        say(f"error: {error}")
        return error.exit_code
    figures = {"model": chosen.model, "tta": chosen.tta, **figures}
    figures["hardware"] = describe_hardware(choose_device("cpu"))
    print(json.dumps(figures, indent=2) if chosen.json else table(figures))
    return 0


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
