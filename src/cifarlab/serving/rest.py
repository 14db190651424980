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
from cifarlab.data.image import ACCEPTED, decode_as
from cifarlab.errors import InputError, TooLargeError
from cifarlab.predictions import Predictions
from cifarlab.serving.answers import answer, problems
from cifarlab.serving.model_worker import ModelWorker
from cifarlab.serving.options import ServeOptions

OLD_FIELD = "pictures"  # of version 0.1
DEPRECATED = "deprecated: send the field images instead"


class Choice(BaseModel):
    """A class and how likely it is, 0 to 1."""

    class_: str = Field(alias="class")
    probability: float


class Prediction(BaseModel):
    """The likeliest classes of one image."""

    image: str
    top: list[Choice]
    sure: bool | None


class Answer(BaseModel):
    """The predictions, in the order of the images in the request."""

    model: str
    predictions: list[Prediction]


def predict_router(
    options: ServeOptions, worker: ModelWorker, pool: ThreadPoolExecutor
) -> APIRouter:
    """Return the endpoint; ``pool`` decodes the images."""
    router = APIRouter()

    @router.post("/predict", response_model=Answer, responses=problems(400, 413, 415, 422, 503))
    async def predict(
        images: Annotated[
            list[UploadFile],
            File(default_factory=list, description=f"At least one image: {ACCEPTED}"),
        ],
        more_images: Annotated[
            list[UploadFile],
            File(alias=OLD_FIELD, default_factory=list, deprecated=True, description=DEPRECATED),
        ],
        top: Annotated[int, Query(ge=1, le=1000, description="How many classes")] = 3,
        resize_mode: Annotated[
            Literal["squash", "crop", "pad"] | None,
            Query(description="For images of another shape; by default as in training"),
        ] = None,
    ) -> JSONResponse:
        """Classify images of any size; all of them must be readable."""
        uploads = images + more_images
        if not uploads:
            raise InputError("no images in the request; send files in the form field images")
        if len(uploads) > options.images:
            raise TooLargeError(
                f"{len(uploads)} images in one request; at most {options.images} are taken; "
                "send several requests"
            )
        classifier = worker.ready_classifier()
        image_format = classifier.image_format.resized_by(resize_mode)
        names = [image.filename or "image" for image in uploads]
        loop = asyncio.get_running_loop()

        def decode(number: int, content: bytes) -> np.ndarray[Any, Any]:
            return decode_as(image_format, content, name=names[number], max_pixels=options.pixels)

        decoded = [
            await loop.run_in_executor(pool, decode, number, await image.read())
            for number, image in enumerate(uploads)
        ]
        probabilities = await answer(worker, np.stack(decoded), options.timeout)
        return JSONResponse(_answer(options.name, classifier, probabilities, names, top))

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
