"""Metrics of predictions where an image may have several labels, or none.

A class that no image has is not measured: its numbers are ``None``, and it is left out of every
mean over classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cifarlab.errors import InputError, UsageError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class LabelMetrics:
    """One class: images that have it against all others; all ``None`` where no image has it.

    Attributes:
        precision: share of the images predicted to have it that do, 0.0 where there are none.
        recall: share of the images that have it that are predicted to.
        f1: harmonic mean of the two.
        average_precision: mean precision at each image that has it, by falling probability; it
            depends on no threshold.
        support: number of images that have it.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    support: int


@dataclass(frozen=True, kw_only=True)
class MultiLabelMetrics:
    """Metrics of N predictions of K classes, each image with any number of them; all 0 to 1.

    Attributes:
        macro_f1: mean F1 of the classes that images have.
        micro_f1: F1 of all N x K answers together, ``None`` where nothing is there or predicted.
        mean_average_precision: of the classes that images have.
        subset_accuracy: share of the images with every one of their K answers right.
        hamming_loss: share of the N x K answers that are wrong.
        threshold: from this probability on a class is predicted.
        n: number of images.
        per_class: numbers for each class name, in label order.
    """

    macro_f1: float | None
    micro_f1: float | None
    mean_average_precision: float | None
    subset_accuracy: float
    hamming_loss: float
    threshold: float
    n: int
    per_class: Mapping[str, LabelMetrics]

    @property
    def not_measured(self) -> tuple[str, ...]:
        """The names of the classes that no image has."""
        return tuple(name for name, numbers in self.per_class.items() if not numbers.support)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain Python values; the order of ``per_class`` is label order."""
        return asdict(self)


def measure_multi_label(
    labels: Array,
    probabilities: Array,
    class_names: Sequence[str],
    threshold: float = 0.5,
) -> MultiLabelMetrics:
    """Compare predictions with the true labels, where an image may have several or none.

    Average precision is the sum of precision times the step in recall over all thresholds, without
    interpolation (Manning, Raghavan and Schuetze, "Introduction to Information Retrieval", 2008,
    section 8.4); images of the same probability count together. Macro-F1 is the mean of each
    class's F1 (Opitz and Burst, "Macro F1 and macro F1", 2019).

    Args:
        labels: zeros and ones ``[N, K]``, N and K 1 or more; 1 where the image has the class.
        probabilities: ``[N, K]``, 0 to 1, each class by itself, as sigmoid outputs are.
        class_names: K of them, each its own.
        threshold: 0 to 1; from this probability on a class is predicted.

    Raises:
        InputError: the shapes do not fit, labels are not 0 and 1, or probabilities do not lie
            between 0 and 1.
        UsageError: ``threshold`` is not between 0 and 1.

    Example:
        >>> labels = np.array([[1, 0], [1, 1], [0, 1]])
        >>> probabilities = np.array([[0.9, 0.2], [0.8, 0.4], [0.3, 0.7]])
        >>> metrics = measure_multi_label(labels, probabilities, ["cat", "dog"])
        >>> metrics.per_class["dog"].recall, metrics.mean_average_precision
        (0.5, 1.0)
    """
    true, values, names = _checked(labels, probabilities, class_names, threshold)
    predicted = values >= threshold
    hits = (true & predicted).sum(axis=0)
    support, answers = true.sum(axis=0), predicted.sum(axis=0)
    per_class = {
        name: _of_class(int(hits[k]), int(answers[k]), true[:, k], values[:, k])
        for k, name in enumerate(names)
    }
    both = int(support.sum() + answers.sum())
    return MultiLabelMetrics(
        macro_f1=_mean([numbers.f1 for numbers in per_class.values()]),
        micro_f1=2 * int(hits.sum()) / both if both else None,
        mean_average_precision=_mean([c.average_precision for c in per_class.values()]),
        subset_accuracy=int((true == predicted).all(axis=1).sum()) / len(true),
        hamming_loss=int((true != predicted).sum()) / true.size,
        threshold=threshold,
        n=len(true),
        per_class=per_class,
    )


def _of_class(hits: int, answers: int, true: Array, values: Array) -> LabelMetrics:
    support = int(true.sum())
    if not support:
        return LabelMetrics(precision=None, recall=None, f1=None, average_precision=None, support=0)
    return LabelMetrics(
        precision=hits / answers if answers else 0.0,
        recall=hits / support,
        f1=2 * hits / (support + answers),
        average_precision=_average_precision(true, values),
        support=support,
    )


def _average_precision(true: Array, values: Array) -> float:
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(true[order])
    # Images of the same probability are above a threshold together.
    last = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    precision = hits[last] / (last + 1)
    steps = np.diff(hits[last], prepend=0) / hits[-1]
    return math.fsum(precision * steps)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _checked(
    labels: Array, probabilities: Array, class_names: Sequence[str], threshold: float
) -> tuple[Array, Array, tuple[str, ...]]:
    """Return labels as booleans, probabilities as float64 and the class names."""
    true, values, names = np.asarray(labels), np.asarray(probabilities), tuple(class_names)
    if true.ndim != 2 or true.shape != values.shape or 0 in true.shape:
        raise InputError(
            f"labels {list(true.shape)} and probabilities {list(values.shape)}: both must be one "
            "row for each image and one column for each class, of at least one; check the arrays"
        )
    if len(names) != true.shape[1] or len(set(names)) < len(names):
        raise InputError(
            f"{len(set(names))} different class names for {true.shape[1]} columns of labels; give "
            "each column its own name"
        )
    if not np.isin(true, (0, 1)).all():
        raise InputError(
            "labels hold values that are not 0 or 1; give 1 where an image has a class"
        )
    # Written so that values that are no numbers fail, too.
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError(
            "probabilities hold values that do not lie between 0 and 1; give those of a sigmoid, "
            "not what goes into it"
        )
    if not 0.0 <= threshold <= 1.0:
        raise UsageError(f"threshold {threshold}: it must lie between 0 and 1; use 0.5")
    return true.astype(bool), values.astype(np.float64), names
