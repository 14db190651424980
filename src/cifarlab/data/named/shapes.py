"""``shapes10``: images of ten drawn shapes, made in seconds without any download.

Position, size, rotation, colours and background vary so much that a linear model on
the pixels fails, while a small convolutional net learns them.
"""

from __future__ import annotations

import math
from functools import cache as remember
from typing import Any

import numpy as np

from cifarlab.data.cache import Decoded
from cifarlab.data.split import Split
from cifarlab.errors import UsageError

SIDE = 32
CLASSES = (
    "circle",
    "square",
    "triangle",
    "star",
    "ring",
    "cross",
    "crescent",
    "heart",
    "arrow",
    "bar",
)
# Shapes are drawn this many times larger and averaged down, which smooths their edges.
OVERSAMPLING = 4
RADIUS = (8.0, 13.0)
# Largest angle by which a shape is turned from upright, either way, in radians.
TILT = math.radians(40)
# Smallest distance between the colours of shape and background, 0 to 441.
CONTRAST = 130.0
NOISE = 10.0
# Raise it when the drawings change, so that no cache returns the earlier images.
VERSION = 1


def key(train: int = 5000, test: int = 1000, seed: int = 0) -> str:
    """Return the key of the drawn images in the cache."""
    return f"shapes10-{VERSION}-{train}-{test}-{seed}"


def draw(train: int = 5000, test: int = 1000, seed: int = 0) -> Decoded:
    """Draw the dataset.

    Image ``i`` of a part depends on the seed, the part and ``i`` alone, so a larger
    dataset begins with the smaller one. Class counts differ by one at most.

    Args:
        train: number of training images, at least one of each class.
        test: number of test images, at least one of each class.
        seed: 0 or more; the same seed gives the same images.

    Raises:
        UsageError: too few images or a negative seed.

    Example:
        >>> draw(train=20, test=10).train.images.shape
        (20, 32, 32, 3)
    """
    if min(train, test) < len(CLASSES) or seed < 0:
        raise UsageError(
            f"shapes10 with {train} + {test} images and seed {seed}: each part needs at "
            f"least {len(CLASSES)} images, and the seed must be 0 or more"
        )
    return Decoded(
        name="shapes10",
        source=f"drawn by cifarlab (version {VERSION}, seed {seed})",
        class_names=CLASSES,
        train=_draw_part(train, seed, 0),
        test=_draw_part(test, seed, 1),
    )


def _draw_part(count: int, seed: int, part: int) -> Split:
    labels = np.arange(count, dtype=np.int64) % len(CLASSES)
    images = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    for i, label in enumerate(labels):
        images[i] = draw_image(int(label), np.random.default_rng([seed, part, i]))
    return Split(images=images, labels=labels)


def draw_image(label: int, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return one image of class ``label``, uint8 ``[32, 32, 3]``."""
    back, front = _two_colours(generator)
    mask = _mask(CLASSES[label], generator)[..., None]
    image = (1 - mask) * _texture(back, generator) + mask * _texture(front, generator)
    image += generator.normal(0.0, NOISE, image.shape)
    return np.asarray(image.clip(0, 255).round(), dtype=np.uint8)


def _two_colours(generator: np.random.Generator) -> np.ndarray[Any, Any]:
    while True:
        pair = generator.uniform(0, 255, (2, 3))
        if np.linalg.norm(pair[0] - pair[1]) >= CONTRAST:
            return pair


def _texture(colour: np.ndarray[Any, Any], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return a colour that fades across the image, with faint waves; float ``[32, 32, 3]``."""
    across, down = _grid()
    angle, wave_angle, phase = generator.uniform(0, 2 * math.pi, 3)
    fade = across * math.cos(angle) + down * math.sin(angle)
    period = generator.uniform(2.0, 8.0)
    wave = np.sin(period * (across * math.cos(wave_angle) + down * math.sin(wave_angle)) + phase)
    change = generator.uniform(-30, 30, 3)
    texture: np.ndarray[Any, Any] = (
        colour + fade[..., None] * change + wave[..., None] * generator.uniform(0, 18)
    )
    return texture


@remember
def _grid() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    down, across = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return across, down


def _mask(name: str, generator: np.random.Generator) -> np.ndarray[Any, Any]:
    """Return a mask of the shape, 0 to 1, float ``[32, 32]``."""
    from PIL import Image, ImageDraw

    radius = generator.uniform(*RADIUS)
    centre = generator.uniform(radius, SIDE - radius, 2)
    angle = generator.uniform(-TILT, TILT)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    large = Image.new("L", (SIDE * OVERSAMPLING, SIDE * OVERSAMPLING), 0)
    pencil = ImageDraw.Draw(large)
    # Later outlines cut holes into the first.
    for fill, outline in zip((255, 0), _outlines()[name], strict=False):
        points = (outline @ turn.T * radius + centre) * OVERSAMPLING
        pencil.polygon([(float(x), float(y)) for x, y in points], fill=fill)
    return np.asarray(large.reduce(OVERSAMPLING), dtype=np.float64) / 255


@remember
def _outlines() -> dict[str, list[np.ndarray[Any, Any]]]:
    """Return each shape's outline, and that of its hole if any, in a circle of radius 1."""
    arm = 0.3
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    heart = np.stack(
        [16 * np.sin(t) ** 3, -13 * np.cos(t) + 5 * np.cos(2 * t) + 2 * np.cos(3 * t)], axis=1
    )
    arrow = [(1, 0), (0.1, 0.75), (0.1, 0.25), (-1, 0.25), (-1, -0.25), (0.1, -0.25), (0.1, -0.75)]
    cross = [(1, arm), (arm, arm), (arm, 1), (-arm, 1), (-arm, arm), (-1, arm)]
    return {
        "circle": [_regular(40, 0.9)],
        "square": [_regular(4, 1.0)],
        "triangle": [_regular(3, 1.0)],
        "star": [_regular(10, np.tile([1.0, 0.42], 5))],
        "ring": [_regular(40, 0.95), _regular(40, 0.5)],
        "cross": [np.array(cross + [(-x, -y) for x, y in cross])],
        "crescent": [_regular(40, 0.95), _regular(40, 0.8) + np.array([0.5, 0.0])],
        "heart": [heart / 17],
        "arrow": [np.array(arrow)],
        "bar": [np.array([(1, 0.28), (-1, 0.28), (-1, -0.28), (1, -0.28)])],
    }


def _regular(corners: int, radii: float | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    angles = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(points * np.reshape(radii, (-1, 1)))
