"""A linear classifier on features: what replaces the last layer of a pretrained network.

Multinomial logistic regression with a penalty on the weights, minimised by SciPy's L-BFGS. It is
convex, so that the result does not depend on a seed, and takes seconds where training the same
layer by gradient steps takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

Array = np.ndarray[Any, Any]

# Of the standardised features; chosen from by cross-validation.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Where there is nothing to choose by.
PENALTY = 1e-2
FOLDS = 5
MOST_STEPS = 300
# Features that hardly vary are not blown up.
SMALLEST_DEVIATION = 1e-3


@dataclass(frozen=True, kw_only=True)
class LinearHead:
    """Logits are ``features @ kernel + bias``.

    Attributes:
        kernel: float32 ``[F, K]``.
        bias: float32 ``[K]``.
        penalty: that it was fitted with.
    """

    kernel: Array
    bias: Array
    penalty: float

    def logits(self, features: Array) -> Array:
        """Return float32 ``[N, K]`` for features ``[N, F]``."""
        return np.asarray(features @ self.kernel + self.bias, dtype=np.float32)


def fit_head(features: Array, labels: Array, classes: int, penalty: float) -> LinearHead:
    """Return the linear classifier that minimises the mean cross-entropy plus the penalty.

    Args:
        features: float32 ``[N, F]``; standardised inside, which the result undoes.
        labels: ``[N]`` whole numbers below ``classes``; a class may have no image.
        classes: the number of classes K.
        penalty: half of it times the squared weights of the standardised features is added.

    Example:
        >>> features = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
        >>> head = fit_head(features, np.array([0, 1]), 2, 1e-2)
        >>> head.logits(features).argmax(1)
        array([0, 1])
    """
    mean = features.mean(0)
    deviation = np.maximum(features.std(0), SMALLEST_DEVIATION)
    x = ((features - mean) / deviation).astype(np.float32)
    rows, shape = np.arange(len(x)), (x.shape[1] + 1, classes)

    def cost(values: Array) -> tuple[float, Array]:
        weights = values.reshape(shape)
        kernel, bias = weights[:-1].astype(np.float32), weights[-1].astype(np.float32)
        log_p = special.log_softmax(x @ kernel + bias, axis=1)
        error = np.exp(log_p)
        error[rows, labels] -= 1
        error /= len(x)
        gradient = np.concatenate([x.T @ error + penalty * kernel, error.sum(0)[None]])
        loss = -log_p[rows, labels].mean() + penalty / 2 * float((kernel**2).sum())
        return float(loss), gradient.astype(np.float64).reshape(-1)

    options = {"maxiter": MOST_STEPS}
    found = optimize.minimize(cost, np.zeros(shape).reshape(-1), jac=True, method="L-BFGS-B",
                              options=options)  # fmt: skip
    kernel = found.x.reshape(shape)[:-1] / deviation[:, None]
    bias = found.x.reshape(shape)[-1] - mean @ kernel
    return LinearHead(
        kernel=kernel.astype(np.float32), bias=bias.astype(np.float32), penalty=penalty
    )


def choose_penalty(features: Array, labels: Array, classes: int) -> float:
    """Return the penalty whose cross-validated cross-entropy is the lowest.

    Where no class has two images there is nothing to validate with: a middling one.
    """
    losses = {p: cross_validated(features, labels, classes, p)[0] for p in PENALTIES}
    if not np.isfinite(list(losses.values())).all():
        return PENALTY
    return min(losses, key=lambda penalty: losses[penalty])


def cross_validated(
    features: Array, labels: Array, classes: int, penalty: float, seed: int = 0
) -> tuple[float, Array]:
    """Return the mean cross-entropy and the logits of images that were held out in turn.

    Returns:
        The loss, NaN where no class has two images; and float32 ``[N, K]``, rows of NaN for
        images that were never held out, as the only ones of their class.
    """
    logits = np.full((len(labels), classes), np.nan, np.float32)
    for held_out in folds(labels, FOLDS, seed):
        rest = np.setdiff1d(np.arange(len(labels)), held_out)
        head = fit_head(features[rest], labels[rest], classes, penalty)
        logits[held_out] = head.logits(features[held_out])
    measured = np.flatnonzero(~np.isnan(logits[:, 0]))
    if not len(measured):
        return float("nan"), logits
    log_p = special.log_softmax(logits[measured], axis=1)
    loss = -log_p[np.arange(len(measured)), labels[measured]].mean()
    return float(loss), logits


def folds(labels: Array, count: int, seed: int) -> Iterator[Array]:
    """Yield indices that partition the images, each class spread evenly over the folds.

    The only image of a class is in none of them.

    Example:
        >>> [fold.tolist() for fold in folds(np.array([0, 0, 1]), 2, 0)]
        [[0], [1]]
    """
    draws = np.random.default_rng(seed)
    chosen = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = draws.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            chosen[members] = np.arange(len(members)) % count
    for number in range(count):
        fold = np.flatnonzero(chosen == number)
        if len(fold):
            yield fold
