"""The networks of ``keras.applications``, with the weights that Keras downloads and keeps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import NetworkError, UsageError
from cifarlab.models.backbones.backbone import Shape, Size
from cifarlab.models.backbones.inputs import in_colour, of_size

PREFIX = "keras:"
# What nearly all of them were trained on; the others take it too.
IMAGE_SIZE = 224


@dataclass(frozen=True, kw_only=True)
class Application:
    """A function of ``keras.applications``, and what its network wants done to pixels first."""

    name: str
    build: Callable[..., KerasModel]
    preprocess: Callable[[Any], Any]
    image_size: int = IMAGE_SIZE


def applications() -> dict[str, Application]:
    """Return all of them by name, as Keras spells it."""
    found = {}
    for name, value in vars(keras.applications).items():
        if inspect.isfunction(value):
            home = getattr(keras.applications, value.__module__.rpartition(".")[2], None)
            preprocess = getattr(home, "preprocess_input", None)
            if preprocess is not None:
                found[name] = Application(name=name, build=value, preprocess=preprocess)
    return found


def find_application(name: str) -> Application:
    """Return what ``"keras:NAME"`` names, in any case.

    Raises:
        UsageError: Keras has none of that name.

    Example:
        >>> find_application("keras:mobilenetv2").name
        'MobileNetV2'
    """
    wanted = name.removeprefix(PREFIX).casefold()
    known = applications()
    for spelled, found in known.items():
        if spelled.casefold() == wanted:
            return found
    raise UsageError(f"Keras has no network called {name!r}; choose from {', '.join(known)}")


def application(found: Application, input_shape: Shape, size: Size | None) -> KerasModel:
    """Return the network with ImageNet weights, without its last layer.

    Args:
        input_shape: height, width, and 3 channels or 1; images are values from 0 to 255.
        size: height and width that they are resized to inside; ``None`` for as they are.

    Returns:
        A ``keras.Model`` from ``[N, *input_shape]`` to features ``[N, F]``.

    Raises:
        NetworkError: the weights are not on this machine and cannot be downloaded.
        UsageError: the network does not take images of that size.
    """
    images = keras.Input(input_shape)
    x = found.preprocess(of_size(in_colour(images), size))
    try:
        body = found.build(include_top=False, weights="imagenet", input_tensor=x, pooling="avg")
    except ValueError as error:
        raise UsageError(f"{PREFIX}{found.name}: {' '.join(str(error).split())}") from error
    # What Keras's download raises is a plain Exception with the address in its text.
    except Exception as error:
        raise NetworkError(
            f"{PREFIX}{found.name}: its weights are not on this machine and cannot be downloaded "
            f"({' '.join(str(error).split())[:160]}); connect once, or use --from cifar10"
        ) from error
    return keras.Model(images, body.output, name=found.name)
