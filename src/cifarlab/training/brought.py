"""A model that somebody brought, made ready to train on a dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Dataset
from cifarlab.lowering.plain_form import AS_THEY_ARE, plain_form
from cifarlab.runtime.randomness import derive
from cifarlab.training.pixel_range import choose_pixels
from cifarlab.training.setup import check_fit


def ready(
    model: KerasModel,
    data: Dataset,
    seed: int,
    pixels: str | None,
    say: Callable[[str], None],
) -> tuple[KerasModel, str]:
    """Return the plain form of a model, which takes the data, and the range of its pixels.

    Args:
        model: the user's; its layers are in what is returned, so that it is trained too.
        seed: of weights that it has not got yet, and of its random layers.
        pixels: the range that it was made for; ``None`` to measure it on images for training.
        say: is told what was chosen.

    Raises:
        UsageError: ``pixels`` is no range.
        InputError: the model does not take the data, or has not an output for each class.
    """
    shape = tuple(data.train.images.shape[1:])
    if not model.built:
        keras.utils.set_random_seed(derive(seed, "weights") % 2**32)
    plain = plain_form(model, shape, pixels or AS_THEY_ARE)
    check_fit(plain, data)
    if pixels is None:
        pixels, line = choose_pixels(plain, data.train)
        if pixels != AS_THEY_ARE:
            say(line)
            plain = plain_form(plain, shape, pixels)
    seed_layers(plain, seed)
    return plain, pixels


def seed_layers(model: KerasModel, seed: int) -> None:
    """Give random layers without a seed of their own one that depends on ``seed`` alone.

    Keras draws it anew for each model, so that the same training twice would differ. What layers
    of the user's draw from the generators of Keras, NumPy or Python depends on it, too.
    """
    keras.utils.set_random_seed(derive(seed, "layers") % 2**32)
    generators = [g for layer in model._flatten_layers() for g in _generators(layer)]
    for index, generator in enumerate(generators):
        if generator._initial_seed is None:
            state = [derive(seed, "layer", index) % 2**31, 0]
            generator.state.assign(keras.ops.convert_to_tensor(state, generator.state.dtype))


def _generators(layer: Any) -> list[Any]:
    # A private attribute of Keras, which tracks what a layer draws from; tests fail if it changes.
    return list(getattr(layer, "_seed_generators", ()))
