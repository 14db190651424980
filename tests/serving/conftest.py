"""A tiny model behind the server, in this process and in one of its own."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.saving.model_file import save_model
from cifarlab.serving.app import create_app
from cifarlab.serving.options import ServeOptions
from tiny import CLASSES, SIDE

OPTIONS = ServeOptions(name="tiny", page=False, body=200_000, pixels=10_000)


def tiny_model() -> Any:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )


def tiny_classifier() -> Classifier:
    return Classifier.from_keras(tiny_model(), CLASSES, "cpu")


def png(image: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def noise(seed: int, side: int = SIDE) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def wait_until_ready(client: TestClient) -> None:
    for _ in range(3000):
        if client.get("/v2/health/ready").status_code == 200:
            return
    raise AssertionError("the model never became ready")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return tiny_classifier()


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(OPTIONS, tiny_classifier)) as made:
        wait_until_ready(made)
        yield made


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    save_model(tiny_model(), path, class_names=CLASSES, recipe={})
    return path
