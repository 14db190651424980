"""What to train and how, as values: a recipe says what, never how.

Everything here is a frozen dataclass of plain values, so that a recipe can be printed,
compared, written to JSON and read back. ``dataclasses.replace`` derives variants::

    longer = dataclasses.replace(BASELINE, name="longer", epochs=50)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cifarlab.errors import InputError, UsageError


@dataclass(frozen=True)
class ModelSpec:
    """A function in ``cifarlab.models.MODELS`` and its arguments, input and classes aside."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma and Ba, 2015), with Keras's epsilon."""

    lr: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent; ``weight_decay`` is added to the gradient."""

    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Constant:
    """The learning rates stay as they are."""


@dataclass(frozen=True)
class Linear:
    """A factor on the learning rates: 0 to 1 over the ``warmup`` share, then down to ``end``."""

    warmup: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Cosine:
    """A factor on the learning rates: 0 to 1 over the ``warmup`` share, then half a cosine."""

    warmup: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Flip:
    """Mirror each picture left to right with probability one half."""


@dataclass(frozen=True)
class Translate:
    """Shift each picture by up to ``pixels`` both ways; the border is reflected."""

    pixels: int = 2


@dataclass(frozen=True)
class CrossEntropy:
    """Categorical cross-entropy, a mean over the batch."""

    label_smoothing: float = 0.0


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after ``patience`` epochs in which the validation ``monitor`` did not improve."""

    monitor: str = "val_loss"
    patience: int = 3


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run trains, data, seed and hardware aside.

    Attributes:
        summary: one line for ``--help`` and the record.
        epochs: at most this many passes over the training split.
        batch_size: pictures a step; the last step of an epoch may be smaller.
        stop: when to stop early, or ``None`` for never.
        keep: ``"best"`` keeps the weights of the epoch with the lowest validation loss,
            ``"last"`` those of the last epoch.
    """

    name: str
    summary: str
    model: ModelSpec
    epochs: int
    batch_size: int
    optimizer: Adam | SGD = Adam()
    schedule: Constant | Linear | Cosine = Constant()
    augment: tuple[Flip | Translate, ...] = ()
    loss: CrossEntropy = CrossEntropy()
    stop: EarlyStopping | None = None
    keep: str = "best"

    def __post_init__(self) -> None:
        rules = (
            ("epochs", self.epochs, self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size, self.batch_size >= 1, "at least 1"),
            ("optimizer.lr", self.optimizer.lr, self.optimizer.lr > 0, "above 0"),
            ("keep", self.keep, self.keep in ("best", "last"), '"best" or "last"'),
        )
        for name, value, holds, rule in rules:
            if not holds:
                raise UsageError(f"recipe {self.name!r}: {name} is {value!r}; it must be {rule}")


KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        ModelSpec,
        Adam,
        SGD,
        Constant,
        Linear,
        Cosine,
        Flip,
        Translate,
        CrossEntropy,
        EarlyStopping,
        Recipe,
    )
}


def to_json(value: Any) -> Any:
    """Turn a recipe, or any part of one, into plain JSON values; ``from_json`` undoes it."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def from_json(value: Any) -> Any:
    """Rebuild what ``to_json`` wrote.

    Raises:
        InputError: an unknown kind or field, so a file of another version.
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, Mapping):
        return value
    fields = {key: from_json(item) for key, item in value.items() if key != "kind"}
    if "kind" not in value:
        return fields
    try:
        return KINDS[value["kind"]](**fields)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"recipe part {value['kind']!r} cannot be read ({error}); "
            "it was written by another version of cifarlab: use that version"
        ) from error


def differences(old: Recipe, new: Recipe) -> list[str]:
    """List the fields in which two recipes differ, each as ``"name: old -> new"``."""
    return [
        f"{f.name}: {getattr(old, f.name)} -> {getattr(new, f.name)}"
        for f in dataclasses.fields(Recipe)
        if to_json(getattr(old, f.name)) != to_json(getattr(new, f.name))
    ]
