"""Saliency: which parts of an image speak for a class.

Everything here explains the model's answer for the image itself, without test-time augmentation,
and leaves the classifier unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.backend import KerasModel, keras
from cifarlab.classifier import Classifier
from cifarlab.errors import InputError
from cifarlab.lowering.graph import KerasModule
from cifarlab.lowering.model import LoweredModel
from cifarlab.lowering.watching import watched
from cifarlab.lowering.weighted_layers import Convolution, SeparableConvolution

Array = np.ndarray[Any, Any]

# Images per batch, so that memory does not grow with their number.
BATCH = 128
# A map whose side is at least this share of the image's is fine enough to locate something.
FINE_ENOUGH = 1 / 5
# What an image is compared with: mid-grey, which is as far from white as from black. With black,
# dark pixels could never be the reason for anything.
GREY = 127.5
CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def grad_cam(classifier: Classifier, images: Array, classes: Array | None = None) -> Array:
    """Return how much each part of an image speaks for a class, from a convolution's output map.

    Gradient-weighted class activation maps (Selvaraju et al., "Grad-CAM", ICCV 2017) in the
    element-wise variant of Draelos & Carin ("Use HiResCAM instead of Grad-CAM", 2020): gradient
    times activation at each position, summed over the channels, with negative sums set to 0.
    With a shape in one quarter of the image, 98% of this map lies in that quarter for ``airnet``
    with or without residuals, where Grad-CAM's mean gradient gives 91 and 80%; for a small
    ``baseline`` it is 60 against 67%.

    The map is the last one after a convolution whose side is at least a fifth of the image's
    (``airnet`` ends at 3x3, which is too coarse), or the last of the largest where none is; it is
    enlarged bilinearly.

    Args:
        images: uint8 ``[N, H, W, C]`` of the model's size, 0 to 255.
        classes: int ``[N]``, which class to explain for each image; by default the predicted.

    Returns:
        float32 ``[N, H, W]``, 0 to 1; each image's largest value is 1, or all are 0 where
        nothing speaks for the class.

    Raises:
        InputError: the model has no convolution, or images or classes that do not fit it.
    """
    chosen = _classes(classifier, images, classes)
    call = _last_fine_map(classifier)
    parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
    heat = [_heat(classifier.lowered, images[part], chosen[part], call) for part in parts]
    return _up_to_one(np.concatenate(heat))


def integrated_gradients(
    classifier: Classifier, images: Array, classes: Array | None = None, steps: int = 32
) -> Array:
    """Return how much each pixel matters for a class: the sum of its absolute ``attributions``.

    Finer and noisier than ``grad_cam``; works for every model, with convolutions or without.

    Args:
        images, classes, steps: as for ``attributions``.

    Returns:
        float32 ``[N, H, W]``, 0 to 1; each image's largest value is 1, or all are 0.

    Raises:
        InputError: images, classes or steps that do not fit.
    """
    return _up_to_one(np.abs(attributions(classifier, images, classes, steps)).sum(axis=3))


def attributions(
    classifier: Classifier, images: Array, classes: Array | None = None, steps: int = 32
) -> Array:
    """Return what each value of an image adds to the logit of a class, by integrated gradients.

    The gradient is averaged along the straight line from a mid-grey image (127.5) to this one,
    and multiplied by the difference of the two; an image's attributions add up to the
    difference of the two logits, up to the error of a finite number of steps (Sundararajan et al.,
    "Axiomatic attribution for deep networks", ICML 2017).

    Args:
        images: uint8 ``[N, H, W, C]`` of the model's size, 0 to 255.
        classes: int ``[N]``, which class to explain for each image; by default the predicted.
        steps: at how many points of the line, 1 or more; each costs a pass through the model.

    Returns:
        float32 ``[N, H, W, C]``; positive values speak for the class.

    Raises:
        InputError: images, classes or steps that do not fit.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}: it must be 1 or more; use 32")
    chosen = _classes(classifier, images, classes)
    # Batches are filled with points across images, so that each batch is full.
    image, step = np.divmod(np.arange(len(images) * steps), steps)
    total = np.zeros(images.shape, np.float64)
    for start in range(0, len(image), BATCH):
        which = image[start : start + BATCH]
        share = ((step[start : start + BATCH] + 0.5) / steps).astype(np.float32)
        points = GREY + share[:, None, None, None] * (images[which].astype(np.float32) - GREY)
        np.add.at(total, which, _gradients(classifier.lowered, points, chosen[which]))
    return np.asarray((images - GREY) * total / steps, dtype=np.float32)


def feature_maps(classifier: Classifier, image: Array, layer: str | None = None) -> Array:
    """Return the output of one layer of the Keras model for one image.

    Args:
        image: uint8 ``[H, W, C]`` of the model's size, 0 to 255.
        layer: the name of a layer with maps as output; by default the first convolution.

    Returns:
        float32 ``[h, w, C]``, a map for each of the layer's channels.

    Raises:
        InputError: no such layer, no convolution, or an image that does not fit.
    """
    _classes(classifier, image[None], None)
    maps = _layers_with_maps(classifier.model)
    first = next((key for key, value in maps.items() if isinstance(value, CONVOLUTIONS)), None)
    name = first if layer is None else layer
    if name is None:
        raise _without_convolution(classifier)
    if name not in maps:
        raise InputError(
            f"layer {name!r} of model {classifier.model.name!r} has no maps as output; "
            f"those that have are {', '.join(maps)}"
        )
    # Named, so that Keras's numbering of the user's own models is left alone.
    upto = keras.Model(classifier.model.inputs[0], maps[name].output, name="feature_maps")
    with torch.no_grad():
        output = upto(image[None].astype(np.float32), training=False)
    return np.asarray(keras.ops.convert_to_numpy(output)[0], dtype=np.float32)


def first_layer_filters(classifier: Classifier) -> Array:
    """Return the filters of the first convolution, float32 ``[n, height, width, C]``.

    They are the model's weights unscaled: of either sign and any size. C is that of the images.

    Raises:
        InputError: the model has no convolution, or its first one does not see the image's
            channels.
    """
    first = next((m for m in classifier.lowered.modules() if _is_convolution(m)), None)
    if first is None:
        raise _without_convolution(classifier)
    kernel = first.kernel if isinstance(first, Convolution) and first.groups == 1 else None
    if kernel is None or kernel.shape[1] != classifier.input_shape[2]:
        raise InputError(
            f"the first convolution of model {classifier.model.name!r} does not apply its own "
            "filters to the image's channels; feature_maps shows its output"
        )
    return np.asarray(kernel.detach().permute(0, 2, 3, 1).cpu().numpy(), dtype=np.float32)


# --- gradients


def _last_fine_map(classifier: Classifier) -> int:
    """Return the number of the last call after a convolution whose maps are fine enough."""
    calls: list[tuple[int, int]] = []
    seen = False

    def note(layer: nn.Module, number: int, output: Any) -> None:
        nonlocal seen
        seen = seen or _is_convolution(layer)
        if seen and isinstance(output, Tensor) and output.ndim == 4:
            calls.append((number, min(output.shape[2:])))

    shape = classifier.input_shape
    with watched(classifier.lowered, note), torch.no_grad():
        classifier.lowered(torch.zeros(1, *shape, device=classifier.lowered.device))
    if not calls:
        raise _without_convolution(classifier)
    enough = min(max(side for _, side in calls), min(shape[:2]) * FINE_ENOUGH)
    return [number for number, side in calls if side >= enough][-1]


def _heat(lowered: LoweredModel, pixels: Array, classes: Array, call: int) -> Array:
    maps: list[Tensor] = []

    def begin_here(_: nn.Module, number: int, output: Any) -> Any:
        if number != call:
            return None
        # Nothing before this call needs a gradient.
        maps.append(output.detach().requires_grad_())
        return maps[0]

    with watched(lowered, begin_here), torch.enable_grad():
        logits = _wanted(lowered, torch.tensor(pixels, device=lowered.device), classes)
        (slope,) = torch.autograd.grad(logits.sum(), maps, materialize_grads=True)
    heat = (slope * maps[0].detach()).sum(1, keepdim=True).relu()
    spread = F.interpolate(heat, pixels.shape[1:3], mode="bilinear", align_corners=False)
    return np.asarray(spread[:, 0].cpu().numpy())


def _gradients(lowered: LoweredModel, pixels: Array, classes: Array) -> Array:
    with watched(lowered, _nothing), torch.enable_grad():
        x = torch.from_numpy(pixels).to(lowered.device).requires_grad_()
        logits = _wanted(lowered, x, classes)
        (slope,) = torch.autograd.grad(logits.sum(), x, materialize_grads=True)
    return np.asarray(slope.cpu().numpy())


def _nothing(*_: Any) -> None:
    """Ignore the output: ``watched`` is wanted for evaluation mode alone."""


def _wanted(lowered: LoweredModel, x: Tensor, classes: Array) -> Tensor:
    logits: Tensor = lowered(x)
    return logits.gather(1, torch.from_numpy(classes).to(logits.device)[:, None])


# --- checks and shapes


def _classes(classifier: Classifier, images: Array, classes: Array | None) -> Array:
    """Return int64 ``[N]``: ``classes``, or what the classifier predicts; check the images."""
    count = len(classifier.class_names)
    predicted = classifier.predict_proba(images).argmax(axis=1)
    wanted = predicted if classes is None else np.asarray(classes)
    fits = wanted.shape == predicted.shape and np.issubdtype(wanted.dtype, np.integer)
    if not fits or wanted.min() < 0 or wanted.max() >= count:
        raise InputError(
            f"classes {wanted.dtype} {list(wanted.shape)} for {len(images)} images: "
            f"give an integer from 0 to {count - 1} for each"
        )
    return wanted.astype(np.int64)


def _up_to_one(saliency: Array) -> Array:
    top = saliency.max(axis=(1, 2), keepdims=True)
    # Where nothing matters there is nothing to divide.
    return np.asarray(saliency / np.where(top > 0, top, 1), dtype=np.float32)


def _is_convolution(module: nn.Module) -> bool:
    if isinstance(module, KerasModule):
        return isinstance(module.operation[0], CONVOLUTIONS)
    return isinstance(module, (Convolution, SeparableConvolution))


def _layers_with_maps(model: KerasModel) -> dict[str, Any]:
    """Return the layers with maps as output, by name; those that are called twice are left out."""
    layers = {}
    for layer in model.layers:
        # Keras knows no single output of a layer that is called more than once.
        output = getattr(layer, "output", None)
        shape = getattr(output, "shape", ())
        if len(shape) == 4 and not isinstance(layer, keras.layers.InputLayer):
            layers[layer.name] = layer
    return layers


def _without_convolution(classifier: Classifier) -> InputError:
    return InputError(
        f"model {classifier.model.name!r} has no convolution; "
        "integrated_gradients works for every model"
    )
