"""A light HTTP client for load: it shares the machine with the server that it measures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

BOUNDARY = b"cifarlab-boundary"


@dataclass(kw_only=True)
class Tally:
    """What came of many requests.

    Attributes:
        latencies: seconds of each answer 200.
        refused: answers 503 that said when to try again.
        other: any other answer.
        lost: requests without an answer.
    """

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    other: int = 0
    lost: int = 0

    @property
    def sent(self) -> int:
        """All requests."""
        return len(self.latencies) + self.refused + self.other + self.lost

    def percentile(self, share: float) -> float:
        """Return the latency that this share of the answers 200 kept, in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def upload(image: bytes, host: str) -> bytes:
    """Return a whole ``POST /predict`` with one JPEG."""
    body = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="images"; '
        b'filename="p.jpg"\r\nContent-Type: image/jpeg\r\n\r\n' + image
    )
    body += b"\r\n--" + BOUNDARY + b"--\r\n"
    head = (
        f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n\r\n"
    )
    return head.encode() + body


class Connection:
    """One keep-alive connection, opened again when the server has closed it."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes, tally: Tally, since: float | None = None) -> None:
        """Send one request and note what came of it; latency counts from ``since``."""
        began = time.perf_counter() if since is None else since
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self.host, self.port)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lower = head.lower()
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, IndexError):
            tally.lost += 1
            await self.close()
            return
        status = int(head[9:12])
        if status == 200:
            tally.latencies.append(time.perf_counter() - began)
        elif status == 503 and b"retry-after:" in lower:
            tally.refused += 1
        else:
            tally.other += 1
        if b"connection: close" in lower:
            await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed_loop(
    host: str, port: int, request: bytes, clients: int, seconds: float
) -> tuple[Tally, float]:
    """Let each client ask again as soon as it is answered; return the seconds it took too."""
    tally = Tally()
    began = time.perf_counter()

    async def client(connection: Connection) -> None:
        while time.perf_counter() - began < seconds:
            await connection.ask(request, tally)

    await _with_connections(host, port, clients, client)
    return tally, time.perf_counter() - began


async def open_loop(
    host: str, port: int, request: bytes, clients: int, rate: float, seconds: float
) -> Tally:
    """Send ``rate`` requests a second, whatever the answers; waiting to be sent counts."""
    tally = Tally()
    began = time.perf_counter()
    planned = iter([began + i / rate for i in range(int(rate * seconds))])

    async def client(connection: Connection) -> None:
        for due in planned:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await connection.ask(request, tally, due)

    await _with_connections(host, port, clients, client)
    return tally


async def _with_connections(
    host: str, port: int, count: int, client: Callable[[Connection], Awaitable[None]]
) -> None:
    connections = [Connection(host, port) for _ in range(count)]
    await asyncio.gather(*(client(connection) for connection in connections))
    for connection in connections:
        await connection.close()
