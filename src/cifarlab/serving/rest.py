"""``POST /predict``: images in, classes out."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, File, Query, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_image
from cifarlab.errors import TooLargeError
from cifarlab.predictions import Predictions
from cifarlab.serving.answers import answer, problems
from cifarlab.serving.model_worker import ModelWorker
from cifarlab.serving.options import ServeOptions


class Choice(BaseModel):
    """A class and how likely it is, 0 to 1."""

    class_: str = Field(alias="class")
    probability: float


class Prediction(BaseModel):
    """What one image shows."""

    image: str
    top: list[Choice]
    sure: bool | None


class Answer(BaseModel):
    """What the images show, in the order that they came in."""

    model: str
    predictions: list[Prediction]


def predict_router(
    settings: ServeOptions, worker: ModelWorker, pool: ThreadPoolExecutor
) -> APIRouter:
    """Return the endpoint; ``pool`` decodes the images."""
    router = APIRouter()

    @router.post("/predict", response_model=Answer, responses=problems(400, 413, 415, 422, 503))
    async def predict(
        images: Annotated[list[UploadFile], File(description="PNG, JPEG, WEBP, GIF or BMP")],
        top: Annotated[int, Query(ge=1, le=1000, description="How many classes")] = 3,
        resize_mode: Annotated[
            Literal["squash", "crop", "pad"], Query(description="For other shapes")
        ] = "squash",
    ) -> JSONResponse:
        """Say what is in images of any size; all of them must be readable."""
        if len(images) > settings.images:
            raise TooLargeError(
                f"{len(images)} images in one request; at most {settings.images} are taken; "
                "send several requests"
            )
        classifier = worker.ready_classifier()
        size = classifier.input_shape[0]
        names = [image.filename or "image" for image in images]
        loop = asyncio.get_running_loop()

        def decode(number: int, content: bytes) -> np.ndarray[Any, Any]:
            return decode_image(
                content,
                name=names[number],
                size=size,
                resize_mode=resize_mode,
                max_pixels=settings.pixels,
            )

        decoded = [
            await loop.run_in_executor(pool, decode, number, await image.read())
            for number, image in enumerate(images)
        ]
        probabilities = await answer(worker, np.stack(decoded), settings.timeout)
        return JSONResponse(_answer(settings.name, classifier, probabilities, names, top))

    return router


def _answer(
    model: str,
    classifier: Classifier,
    probabilities: np.ndarray[Any, Any],
    names: list[str],
    top: int,
) -> dict[str, Any]:
    best = Predictions(probabilities=probabilities, class_names=classifier.class_names).top(top)
    return {
        "model": model,
        "predictions": [
            {
                "image": name,
                "top": [{"class": c, "probability": p} for c, p in row],
                "sure": classifier.sure(row[0][1]),
            }
            for name, row in zip(names, best, strict=True)
        ],
    }
