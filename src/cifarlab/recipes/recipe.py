"""``Recipe``: what to train, as plain values.

Everything here is a frozen dataclass of plain values, so that a recipe can be printed,
compared, written to JSON and read back. ``dataclasses.replace`` derives variants::

    longer = dataclasses.replace(BASELINE, name="longer", epochs=50)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifarlab.errors import InputError, UsageError
from cifarlab.recipes.parts import (
    BALANCED,
    MONITORS,
    PARTS,
    SAMPLERS,
    SHUFFLED,
    Adam,
    AsCompiled,
    Augmentation,
    ClassWeights,
    Constant,
    CrossEntropy,
    EarlyStopping,
    FewImages,
    Lookahead,
    ModelSpec,
    Optimizer,
    Schedule,
    TestTimeAugmentation,
    Whitening,
)

TRAIN, EVERYTHING_BUT_TEST = "train", "train+validation"
CONSTANT, CROSS_ENTROPY = Constant(), CrossEntropy()
NOT_AS_COMPILED = "left out where a model is trained as it was compiled"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that determines what a run trains, except data, seed and hardware.

    Attributes:
        summary: one line for ``--help`` and the run's files.
        epochs: at most this many passes over the training split; ``few_images`` may raise it.
        batch_size: images per step; the last step of an epoch may be smaller.
        optimizers: a weight belongs to the first one whose ``on`` names it.
        schedule: for every optimizer that has none of its own.
        augment: applied in this order.
        stop: when to stop early, or ``None`` for never.
        keep: ``"best"`` keeps the weights of the epoch that is the best by ``monitor``,
            ``"last"`` those of the last epoch.
        micro_batch: at most this many images go through the network at once; their
            gradients add up to the step's. Batch normalisation sees the small batches.
        resolution: what training images are resized to, one number for both sides or height
            and width, each for an equal share of the epochs; empty for their own size.
        whitening: set the first convolution from the data.
        frozen: patterns for the paths of weights that stay as they are, such as
            ``"whitening/kernel"``.
        lookahead: average the weights along the way.
        tta: test-time augmentation of a finished model.
        train_on: ``"train"``, or ``"train+validation"`` for a recipe whose every choice has
            been made: there is then no validation split, so ``keep`` is ``"last"``.
        image_size: height and width of the images that its lengths in pixels are for;
            ``fitting.fitted`` scales them to others.
        monitor: what the best epoch has: the lowest ``"val_loss"``, or the highest
            ``"val_accuracy"``, ``"val_balanced_accuracy"`` or ``"val_macro_f1"``.
        class_weights: what the loss of an image of each class is multiplied by: a mapping from
            class names or labels to numbers above 0, 1 for classes that it lacks (kept as pairs);
            ``"balanced"`` for ``N / (K * n)``, where the class has n of the N training images and
            K classes have any; or ``None``.
        sampler: ``"shuffled"`` shows every image once in an epoch; ``"balanced"`` as many images,
            equally many of each class.
        as_compiled: a model of the user's is trained with what it was compiled with; there are no
            optimizers then, and ``schedule`` and ``loss`` mean nothing.
        few_images: how ``train`` adapts batches, epochs and augmentation to few images before it
            records the recipe; ``None`` to train as the recipe says, however few there are.

    Example:
        >>> from cifarlab.recipes.baseline import BASELINE
        >>> dataclasses.replace(BASELINE, name="longer", epochs=50).epochs
        50
    """

    name: str
    summary: str
    model: ModelSpec
    epochs: int
    batch_size: int
    optimizers: tuple[Optimizer, ...] = (Adam(),)
    schedule: Schedule = CONSTANT
    augment: tuple[Augmentation, ...] = ()
    loss: CrossEntropy = CROSS_ENTROPY
    stop: EarlyStopping | None = None
    keep: str = "best"
    micro_batch: int | None = None
    resolution: tuple[int | tuple[int, int], ...] = ()
    whitening: Whitening | None = None
    frozen: tuple[str, ...] = ()
    lookahead: Lookahead | None = None
    tta: TestTimeAugmentation | None = None
    train_on: str = TRAIN
    image_size: tuple[int, int] = (32, 32)
    monitor: str = "val_loss"
    class_weights: str | ClassWeights | Mapping[Any, float] | None = None
    sampler: str = SHUFFLED
    as_compiled: AsCompiled | None = None
    few_images: FewImages | None = None

    def __post_init__(self) -> None:
        if isinstance(self.class_weights, Mapping):
            object.__setattr__(self, "class_weights", tuple(self.class_weights.items()))
        micro, sizes, reduction = self.micro_batch, self.resolution, self.loss.reduction
        choosing = self.keep == "best" or self.stop is not None
        rules = (
            ("epochs", self.epochs, self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size, self.batch_size >= 1, "at least 1"),
            ("micro_batch", micro, micro is None or micro >= 1, "at least 1"),
            (
                "optimizers",
                self.optimizers,
                (len(self.optimizers) > 0) != (self.as_compiled is not None),
                "at least one, and none in a recipe that trains a model as it was compiled",
            ),
            *(
                (name, value, self.as_compiled is None or not value, NOT_AS_COMPILED)
                for name, value in (
                    ("micro_batch", micro),
                    ("resolution", sizes),
                    ("whitening", self.whitening),
                    ("frozen", self.frozen),
                    ("lookahead", self.lookahead),
                )
            ),
            *((f"{type(o).__name__}.lr", o.lr, o.lr > 0, "above 0") for o in self.optimizers),
            ("resolution", sizes, all(map(_is_size, sizes)), "sizes of at least 1"),
            ("image_size", self.image_size, _is_size(self.image_size), "two sizes of at least 1"),
            ("loss.reduction", reduction, reduction in ("mean", "sum"), '"mean" or "sum"'),
            ("keep", self.keep, self.keep in ("best", "last"), '"best" or "last"'),
            ("monitor", self.monitor, self.monitor in MONITORS, f"one of {', '.join(MONITORS)}"),
            ("sampler", self.sampler, self.sampler in SAMPLERS, f"one of {', '.join(SAMPLERS)}"),
            (
                "class_weights",
                self.class_weights,
                _are_weights(self.class_weights),
                f'"{BALANCED}", or numbers above 0 for names or labels of classes',
            ),
            (
                "class_weights",
                self.class_weights,
                not self.class_weights == self.sampler == BALANCED,
                f'left out, as sampler="{BALANCED}" makes up for uneven classes already',
            ),
            (
                "train_on",
                self.train_on,
                self.train_on == TRAIN or (self.train_on == EVERYTHING_BUT_TEST and not choosing),
                f'"{TRAIN}", or "{EVERYTHING_BUT_TEST}" with keep="last" and no early stopping',
            ),
        )
        for name, value, holds, rule in rules:
            if not holds:
                raise UsageError(f"recipe {self.name!r}: {name} is {value!r}; it must be {rule}")

    def resolution_in(self, epoch: int) -> int | tuple[int, int] | None:
        """Return the size of training images in ``epoch`` (from 0), or ``None`` for their own."""
        if not self.resolution:
            return None
        # Rounded so that the last epoch has the last resolution, however few epochs there are.
        return self.resolution[-(-(epoch + 1) * len(self.resolution) // self.epochs) - 1]


def _is_size(size: int | tuple[int, int]) -> bool:
    return size >= 1 if isinstance(size, int) else len(size) == 2 and min(size) >= 1


def _are_weights(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return value in (None, BALANCED)
    return all(
        isinstance(name, (str, int)) and isinstance(weight, (int, float)) and 0 < weight < math.inf
        for name, weight in value
    )


# The classes that ``"kind"`` names in JSON.
KINDS: dict[str, type] = {part.__name__: part for part in (*PARTS, Recipe)}

# The names of kinds, and of the fields of kinds, in files of version 0.1.
OLD_KINDS = {"Views": "TestTimeAugmentation"}
OLD_FIELDS = {"Recipe": {"test_time": "tta"}, "Whitening": {"pictures": "images"}}


def to_json(value: Any) -> Any:
    """Return a recipe, or any part of one, as plain JSON values; see ``from_json``.

    Example:
        >>> to_json(EarlyStopping(patience=2))
        {'kind': 'EarlyStopping', 'monitor': 'val_loss', 'patience': 2}
    """
    if dataclasses.is_dataclass(value):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    return value


def current_names(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return one part of a recipe as JSON, with the names of this version."""
    kind = OLD_KINDS.get(value["kind"], value["kind"])
    fields = OLD_FIELDS.get(kind, {})
    return {**{fields.get(key, key): item for key, item in value.items()}, "kind": kind}


def from_json(value: Any) -> Any:
    """Return the recipe, or part of one, that ``to_json`` gave the values of.

    Raises:
        InputError: an unknown kind or field, so the file is of another version.
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, Mapping):
        return value
    if "kind" not in value:
        return {key: from_json(item) for key, item in value.items()}
    part = current_names(value)
    fields = {
        # Keras's own description may hold any names.
        key: item if (part["kind"], key) == ("AsCompiled", "config") else from_json(item)
        for key, item in part.items()
        if key != "kind"
    }
    try:
        return KINDS[part["kind"]](**fields)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"recipe part {part['kind']!r} cannot be read ({error}); "
            "it was written by another version of cifarlab: use that version"
        ) from error


def differences(old: Recipe, new: Recipe) -> list[str]:
    """List the fields in which two recipes differ, each as ``"name: old -> new"``."""
    return [
        f"{f.name}: {getattr(old, f.name)} -> {getattr(new, f.name)}"
        for f in dataclasses.fields(Recipe)
        if to_json(getattr(old, f.name)) != to_json(getattr(new, f.name))
    ]
