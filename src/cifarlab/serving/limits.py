"""Admission: requests beyond the limit are refused before their body is read."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from cifarlab.serving.metrics import ServerMetrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

# Seconds after which a client that was refused may try again.
RETRY_AFTER = 1
BUSY = "too many requests in flight or queued; try again in a second"


class Admission:
    """ASGI middleware: at most ``most`` predictions at a time; more get 503 at once.

    It also counts and times them. Everything else passes.
    """

    def __init__(self, app: Application, most: int, metrics: ServerMetrics) -> None:
        self.app, self.most, self.metrics = app, most, metrics
        self.in_flight = 0
        self._refusal = json.dumps({"error": BUSY}).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        route = _route(scope)
        if route is None:
            await self.app(scope, receive, send)
        elif self.in_flight >= self.most:
            self.metrics.requests.labels(route, 503).inc()
            await self._refuse(send)
        else:
            await self._admit(route, scope, receive, send)

    async def _admit(self, route: str, scope: Scope, receive: Receive, send: Send) -> None:
        status = 499

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.in_flight += 1
        self.metrics.in_flight.inc()
        began = time.perf_counter()
        try:
            await self.app(scope, receive, noting)
        finally:
            self.in_flight -= 1
            self.metrics.in_flight.dec()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)
            self.metrics.requests.labels(route, status).inc()

    async def _refuse(self, send: Send) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self._refusal)).encode()),
            (b"retry-after", str(RETRY_AFTER).encode()),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": self._refusal})


def _route(scope: Scope) -> str | None:
    """Return which kind of prediction is asked for, if any."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path: str = scope["path"]
    if path == "/predict":
        return path
    return "/v2/infer" if path.startswith("/v2/models/") and path.endswith("/infer") else None
