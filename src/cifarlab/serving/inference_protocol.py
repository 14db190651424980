"""The Open Inference Protocol, version 2, over HTTP: tensors in, probabilities out.

The protocol that KServe, Triton and others speak (github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from cifarlab import __version__
from cifarlab.classifier import Classifier
from cifarlab.errors import InputError, TooLargeError
from cifarlab.exporting import INPUT, OUTPUT
from cifarlab.exporting.files import as_text
from cifarlab.exporting.preparing import preparation
from cifarlab.serving.answers import Problem, answer, problems
from cifarlab.serving.model_worker import ModelWorker, State
from cifarlab.serving.options import ServeOptions


class Tensor(BaseModel):
    """A tensor; ``data`` is flat or nested, row by row."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=8)
    datatype: str
    data: list[Any]


class InferenceRequest(BaseModel):
    """Images as one tensor, ``UINT8 [n, height, width, channels]``, 0 to 255."""

    id: str | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=1)


class InferenceResponse(BaseModel):
    """Probabilities as one tensor, ``FP32 [n, classes]``."""

    model_name: str
    id: str | None = None
    outputs: list[Tensor]


class TensorFacts(BaseModel):
    """Name, type and shape of a tensor; -1 stands for any number."""

    name: str
    datatype: str
    shape: list[int]


class ModelFacts(BaseModel):
    """The inputs and outputs of the model; ``properties`` say how images become its input."""

    name: str
    platform: str
    properties: dict[str, str]
    inputs: list[TensorFacts]
    outputs: list[TensorFacts]


class ServerFacts(BaseModel):
    """Name and version of this server."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    live: Literal[True] = True


class Ready(BaseModel):
    ready: bool


def protocol_router(options: ServeOptions, worker: ModelWorker) -> APIRouter:
    """Return the protocol's endpoints for one model."""
    router = APIRouter(prefix="/v2")

    def check(name: str) -> None:
        if name != options.name:
            raise HTTPException(404, f"no model is called {name!r}; there is {options.name!r}")

    def readiness() -> JSONResponse:
        ready = worker.state is State.READY
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    unready: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "Not ready"}}

    @router.get("")
    def server() -> ServerFacts:
        """Describe this server."""
        return ServerFacts(name="cifarlab", version=__version__, extensions=[])

    @router.get("/health/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live()

    @router.get("/health/ready", response_model=Ready, responses=unready)
    async def ready() -> JSONResponse:
        """Whether the model is loaded, warmed up and working."""
        return readiness()

    @router.get(
        "/models/{name}/ready",
        response_model=Ready,
        responses={**unready, 404: {"model": Problem, "description": "No such model"}},
    )
    async def model_ready(name: str) -> JSONResponse:
        """Whether the model is loaded, warmed up and working."""
        check(name)
        return readiness()

    @router.get("/models/{name}", responses=problems(404, 503))
    async def model(name: str) -> ModelFacts:
        """Describe the inputs and outputs of the model."""
        check(name)
        classifier = worker.ready_classifier()
        how = preparation(classifier.image_format)
        return ModelFacts(
            name=name,
            platform="cifarlab_keras",
            properties={key: as_text(value) for key, value in how.items()},
            inputs=[TensorFacts(name=INPUT, datatype="UINT8", shape=[-1, *classifier.input_shape])],
            outputs=[
                TensorFacts(name=OUTPUT, datatype="FP32", shape=[-1, len(classifier.class_names)])
            ],
        )

    @router.post(
        "/models/{name}/infer",
        response_model=InferenceResponse,
        responses=problems(400, 404, 413, 422, 503),
    )
    async def infer(name: str, request: InferenceRequest) -> JSONResponse:
        """Classify images that are already of the model's size."""
        check(name)
        classifier = worker.ready_classifier()
        images = _images(request.inputs[0], classifier, options.images)
        probabilities = await answer(worker, images, options.timeout)
        output = {
            "name": OUTPUT,
            "shape": list(probabilities.shape),
            "datatype": "FP32",
            "data": probabilities.ravel().tolist(),
        }
        reply = {"model_name": name, "outputs": [output]}
        return JSONResponse(reply if request.id is None else {**reply, "id": request.id})

    return router


def _images(tensor: Tensor, classifier: Classifier, most: int) -> np.ndarray[Any, Any]:
    """Return uint8 ``[N, H, W, C]``.

    Raises:
        TooLargeError: more than ``most`` images.
        InputError: another datatype or shape, or values that are not bytes.
    """
    expected = classifier.input_shape
    if tensor.datatype != "UINT8" or tuple(tensor.shape[1:]) != expected or tensor.shape[0] < 1:
        raise InputError(
            f"input {tensor.name!r} is {tensor.datatype} {tensor.shape}; this model takes "
            f"UINT8 [n, {', '.join(map(str, expected))}]: convert or resize it"
        )
    if tensor.shape[0] > most:
        raise TooLargeError(
            f"{tensor.shape[0]} images in one request; at most {most} are taken; send several"
        )
    try:
        values = np.array(tensor.data)
        if values.dtype.kind not in "iu" or values.min() < 0 or values.max() > 255:
            raise ValueError("values must be whole numbers from 0 to 255")
        return values.astype(np.uint8).reshape(tensor.shape)
    except (ValueError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"input {tensor.name!r}: its data does not fit ({reason}); "
            f"give {' x '.join(map(str, tensor.shape))} bytes"
        ) from None
