"""What a compiled loss is made for: labels as class numbers or one-hot, logits or probabilities."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifarlab.backend import KerasModel, keras

# By the names of Keras's functions.
HINGES = frozenset({"hinge", "squared_hinge", "categorical_hinge"})
TAKE_NUMBERS = frozenset(
    {"sparse_categorical_crossentropy", "categorical_generalized_cross_entropy", "circle"}
)
OF_PROBABILITIES = frozenset(
    {
        *("crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
        *("categorical_focal_crossentropy", "categorical_generalized_cross_entropy"),
        *("binary_crossentropy", "binary_focal_crossentropy"),
        *("kl_divergence", "poisson", "dice", "tversky"),
    }
)
# For outputs that are the shares of all classes: one unit cannot say them.
OF_ALL_CLASSES = frozenset(
    {
        *("categorical_crossentropy", "sparse_categorical_crossentropy", "categorical_hinge"),
        *("categorical_focal_crossentropy", "categorical_generalized_cross_entropy"),
    }
)
# Short names that Keras takes, which stand for one of several functions.
SHORT = {"ce": "crossentropy", "crossentropy": "crossentropy"}


@dataclass(frozen=True, kw_only=True)
class LossKind:
    """What is known of a loss.

    Attributes:
        name: of Keras's function, or of the user's own.
        stock: whether it is Keras's.
        from_logits: whether it is told to take logits.
    """

    name: str
    stock: bool = True
    from_logits: bool = False

    @property
    def takes_numbers(self) -> bool:
        """Whether labels are class numbers rather than one-hot."""
        return self.name in TAKE_NUMBERS

    @property
    def takes_probabilities(self) -> bool:
        """Whether it takes probabilities, so that logits would train wrongly."""
        return self.stock and self.name in OF_PROBABILITIES and not self.from_logits

    @property
    def decides_at_zero(self) -> bool:
        """Whether a single output above 0 means the second class, not one above 0.5."""
        return self.from_logits or self.name in HINGES


def loss_of(model: KerasModel) -> LossKind | None:
    """Return what is known of the loss that a model was compiled with; ``None`` without any."""
    losses = [loss for loss in keras.tree.flatten(getattr(model, "loss", None)) if loss is not None]
    return kind_of(losses[0]) if losses else None


def kind_of(loss: Any) -> LossKind:
    """Return what is known of a loss: a name, an object, or a function.

    Example:
        >>> kind_of("mse").name
        'mean_squared_error'
        >>> kind_of(keras.losses.BinaryCrossentropy(from_logits=True)).from_logits
        True
    """
    if isinstance(loss, str):
        if loss in SHORT:
            return LossKind(name=SHORT[loss])
        loss = keras.losses.get(loss)
    settings: Mapping[str, Any] = {}
    if isinstance(loss, functools.partial):
        settings, loss = loss.keywords, loss.func
    function = getattr(loss, "fn", loss)
    if isinstance(loss, keras.losses.Loss):
        settings = getattr(loss, "_fn_kwargs", {})
    # A function's name, or, of an object that wraps none, that of its class.
    name = str(getattr(function, "__name__", type(loss).__name__))
    return LossKind(
        name=name,
        stock=is_stock(function) and is_stock(loss),
        from_logits=bool(settings.get("from_logits", getattr(loss, "from_logits", False))),
    )


def is_stock(part: Any) -> bool:
    """Whether a function, a class or an object is Keras's own and no code of the user's."""
    kind = part if isinstance(part, type) or hasattr(part, "__name__") else type(part)
    return str(getattr(kind, "__module__", "")).startswith("keras.")
