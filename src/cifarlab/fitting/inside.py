"""Native forms of stock layers that the user's own Python code calls.

Inside a layer, a model or a step written by the user nobody knows which layer is called when. So
the code runs as it is, by Keras, and each stock layer has a native ``call`` while it runs. The
weights lie in the memory of the Keras variables, and gradients arrive where Keras's own would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from keras.src.backend.common.stateless_scope import in_stateless_scope
from torch import Tensor, nn

from cifarlab.backend import KerasModel, keras
from cifarlab.lowering.activations import ELEMENTWISE, in_float32, softmax
from cifarlab.lowering.binding import LoweredLayer, to_keras_layout, to_torch_layout
from cifarlab.lowering.graph import native_form
from cifarlab.lowering.pooling import MaxPooling
from cifarlab.runtime.device import computing_in

# Nobody knows which of these gives the probabilities.
FLOAT32 = (softmax, ELEMENTWISE[keras.activations.sigmoid])


class Inside:
    """Native forms of the stock layers among ``layers`` and inside of them.

    Args:
        layers: Keras layers, built.
        kept_in_keras: ids of variables whose layers Keras runs.
        precision: the dtype of matrix products where gradients are computed.

    Attributes:
        calls: the native ``call`` of each layer that has one.
    """

    def __init__(
        self, layers: Iterable[Any], kept_in_keras: frozenset[int], precision: torch.dtype
    ) -> None:
        self.calls: list[tuple[Any, Callable[..., Any]]] = []
        seen: set[int] = set()
        waiting = list(layers)
        while waiting:
            layer = waiting.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            form = _following(native_form(layer, kept_in_keras))
            if form is None:
                waiting.extend(layer._flatten_layers(recursive=False, include_self=False))
            else:
                self.calls.append((layer, _native_call(layer, form, precision)))

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the layers call their native forms inside the block."""
        # Not by ``setattr``, in which Keras and PyTorch track what a layer holds.
        for layer, call in self.calls:
            vars(layer)["call"] = call
        try:
            yield
        finally:
            for layer, _ in self.calls:
                vars(layer).pop("call", None)


class OwnSteps:
    """A model's own steps, by its own code or Keras's, with the layers inside native.

    Args:
        model: built.
        precision: of matrix products where gradients are computed.
    """

    def __init__(
        self, model: KerasModel, kept_in_keras: frozenset[int], precision: torch.dtype
    ) -> None:
        self.model = model
        layers = model._flatten_layers(recursive=False, include_self=False)
        self.inside = Inside(layers, kept_in_keras, precision)

    def train_step(self, data: Any) -> Any:
        """Do the model's ``train_step``."""
        with self.inside.in_place():
            return self.model.train_step(data)

    def test_step(self, data: Any) -> Any:
        """Do the model's ``test_step``."""
        with self.inside.in_place():
            return self.model.test_step(data)

    def predict_step(self, data: Any) -> Any:
        """Do the model's ``predict_step``."""
        with self.inside.in_place():
            return self.model.predict_step(data)


def _following(form: nn.Module | None) -> nn.Module | None:
    """Let all weights of ``form`` follow the Keras variables; ``None`` if one cannot."""
    for module in () if form is None else form.modules():
        if isinstance(module, LoweredLayer) and not all(b.follow() for b in module.bindings):
            return None
        for name in ("function", "activation"):
            if getattr(module, name, None) in FLOAT32:
                setattr(module, name, in_float32(getattr(module, name)))
        if isinstance(module, MaxPooling):
            # The user's code may ask for gradients of gradients.
            module.halves = False
    return form


def _native_call(layer: Any, form: nn.Module, precision: torch.dtype) -> Callable[..., Any]:
    keras_own = type(layer).call.__get__(layer)

    def call(*args: Any, **kwargs: Any) -> Any:
        flat = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
        options = {name: value for name, value in kwargs.items() if value is not None}
        training = options.pop("training", None)
        if options or in_stateless_scope() or not all(map(_is_plain, flat)):
            return keras_own(*args, **kwargs)
        if form.training is not bool(training):
            form.train(bool(training))
        chosen = precision if torch.is_grad_enabled() else torch.float32
        with computing_in(chosen, flat[0].device):
            outputs = form(*map(to_torch_layout, flat))
        return to_keras_layout(outputs).float()

    return call


def _is_plain(x: Any) -> bool:
    """Whether it is a tensor of floats, and not one of those that stand for a shape."""
    return isinstance(x, Tensor) and x.dtype in (torch.float32, torch.bfloat16) and not x.is_meta


def seeded_dropout(model: KerasModel) -> frozenset[int]:
    """Return the seed variables of dropout layers that must draw as Keras draws.

    A seed that the user gave names the numbers drawn; and dropping whole channels Keras draws
    from a generator of the layer's own, which leaves the order of shuffled batches alone.
    """
    kept = set()
    for layer in model._flatten_layers():
        generator = getattr(layer, "seed_generator", None)
        drops = isinstance(layer, keras.layers.Dropout | keras.layers.SpatialDropout2D)
        if drops and generator is not None:
            given = generator._initial_seed is not None
            if given or type(layer) is not keras.layers.Dropout:
                kept.add(id(generator.state))
    return frozenset(kept)
