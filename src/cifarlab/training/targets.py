"""Labels in the form that a compiled loss takes them in: class numbers, one-hot, or 0 and 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from cifarlab.training.losses import kind_of, loss_of

# Keras's metrics that take one-hot labels only; with class numbers they give nonsense.
ONE_HOT_METRICS = frozenset(
    {
        *("CategoricalAccuracy", "TopKCategoricalAccuracy", "CategoricalCrossentropy"),
        *("CategoricalHinge", "F1Score", "FBetaScore", "OneHotMeanIoU", "OneHotIoU"),
        *("categorical_accuracy", "top_k_categorical_accuracy", "categorical_crossentropy"),
        *("categorical_hinge", "categorical_focal_crossentropy"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """A form of labels.

    Attributes:
        form: ``"numbers"`` ``[B]``, ``"one-hot"`` ``[B, K]`` or ``"binary"`` ``[B, 1]``.
        remark: a line for the user where the form was found by trying; empty otherwise.
    """

    form: str
    classes: int
    remark: str = ""

    def of(self, labels: Tensor) -> Tensor:
        """Return labels in this form.

        Args:
            labels: int64 ``[B]`` classes, or float32 ``[B, K]`` shares of them.

        Raises:
            InputError: shares, where only class numbers will do.
        """
        if labels.ndim == 2:
            if self.form == "numbers":
                raise InputError(
                    "the augmentation blends labels, and the compiled loss takes class numbers; "
                    "leave it out, or compile the model with categorical_crossentropy"
                )
            return labels if self.form == "one-hot" else labels[:, 1:]
        if self.form == "numbers":
            return labels
        if self.form == "binary":
            return labels[:, None].float()
        return torch.nn.functional.one_hot(labels, self.classes).float()


def targets_for(model: KerasModel, classes: int, units: int) -> tuple[Targets, ...]:
    """Return the forms that the compiled loss may take labels in, the likeliest first.

    Raises:
        InputError: a metric takes another form than the loss.
    """
    if units == 1:
        return (Targets(form="binary", classes=classes),)
    kind = loss_of(model)
    numbers, one_hot = (Targets(form=form, classes=classes) for form in ("numbers", "one-hot"))
    metrics = list(_metric_names(model))
    for_numbers = [name for name in metrics if name.lower().startswith("sparse")]
    for_one_hot = [name for name in metrics if name in ONE_HOT_METRICS]
    if kind is not None and kind.takes_numbers:
        _check(model, kind.name, "class numbers", for_one_hot)
        return (numbers,)
    if kind is not None and kind.stock:
        _check(model, kind.name, "one-hot labels", for_numbers)
        return (one_hot,)
    # A loss of the user's, or none: its metrics may tell.
    if for_numbers and not for_one_hot:
        return (numbers,)
    name = "a training step of its own" if kind is None else f"its loss {kind.name}"
    tried = "labels are one-hot for {}; a metric that takes class numbers would change that"
    second = "labels are class numbers for {}, which does not take one-hot ones"
    return (
        Targets(form="one-hot", classes=classes, remark=tried.format(name)),
        Targets(form="numbers", classes=classes, remark=second.format(name)),
    )


def _metric_names(model: KerasModel) -> Any:
    metrics = getattr(model, "_compile_metrics", None)
    for group in ("_user_metrics", "_user_weighted_metrics"):
        for metric in keras.tree.flatten(getattr(metrics, group, None)):
            if isinstance(metric, str):
                yield metric
            elif metric is not None and isinstance(metric, keras.metrics.Metric):
                yield type(metric).__name__
            elif metric is not None:
                yield kind_of(metric).name


def _check(model: KerasModel, loss: str, form: str, metrics: list[str]) -> None:
    if metrics:
        raise InputError(
            f"model {model.name!r} was compiled with the loss {loss}, which takes {form}, and "
            f"with {', '.join(metrics)}, which does not; use the metric for the same labels "
            "(Sparse... takes class numbers)"
        )
