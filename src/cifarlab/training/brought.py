"""A model that somebody brought, made ready to train on a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.data.dataset import Dataset
from cifarlab.errors import UsageError
from cifarlab.lowering.graph import is_graph
from cifarlab.lowering.plain_form import AS_THEY_ARE, plain_form
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.randomness import derive
from cifarlab.training.compiled import compile_alike
from cifarlab.training.endings import Finished
from cifarlab.training.losses import is_stock
from cifarlab.training.own_model import finish_for
from cifarlab.training.pixel_range import choose_pixels
from cifarlab.training.setup import check_fit

# Of a model's class, in place of Keras's: only the user's own object has them.
OWN_STEPS = ("train_step", "test_step", "compute_loss", "compute_metrics")


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A model of the user's that takes the data.

    Attributes:
        model: what is trained, compiled as the user's was: the user's own where that is plain, or
            has training steps or a ``call`` of its own, else its plain form.
        finished: what is measured and saved, of the same layers.
        pixels: the range that the model was made for.
    """

    model: KerasModel
    finished: Finished
    pixels: str


def make_ready(
    model: KerasModel,
    recipe: Recipe,
    data: Dataset,
    seed: int,
    pixels: str | None,
    say: Callable[[str], None],
) -> Ready:
    """Return a model in the forms that are trained and saved, and the range of its pixels.

    Args:
        model: the user's; its layers are in what is returned, so that it is trained too.
        recipe: what trains it.
        seed: of weights that it has not got yet, and of its random layers.
        pixels: the range that it was made for; ``None`` to measure it on images for training.
        say: is told what was chosen.

    Raises:
        UsageError: ``pixels`` is no range, or a model with training steps of its own needs another.
        InputError: the model does not take the data, has not an output for each class, or its
            ending and its loss contradict each other.
    """
    shape = tuple(data.train.images.shape[1:])
    if not model.built:
        keras.utils.set_random_seed(derive(seed, "weights") % 2**32)
    plain = _plain(model, shape, pixels or AS_THEY_ARE)
    check_fit(plain, data)
    finished = finish_for(recipe, plain, data)
    if pixels is None:
        pixels, line = choose_pixels(finished.model, data.train)
        if pixels != AS_THEY_ARE:
            say(line)
            plain = _plain(model, shape, pixels)
            finished = finish_for(recipe, plain, data)
    seed_layers(finished.model, seed)
    own = [name for name in OWN_STEPS if not is_stock(getattr(type(model), name))]
    compiled = recipe.as_compiled is not None
    if compiled and own and pixels != AS_THEY_ARE:
        raise UsageError(
            f"model {model.name!r} was made for pixels {pixels} and has a {own[0]} of its own, "
            "which no layer can be put in front of; scale the pixels inside of the model"
        )
    # Keras runs a ``call`` of the user's anyway, and callbacks may ask for what else the model has.
    as_it_is = compiled and (own or not is_graph(model)) and pixels == AS_THEY_ARE
    return Ready(model=model if as_it_is else plain, finished=finished, pixels=pixels)


def _plain(model: KerasModel, shape: tuple[int, ...], pixels: str) -> KerasModel:
    plain = plain_form(model, shape, pixels)
    if plain is not model:
        compile_alike(plain, model)
    return plain


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
