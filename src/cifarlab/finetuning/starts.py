"""What fine-tuning starts from: a backbone, the packaged model, a run, a file, or Keras's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UsageError
from cifarlab.finetuning.keras_applications import PREFIX, application, find_application
from cifarlab.models.backbones import BACKBONES
from cifarlab.models.backbones.backbone import Shape, load_backbone
from cifarlab.models.backbones.inputs import enlarged
from cifarlab.runs.directory import find_run
from cifarlab.saving.model_file import load_model
from cifarlab.saving.pretrained import NAME as PACKAGED
from cifarlab.saving.pretrained import read_pretrained
from cifarlab.saving.safe_contents import SUFFIXES

# Images whose longer side is shorter than this are enlarged inside of a network that was trained
# on photographs; larger ones are left as they are.
SMALLEST_SIDE = 96


@dataclass(frozen=True, kw_only=True)
class Start:
    """A trained network without its last layer.

    Attributes:
        name: what the user calls it.
        shape: of the images that it takes, or ``None`` for any.
        photo_size: the side that photographs are brought to for it.
        build: from an input shape to the network, with its weights: images
            ``[N, *input_shape]``, values from 0 to 255, to features ``[N, F]``.
    """

    name: str
    shape: Shape | None
    photo_size: int
    build: Callable[[Shape], KerasModel]


def find_start(name: str) -> Start:
    """Return what ``--from`` names.

    Args:
        name: a name in ``BACKBONES``, ``"cifar10"``, ``"keras:MobileNetV2"`` and the like, a run
            directory, or a ``.keras`` or ``.h5`` file.

    Raises:
        UsageError: an unknown name.
        InputError, UnsafeError: no run, or no model that may be loaded or fine-tuned.

    Example:
        >>> find_start("cifar10").shape
        (32, 32, 3)
    """
    if name in BACKBONES:
        backbone = BACKBONES[name]
        return Start(
            name=name,
            shape=None,
            photo_size=backbone.image_size,
            build=lambda shape: load_backbone(backbone, shape, _inner(shape, backbone.image_size)),
        )
    if name == PACKAGED:
        return _of_model(name, read_pretrained().model)
    if name.startswith(PREFIX):
        found = find_application(name)
        return Start(
            name=name,
            shape=None,
            photo_size=found.image_size,
            build=lambda shape: application(found, shape, _inner(shape, found.image_size)),
        )
    path = Path(name)
    if path.suffix in SUFFIXES:
        return _of_model(name, load_model(path).model)
    if path.is_dir():
        return _of_model(name, load_model(find_run(path).best_keras).model)
    raise UsageError(
        f"cannot fine-tune {name!r}; choose from {', '.join([*BACKBONES, PACKAGED])}, "
        f"{PREFIX}MobileNetV2 and the like, or give a run directory or a .keras file"
    )


def without_last_layer(model: KerasModel) -> KerasModel:
    """Return a classifier from its images to what its last layer with weights is given.

    Raises:
        InputError: it does not end in a dense layer on one row of values an image.
    """
    weighted = [layer for layer in model.layers if layer.weights]
    last = weighted[-1] if weighted else None
    if not isinstance(last, keras.layers.Dense) or len(last.input.shape) != 2:
        raise InputError(
            f"model {model.name!r} does not end in a Dense layer on one row of values an image, so "
            "that there is no last layer to replace; choose another one to start from"
        )
    return keras.Model(model.inputs[0], last.input, name=model.name)


def _of_model(name: str, model: KerasModel) -> Start:
    body = without_last_layer(model)
    height, width, channels = body.input_shape[1:]
    shape = (height, width, channels)
    return Start(
        name=name, shape=shape, photo_size=max(height, width), build=partial(_same, name, body)
    )


def _same(name: str, body: KerasModel, shape: Shape) -> KerasModel:
    expected = body.input_shape[1:]
    if tuple(shape) != tuple(expected):
        height, width, channels = expected
        colours = "rgb" if channels == 3 else "grey"
        raise InputError(
            f"{name} takes images {list(expected)}, the data has {list(shape)}; read them with "
            f"--image-size {height}x{width} --channels {colours}"
        )
    return body


def _inner(shape: Shape, side: int) -> tuple[int, int] | None:
    return enlarged(shape[0], shape[1], side=side, smallest=SMALLEST_SIDE)
