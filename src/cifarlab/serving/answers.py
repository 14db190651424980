"""What the endpoints share: errors in one JSON form, and waiting for the model."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from cifarlab.errors import InputError, TooLargeError, UnsupportedFormatError
from cifarlab.serving.limits import RETRY_AFTER
from cifarlab.serving.model_worker import ModelWorker, NotReadyError


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    error: str


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return FastAPI's description of these statuses."""
    return {status: {"model": Problem, "description": WORDS[status]} for status in statuses}


WORDS = {
    400: "The request cannot be read",
    404: "No such model",
    413: "Too many bytes, pixels or images",
    415: "Not an image of an accepted format",
    422: "An image or value that cannot be used",
    503: "Busy, warming up or failed; see Retry-After",
}


async def answer(
    worker: ModelWorker, images: np.ndarray[Any, Any], timeout: float
) -> np.ndarray[Any, Any]:
    """Return probabilities; see ``ModelWorker.predict``.

    Raises:
        NotReadyError: also when it takes longer than ``timeout`` seconds.
    """
    try:
        async with asyncio.timeout(timeout):
            return await worker.predict(images)
    except TimeoutError:
        raise NotReadyError(f"no answer within {timeout:g} s; try again") from None


def say_errors_in_one_line(app: FastAPI) -> None:
    """Make every error a JSON object with one line in ``error``."""

    def bad_input(_: Request, error: Exception) -> JSONResponse:
        status = 422
        if isinstance(error, TooLargeError):
            status = 413
        elif isinstance(error, UnsupportedFormatError):
            status = 415
        return JSONResponse({"error": str(error)}, status)

    def not_ready(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503, {"Retry-After": str(RETRY_AFTER)})

    def misused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{field}: {first['msg']}; see /openapi.json"}, 422)

    def refused(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)

    app.add_exception_handler(InputError, bad_input)
    app.add_exception_handler(NotReadyError, not_ready)
    app.add_exception_handler(RequestValidationError, misused)
    app.add_exception_handler(HTTPException, refused)
