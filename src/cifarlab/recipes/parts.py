"""The values that a recipe consists of: optimizers, schedules, augmentations and more.

They only describe; ``training`` has the function for each of them, in plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cifarlab.errors import UsageError

EVERYTHING = "*"
CONVOLUTIONS = "convolutions"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A function in ``cifarlab.models.MODELS`` and its arguments, without input and classes."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Whitening:
    """Set the model's convolution called ``whitening`` from the training images.

    Its filters are the principal components of small patches, scaled to equal variance, and
    their negatives (Page, "How to train your ResNet", 2019).

    Attributes:
        images: number of training images to use, fewer where they are large.
        epsilon: added to each variance before the division by its square root.
    """

    images: int = 5000
    epsilon: float = 5e-4


# Schedules


@dataclass(frozen=True)
class Constant:
    """The learning rates stay as they are."""


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A factor on the learning rates: ``start`` to 1 over the ``warmup`` share, then to ``end``.

    Attributes:
        until: the share of the steps after which ``end`` is reached; a group of weights whose
            rate is 0 from there on is no longer trained, which saves its gradients.
    """

    warmup: float = 0.0
    end: float = 0.0
    start: float = 0.0
    until: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """A factor on the learning rates: 0 to 1 over the ``warmup`` share, then half a cosine."""

    warmup: float = 0.0
    end: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Piecewise:
    """A factor on the learning rates: straight lines between points, constant beyond them.

    Attributes:
        points: pairs of progress, the share of all planned steps from 0 to 1, and factor, by
            ascending progress; where the last factor is 0, the weights are no longer trained
            after it, as with ``Linear(until=...)``.
    """

    points: tuple[tuple[float, float], ...] = ((0.0, 1.0), (1.0, 0.0))

    def __post_init__(self) -> None:
        progress = [at for at, _ in self.points]
        if not progress or progress != sorted(set(progress)):
            raise UsageError(
                f"Piecewise(points={self.points}): give at least one, by ascending progress"
            )


Schedule = Constant | Linear | Cosine | Piecewise

# Optimizers. ``on`` says which weights: "*" all, "convolutions" the kernels of Conv2D layers,
# anything else a pattern for their paths such as "head/kernel" or "*/beta". Where a recipe has
# several optimizers, a weight belongs to the first one that names it.
# ``schedule`` replaces the recipe's own.


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma and Ba, 2015), with Keras's epsilon."""

    lr: float = 1e-3
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    on: str = EVERYTHING
    schedule: Schedule | None = None


@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent; ``weight_decay`` times the weight is added to the gradient."""

    lr: float = 0.05
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 0.0
    on: str = EVERYTHING
    schedule: Schedule | None = None


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Momentum with orthogonalised steps (Jordan et al., "Muon", 2024).

    Before each step a kernel is scaled to a norm of the square root of its filters, as
    airbench94_muon does.

    Attributes:
        coefficients: of the odd quintic polynomial in the Newton-Schulz iteration.
        iterations: number of times that it is applied.
    """

    lr: float = 0.24
    momentum: float = 0.6
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315)
    iterations: int = 3
    on: str = CONVOLUTIONS
    schedule: Schedule | None = None


Optimizer = Adam | SGD | Muon


@dataclass(frozen=True, kw_only=True)
class Lookahead:
    """Every few steps, set the weights to a moving average of themselves (Zhang et al., 2019).

    The average's memory grows along the run, as in airbench96: it is
    ``decay * progress ** power``. At the end the weights are the average.

    Attributes:
        every: steps between two averages.
        start: the share of the planned steps before which nothing is averaged.
    """

    every: int = 5
    decay: float = 0.95**5
    power: float = 3.0
    start: float = 0.0


# Augmentations


@dataclass(frozen=True)
class Flip:
    """Mirror each image left to right with probability 1/2."""


@dataclass(frozen=True)
class AlternatingFlip:
    """Mirror a random half of the images in even epochs and the others in odd ones.

    Each two consecutive epochs show each image both ways (Jordan, 2024).
    """


@dataclass(frozen=True, kw_only=True)
class Translate:
    """Shift each image by up to ``pixels`` both ways; the border is reflected.

    ``pixels`` is for images of the recipe's ``image_size``; see ``fitting.fitted``.
    """

    pixels: int = 2


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """Fill a square of ``size`` pixels, entirely inside each image (DeVries and Taylor, 2017).

    Attributes:
        size: for images of the recipe's ``image_size``; see ``fitting.fitted``.
        colour: red, green and blue, 0 to 255; by default the mean of CIFAR-10. Grey images get
            the mean of the three.
    """

    size: int = 12
    colour: tuple[int, int, int] = (125, 123, 114)


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """Change each image's brightness and contrast.

    Attributes:
        brightness: at most this share of the whole range is added or subtracted.
        contrast: distances from mid-grey grow or shrink by at most this share.
    """

    brightness: float = 0.1
    contrast: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Mixup:
    """Blend each image and its label with another's (Zhang et al., 2018).

    Attributes:
        alpha: both parameters of the Beta distribution that the share is drawn from, one share
            for the whole batch.
    """

    alpha: float = 0.2


@dataclass(frozen=True, kw_only=True)
class CutMix:
    """Paste a box of another image into each, and blend the labels (Yun et al., 2019).

    Attributes:
        alpha: both parameters of the Beta distribution that the box's area is drawn from, one
            box for the whole batch.
    """

    alpha: float = 1.0


Augmentation = Flip | AlternatingFlip | Translate | Cutout | Jitter | Mixup | CutMix


# Loss, early stopping, test-time augmentation


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Categorical cross-entropy.

    Attributes:
        reduction: gradients are of the ``"mean"`` over the batch or of the ``"sum"``; the loss
            that is shown is always the mean.
    """

    label_smoothing: float = 0.0
    reduction: str = "mean"


@dataclass(frozen=True, kw_only=True)
class AsCompiled:
    """A model of the user's is trained with what it was compiled with, by Keras's own objects.

    It stands in place of a recipe's optimizers, schedule and loss.

    Attributes:
        config: the arguments of ``compile`` as Keras describes them, plain JSON values.
        own: what of it is code of the user's, which no file holds; resuming needs the model then.
        learning_rate: instead of the optimizer's own, or ``None`` for that.
    """

    config: Mapping[str, Any]
    own: tuple[str, ...] = ()
    learning_rate: float | None = None


# What the best epoch can be chosen by, and whether the lowest or the highest value is the best. The
# validation loss is never weighted by class.
MACRO_F1 = "val_macro_f1"
MONITORS: Mapping[str, str] = {
    "val_loss": "min",
    "val_accuracy": "max",
    "val_balanced_accuracy": "max",
    MACRO_F1: "max",
}
# Early stopping may also go by the training images.
STOPPING_MONITORS: Mapping[str, str] = {**MONITORS, "loss": "min", "accuracy": "max"}


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop after ``patience`` epochs in which ``monitor`` did not improve.

    Attributes:
        monitor: one of ``STOPPING_MONITORS``.
    """

    monitor: str = "val_loss"
    patience: int = 3

    def __post_init__(self) -> None:
        if self.monitor not in STOPPING_MONITORS:
            choices = ", ".join(STOPPING_MONITORS)
            raise UsageError(f"early stopping by {self.monitor!r}: choose from {choices}")


# Uneven classes and few images

BALANCED, SHUFFLED = "balanced", "shuffled"
SAMPLERS = (SHUFFLED, BALANCED)

# What an image's loss is multiplied by: pairs of a class, by name or label, and its weight.
ClassWeights = tuple[tuple[str | int, float], ...]


@dataclass(frozen=True, kw_only=True)
class FewImages:
    """How a recipe is adapted to few training images; many images change nothing.

    Attributes:
        epochs, batch_size: those of the recipe that it is for. A variant of that recipe with
            others was given them on purpose, and keeps them.
        steps: an epoch has at least this many, by smaller batches.
        smallest_batch: batches are not made smaller than this.
        updates: training has at least this many steps in all, by more epochs.
        most_epochs: not more than this, however few the images.
        patience: early stopping waits for at least this many steps.
        shift: where there are more epochs than the recipe's own, images are shifted by up to this
            share of their shorter side instead of the recipe's augmentation, or ``None`` for that.
        label_smoothing: where there are more epochs, instead of the loss's own; ``None`` for that.
    """

    epochs: int
    batch_size: int
    steps: int = 8
    smallest_batch: int = 16
    updates: int = 1
    most_epochs: int = 300
    patience: int = 1
    shift: float | None = None
    label_smoothing: float | None = None


@dataclass(frozen=True, kw_only=True)
class TestTimeAugmentation:
    """Test-time augmentation: average the logits over several copies of each image.

    Attributes:
        mirror: also use the mirrored image.
        shift: also use the image shifted by this many pixels down and right, and up and left,
            the border reflected; the two together count as much as the unshifted image. 0 for
            none. In a recipe it is for images of its ``image_size``; see ``fitting.fitted``.
        share: the share of the images that shifted copies are used for, from 0 to 1: those
            with the smallest margin between the two likeliest classes without them.
    """

    # Its name begins like that of a test class, which pytest would collect.
    __test__: ClassVar[bool] = False

    mirror: bool = True
    shift: int = 1
    share: float = 1.0


PARTS: tuple[type, ...] = (
    ModelSpec,
    Whitening,
    Constant,
    Linear,
    Cosine,
    Piecewise,
    Adam,
    SGD,
    Muon,
    Lookahead,
    Flip,
    AlternatingFlip,
    Translate,
    Cutout,
    Jitter,
    Mixup,
    CutMix,
    CrossEntropy,
    AsCompiled,
    EarlyStopping,
    FewImages,
    TestTimeAugmentation,
)
