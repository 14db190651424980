"""The server process, or several of them."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cifarlab.errors import UsageError
from cifarlab.serving.options import ServeOptions, settings_from_json

if TYPE_CHECKING:
    from fastapi import FastAPI

# How the settings reach the processes that uvicorn starts.
VARIABLE = "CIFARLAB_SERVE"
NEEDED = ("fastapi", "uvicorn", "gradio", "prometheus_client", "python_multipart")


def check_packages(page: bool = True) -> None:
    """Raise ``UsageError`` unless everything that serving needs is installed."""
    wanted = [name for name in NEEDED if page or name != "gradio"]
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"serving needs {', '.join(missing)}, which is not installed; "
            "run: pip install 'cifarlab[serve]'"
        )


def serve(settings: ServeOptions, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in work are finished first.

    Raises:
        UsageError: a package is missing.
    """
    check_packages(settings.page)
    import uvicorn

    with _environment(settings, workers):
        uvicorn.run(
            "cifarlab.serving.server:app_of_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=max(1, round(settings.grace)),
            server_header=False,
        )


def app_of_environment() -> FastAPI:
    """Return the application that ``serve`` was asked for; each process calls this once."""
    from cifarlab.serving.app import create_app

    return create_app(settings_from_json(os.environ[VARIABLE]))


@contextmanager
def _environment(settings: ServeOptions, workers: int) -> Iterator[None]:
    from cifarlab.serving.metrics import FOLDER

    before = dict(os.environ)
    os.environ[VARIABLE] = settings.to_json()
    try:
        with tempfile.TemporaryDirectory(prefix="cifarlab-") as folder:
            if workers > 1:
                os.environ[FOLDER] = folder
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
