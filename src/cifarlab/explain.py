"""Where a classifier looks: which places of a picture speak for a class.

All of it explains one plain look at the picture, without the further views that a classifier may
take, and leaves the classifier as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.engine.binding import LoweredLayer
from cifarlab.engine.graph import AsItself
from cifarlab.engine.lowering import LoweredModel
from cifarlab.engine.weighted_layers import Convolution, SeparableConvolution
from cifarlab.errors import InputError

Array = np.ndarray[Any, Any]

# Pictures that are worked on at a time, so that memory does not grow with their number.
BATCH = 128
# A map must have at least this share of the picture's side to tell places apart.
FINE_ENOUGH = 1 / 5
# What a picture is compared with: mid-grey, which is as far from white as from black. With black,
# dark places could never be the reason for anything.
GREY = 127.5
# How much of the picture the strongest heat hides, and how dark it is where there is none.
HEAT, DIMMED = 0.65, 0.75
CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


def grad_cam(classifier: Classifier, images: Array, classes: Array | None = None) -> Array:
    """Return how much each place of a convolution's map speaks for a class, over the picture.

    Gradient-weighted class activation maps (Selvaraju et al., "Grad-CAM", ICCV 2017) in the
    element-wise variant of Draelos & Carin ("Use HiResCAM instead of Grad-CAM", 2020): gradient
    times activation at each position, summed over the channels, what speaks against the class
    left out. With a shape in one quarter of the picture, 98% of this map lies in that quarter for
    ``airnet`` with or without residuals, where Grad-CAM's mean gradient gives 91 and 80%; for a
    small ``baseline`` it is 60 against 67%.

    The map is the last one after a convolution whose side is at least a fifth of the picture's
    (``airnet`` ends at 3x3, which tells too little), or the last of the largest where none is;
    it is enlarged bilinearly.

    Args:
        images: uint8 ``[N, H, W, 3]`` of the model's size, 0 to 255.
        classes: int ``[N]``, which class to explain for each picture; by default the predicted.

    Returns:
        float32 ``[N, H, W]``, 0 to 1; each picture's largest value is 1, or all are 0 where
        nothing speaks for the class.

    Raises:
        InputError: the model has no convolution, or images or classes that do not fit it.
    """
    chosen = _classes(classifier, images, classes)
    place = _finest_late_map(classifier)
    parts = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
    heat = [_heat(classifier.lowered, images[part], chosen[part], place) for part in parts]
    return _up_to_one(np.concatenate(heat))


def integrated_gradients(
    classifier: Classifier, images: Array, classes: Array | None = None, steps: int = 32
) -> Array:
    """Return how much each pixel matters for a class: ``attributions``, their sizes added up.

    Finer and noisier than ``grad_cam``; works for every model, with convolutions or without.

    Args:
        images, classes, steps: as for ``attributions``.

    Returns:
        float32 ``[N, H, W]``, 0 to 1; each picture's largest value is 1, or all are 0.

    Raises:
        InputError: images, classes or steps that do not fit.
    """
    return _up_to_one(np.abs(attributions(classifier, images, classes, steps)).sum(axis=3))


def attributions(
    classifier: Classifier, images: Array, classes: Array | None = None, steps: int = 32
) -> Array:
    """Return what each value of a picture adds to the logit of a class, by integrated gradients.

    The gradient is averaged along the straight way from a mid-grey picture (127.5) to this one,
    and multiplied with the difference of the two; a picture's attributions add up to the
    difference of the two logits, but for the finite number of steps (Sundararajan et al.,
    "Axiomatic attribution for deep networks", ICML 2017).

    Args:
        images: uint8 ``[N, H, W, 3]`` of the model's size, 0 to 255.
        classes: int ``[N]``, which class to explain for each picture; by default the predicted.
        steps: at how many points of the way, 1 or more; each costs a pass through the model.

    Returns:
        float32 ``[N, H, W, 3]``; positive values speak for the class.

    Raises:
        InputError: images, classes or steps that do not fit.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}: it must be 1 or more; use 32")
    chosen = _classes(classifier, images, classes)
    # Every point of every picture's way is worth a place in a batch.
    picture, step = np.divmod(np.arange(len(images) * steps), steps)
    total = np.zeros(images.shape, np.float64)
    for start in range(0, len(picture), BATCH):
        which = picture[start : start + BATCH]
        share = ((step[start : start + BATCH] + 0.5) / steps).astype(np.float32)
        ways = GREY + share[:, None, None, None] * (images[which].astype(np.float32) - GREY)
        np.add.at(total, which, _gradients(classifier.lowered, ways, chosen[which]))
    return np.asarray((images - GREY) * total / steps, dtype=np.float32)


def feature_maps(classifier: Classifier, image: Array, layer: str | None = None) -> Array:
    """Return what a layer of the Keras model makes of one picture.

    Args:
        image: uint8 ``[H, W, 3]`` of the model's size, 0 to 255.
        layer: the name of a layer that gives maps; by default the first convolution.

    Returns:
        float32 ``[h, w, C]``, a map for each of the layer's channels.

    Raises:
        InputError: no such layer, no convolution, or a picture that does not fit.
    """
    _classes(classifier, image[None], None)
    maps = _layers_with_maps(classifier.model)
    first = next((n for n, found in maps.items() if isinstance(found, CONVOLUTIONS)), None)
    name = first if layer is None else layer
    if name is None:
        raise _without_convolution(classifier)
    if name not in maps:
        raise InputError(
            f"layer {name!r} of model {classifier.model.name!r} gives no maps; "
            f"those that do are {', '.join(maps)}"
        )
    # Named, so that Keras's numbering of the user's own models is left alone.
    upto = keras.Model(classifier.model.inputs[0], maps[name].output, name="feature_maps")
    with torch.no_grad():
        found = upto(image[None].astype(np.float32), training=False)
    return np.asarray(keras.ops.convert_to_numpy(found)[0], dtype=np.float32)


def first_layer_filters(classifier: Classifier) -> Array:
    """Return the filters of the first convolution, float32 ``[n, height, width, 3]``.

    They are the model's weights as they are: of either sign and any size.

    Raises:
        InputError: the model has no convolution, or its first one does not see the three colours.
    """
    first = next((m for m in classifier.lowered.modules() if _is_convolution(m)), None)
    if first is None:
        raise _without_convolution(classifier)
    kernel = first.kernel if isinstance(first, Convolution) and first.groups == 1 else None
    if kernel is None or kernel.shape[1] != 3:
        raise InputError(
            f"the first convolution of model {classifier.model.name!r} does not turn three "
            "colours into maps by filters of its own; feature_maps shows what it gives"
        )
    return np.asarray(kernel.detach().permute(0, 2, 3, 1).cpu().numpy(), dtype=np.float32)


def overlay(image: Array, saliency: Array, size: int = 96) -> Array:
    """Lay heat over a picture: the more a place matters, the brighter and yellower it is.

    Args:
        image: uint8 ``[H, W, 3]``, 0 to 255.
        saliency: float ``[h, w]``, 0 to 1.
        size: height and width of the result in pixels.

    Returns:
        uint8 ``[size, size, 3]``: the picture enlarged, pixels left square, a little darker where
        nothing matters. The colours are matplotlib's "inferno", whose lightness rises with the
        value for colour-blind eyes too.

    Raises:
        InputError: shapes or values that do not fit.
    """
    from matplotlib import colormaps
    from PIL import Image

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or saliency.ndim != 2:
        raise InputError(
            f"image {image.dtype} {list(image.shape)} with saliency {list(saliency.shape)}: "
            "they must be uint8 [height, width, 3] and [height, width]"
        )
    if size < 1 or not (saliency.min() >= 0 and saliency.max() <= 1):
        raise InputError(
            f"size {size} with saliency from {saliency.min()} to {saliency.max()}: "
            "the size must be 1 or more and the saliency within 0 to 1; divide it by its maximum"
        )
    large = Image.fromarray(image).resize((size, size), Image.Resampling.NEAREST)
    smooth = Image.fromarray(saliency.astype(np.float32))
    heat = np.asarray(smooth.resize((size, size), Image.Resampling.BILINEAR)).clip(0, 1)
    colours = np.asarray(colormaps["inferno"](heat))[..., :3] * 255
    hidden = (HEAT * heat)[..., None]
    dimmed = np.asarray(large) * DIMMED
    return np.asarray(((1 - hidden) * dimmed + hidden * colours).round(), dtype=np.uint8)


# --- gradients


def _finest_late_map(classifier: Classifier) -> int:
    """Return the number of the last call after a convolution whose maps still tell places apart."""
    calls: list[tuple[int, int]] = []
    seen = False

    def note(layer: nn.Module, number: int, output: Any) -> None:
        nonlocal seen
        seen = seen or _is_convolution(layer)
        if seen and isinstance(output, Tensor) and output.ndim == 4:
            calls.append((number, min(output.shape[2:])))

    shape = classifier.input_shape
    with _watched(classifier.lowered, note), torch.no_grad():
        classifier.lowered(torch.zeros(1, *shape, device=classifier.lowered.device))
    if not calls:
        raise _without_convolution(classifier)
    enough = min(max(side for _, side in calls), min(shape[:2]) * FINE_ENOUGH)
    return [number for number, side in calls if side >= enough][-1]


def _heat(lowered: LoweredModel, pixels: Array, classes: Array, place: int) -> Array:
    maps: list[Tensor] = []

    def begin_here(_: nn.Module, number: int, output: Any) -> Any:
        if number != place:
            return None
        # Nothing before this call needs a gradient.
        maps.append(output.detach().requires_grad_())
        return maps[0]

    with _watched(lowered, begin_here), torch.enable_grad():
        logits = _wanted(lowered, torch.tensor(pixels, device=lowered.device), classes)
        (slope,) = torch.autograd.grad(logits.sum(), maps, materialize_grads=True)
    heat = (slope * maps[0].detach()).sum(1, keepdim=True).relu()
    spread = F.interpolate(heat, pixels.shape[1:3], mode="bilinear", align_corners=False)
    return np.asarray(spread[:, 0].cpu().numpy())


def _gradients(lowered: LoweredModel, pixels: Array, classes: Array) -> Array:
    with _watched(lowered, _nothing), torch.enable_grad():
        x = torch.from_numpy(pixels).to(lowered.device).requires_grad_()
        logits = _wanted(lowered, x, classes)
        (slope,) = torch.autograd.grad(logits.sum(), x, materialize_grads=True)
    return np.asarray(slope.cpu().numpy())


def _nothing(*_: Any) -> None:
    """Look at nothing."""


def _wanted(lowered: LoweredModel, x: Tensor, classes: Array) -> Tensor:
    logits: Tensor = lowered(x)
    return logits.gather(1, torch.from_numpy(classes).to(logits.device)[:, None])


@contextmanager
def _watched(lowered: LoweredModel, look: Callable[[nn.Module, int, Any], Any]) -> Iterator[None]:
    """In evaluation mode, show each layer's output to ``look``; then put everything back.

    ``look`` gets the layer, the number of the call and the output, and may return another output
    to go on with.
    """
    numbers = itertools.count()
    modes = {module: module.training for module in lowered.modules()}
    layers = [module for module in modes if isinstance(module, LoweredLayer)]
    losses = [list(module.added_losses) for module in lowered.foreign]

    def hook(layer: nn.Module, _: Any, output: Any) -> Any:
        return look(layer, next(numbers), output)

    handles = [layer.register_forward_hook(hook) for layer in layers]
    lowered.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
        for foreign, before in zip(lowered.foreign, losses, strict=True):
            foreign.added_losses[:] = before


# --- checks and shapes


def _classes(classifier: Classifier, images: Array, classes: Array | None) -> Array:
    """Return int64 ``[N]``: ``classes``, or what the classifier predicts; check the pictures."""
    count = len(classifier.class_names)
    predicted = classifier.probabilities(images).argmax(axis=1)
    wanted = predicted if classes is None else np.asarray(classes)
    fits = wanted.shape == predicted.shape and np.issubdtype(wanted.dtype, np.integer)
    if not fits or wanted.min() < 0 or wanted.max() >= count:
        raise InputError(
            f"classes {wanted.dtype} {list(wanted.shape)} for {len(images)} pictures: "
            f"give an integer from 0 to {count - 1} for each"
        )
    return wanted.astype(np.int64)


def _up_to_one(saliency: Array) -> Array:
    top = saliency.max(axis=(1, 2), keepdims=True)
    # Where nothing matters there is nothing to divide.
    return np.asarray(saliency / np.where(top > 0, top, 1), dtype=np.float32)


def _is_convolution(module: nn.Module) -> bool:
    if isinstance(module, AsItself):
        return isinstance(module.operation[0], CONVOLUTIONS)
    return isinstance(module, (Convolution, SeparableConvolution))


def _layers_with_maps(model: Any) -> dict[str, Any]:
    """Return the layers that give maps, by name; those that stand in several places left out."""
    found = {}
    for layer in model.layers:
        # Keras knows no single output of a layer that is called more than once.
        output = getattr(layer, "output", None)
        shape = getattr(output, "shape", ())
        if len(shape) == 4 and not isinstance(layer, keras.layers.InputLayer):
            found[layer.name] = layer
    return found


def _without_convolution(classifier: Classifier) -> InputError:
    return InputError(
        f"model {classifier.model.name!r} has no convolution to look at; "
        "integrated_gradients works for every model"
    )
