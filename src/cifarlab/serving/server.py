"""The server process, or several of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cifarlab.serving.options import ServeOptions, options_from_json
from cifarlab.serving.packages import check_packages

if TYPE_CHECKING:
    from fastapi import FastAPI

# How the options reach the processes that uvicorn starts.
VARIABLE = "CIFARLAB_SERVE"


def serve(options: ServeOptions, host: str, port: int, workers: int = 1) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are finished first.

    Raises:
        UsageError: a package is missing.
    """
    check_packages(page=options.page)
    import uvicorn

    with _environment(options, workers):
        uvicorn.run(
            "cifarlab.serving.server:app_of_environment",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=max(1, round(options.grace)),
            server_header=False,
        )


def app_of_environment() -> FastAPI:
    """Return the application that ``serve`` was asked for; each process calls this once."""
    from cifarlab.serving.app import create_app

    return create_app(options_from_json(os.environ[VARIABLE]))


@contextmanager
def _environment(options: ServeOptions, workers: int) -> Iterator[None]:
    from cifarlab.serving.metrics import FOLDER

    before = dict(os.environ)
    os.environ[VARIABLE] = options.to_json()
    try:
        with tempfile.TemporaryDirectory(prefix="cifarlab-") as folder:
            if workers > 1:
                os.environ[FOLDER] = folder
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)
