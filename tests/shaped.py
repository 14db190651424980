"""Small classifiers of other inputs than 32x32 RGB, and for each a file of another shape."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_image
from cifarlab.data.image_format import ImageFormat
from cifarlab.exporting.parity import comparison_images
from cifarlab.saving.model_file import save_model

NAMES = ("Äpfel", "birds & bees", "猫", "d")


def shaped_model(shape: tuple[int, int, int], seed: int = 3) -> Any:
    """Return a network whose answers depend on where in the image something is."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(4),
            layers.Flatten(),
            layers.Dense(len(NAMES), activation="softmax"),
        ]
    )


def shaped_classifier(image_format: ImageFormat, directory: Path) -> Classifier:
    """Return a classifier that was saved to a file in the directory, and read again."""
    path = directory / "shaped.keras"
    save_model(
        shaped_model(image_format.shape),
        path,
        class_names=NAMES,
        recipe={},
        resize_mode=image_format.resize_mode,
        bits=image_format.bits,
    )
    return Classifier.load(path, "cpu")


@dataclass(frozen=True, kw_only=True)
class Case:
    """An input, and the content of an image file that only its own options show rightly."""

    image_format: ImageFormat
    content: bytes

    @property
    def pixels(self) -> np.ndarray[Any, Any]:
        """What a model of this input sees of the file: uint8 ``[H, W, C]``."""
        wanted = self.image_format
        return decode_image(
            self.content,
            name="image.png",
            size=(wanted.height, wanted.width),
            resize_mode=wanted.resize_mode,
            channels=wanted.channels,
            bits=wanted.bits,
        )


def png(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[:, :, 0] if image.shape[2:] == (1,) else image).save(file, "PNG")
    return file.getvalue()


def twelve_bits(height: int, width: int) -> np.ndarray[Any, Any]:
    """Return a drawing as a 12-bit camera stores it: uint16 ``[height, width]``, up to 4095."""
    grey = comparison_images((height, width), 8, channels=1)[3, :, :, 0]
    low = np.random.default_rng(5).integers(0, 16, grey.shape)
    return np.asarray(grey.astype(np.uint16) * 16 + low, np.uint16)


PHOTO = png(comparison_images((48, 70), 8)[3])
CASES = {
    "28x28 grey, crop": Case(
        image_format=ImageFormat(height=28, width=28, channels=1, resize_mode="crop"),
        content=PHOTO,
    ),
    "32x64, pad": Case(
        image_format=ImageFormat(height=32, width=64, resize_mode="pad"), content=PHOTO
    ),
    "64x64, squash": Case(image_format=ImageFormat(height=64, width=64), content=PHOTO),
    "28x20 grey, pad, 12 bits": Case(
        image_format=ImageFormat(height=28, width=20, channels=1, resize_mode="pad", bits=12),
        content=png(twelve_bits(30, 41)),
    ),
}
