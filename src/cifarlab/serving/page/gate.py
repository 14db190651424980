"""What of Gradio's server can be reached: only what the page itself uses.

Gradio's server can do more than show this page. It fetches addresses for its callers
(``/gradio_api/file=http://…``, or a file whose path is an address), and it has endpoints for
editing apps, proxying and run histories. Where it is mounted in another application it even reads
any file of this machine whose path a caller gives as that of an upload. None of that may be open
here: a server of ours connects to nobody, and reads what was uploaded.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api"
FILE = f"{API}/file="
JOIN = f"{API}/queue/join"
# Whole paths, and beginnings of paths.
READ = frozenset(
    {
        *("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"),
        *(f"{API}/{name}" for name in ("info", "startup-events", "queue/data", "upload_progress")),
    }
)
READ_BELOW = ("/assets/", "/static/", f"{API}/heartbeat/", FILE)
WRITE = frozenset({JOIN, f"{API}/upload", f"{API}/reset", f"{API}/cancel"})
# Bytes of a request to the page: choices and the name of an upload, never the image itself.
LARGEST_REQUEST = 100_000


class PageGate:
    """ASGI middleware for Gradio's application: 404 for what the page does not use."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http" or not _is_open(scope["method"], _path(scope)):
            await _refuse(send, 404, "no such page")
        elif _path(scope) == JOIN:
            await self._ask(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            await _refuse(send, 413, f"at most {LARGEST_REQUEST:,} bytes are taken here")
        elif not _names_only_uploads(body):
            await _refuse(send, 422, "only images that were uploaded here are classified")
        else:
            await self.app(scope, _again(body, receive), send)


def _path(scope: Scope) -> str:
    """Return the path below where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "").rstrip("/")) or "/"


def _is_open(method: str, path: str) -> bool:
    if method == "POST":
        return path in WRITE
    address = path.removeprefix(FILE).strip().lower()
    if method not in ("GET", "HEAD") or address.startswith(("http:", "https:")):
        return False
    return path in READ or path.startswith(READ_BELOW)


async def _read(receive: Receive) -> bytes | None:
    """Return the request's body, or ``None`` if it is too large."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_REQUEST:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives ``body``, then what comes after it."""
    sent = False

    async def receive_again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _names_only_uploads(body: bytes) -> bool:
    try:
        waiting = [json.loads(body)]
    # Not JSON, or nested too deeply to read: not a request of this page.
    except (ValueError, RecursionError):
        return False
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            # Gradio reads, or fetches, what stands under this name.
            if "path" in value and not _is_upload(value["path"]):
                return False
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return True


def _is_upload(path: object) -> bool:
    from gradio.utils import get_upload_folder

    try:
        return Path(str(path)).resolve().is_relative_to(Path(get_upload_folder()).resolve())
    # Not a possible path, for example one with a zero byte.
    except (OSError, ValueError):
        return False


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
