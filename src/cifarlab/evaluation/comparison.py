"""Compare recipes over seeds, and two classifiers image by image, with significance tests."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.metrics import checked_labels
from cifarlab.predictions import Predictions

POWER = 0.8
MOST_SEEDS = 1000
# Far below the share of one image: the difference of equal accuracies, up to rounding.
ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The accuracies of one recipe.

    Attributes:
        name: of the recipe.
        accuracies: one for each seed; 0 to 1.
        mean: their mean.
        std: their standard deviation (divisor n - 1), ``None`` for one seed.
        interval: 95% t-interval of the mean, (low, high), ``None`` for one seed. It may reach
            past 0 or 1.
    """

    name: str
    accuracies: tuple[float, ...]
    mean: float
    std: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The comparison of two recipes.

    Attributes:
        first: name of the first.
        second: name of the second.
        difference: mean of the first minus mean of the second; -1 to 1.
        interval: t-interval of the difference at confidence 1 - alpha, (low, high), not widened
            for the number of pairs; ``None`` for one seed or when all differences are equal.
        p_value: of the paired t-test; ``None`` for one seed.
        corrected_p: the same after Holm's correction for the number of pairs.
        distinguishable: whether ``corrected_p`` is at most alpha.
        seeds_needed: the number of seeds that would show this difference; ``None`` when it is
            shown already, when it cannot be estimated, or when it is above 1,000.
        verdict: the result as one line of text.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    corrected_p: float | None
    distinguishable: bool
    seeds_needed: int | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Recipes and all pairs of them, in the order given; ``alpha`` is the significance level."""

    samples: tuple[Sample, ...]
    pairs: tuple[Pair, ...]
    alpha: float

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain Python values."""
        return {
            "samples": [_plain(sample) for sample in self.samples],
            "pairs": [_plain(pair) for pair in self.pairs],
            "alpha": self.alpha,
        }


@dataclass(frozen=True, kw_only=True)
class PairedImages:
    """Two classifiers on the same images.

    Attributes:
        first_only_right: images that only the first gets right.
        second_only_right: images that only the second gets right.
        difference: accuracy of the first minus that of the second; -1 to 1.
        p_value: probability of a difference this large by chance alone; 0 to 1.
    """

    first_only_right: int
    second_only_right: int
    difference: float
    p_value: float


def compare_accuracies(
    accuracies: Mapping[str, Sequence[float]], alpha: float = 0.05
) -> Comparison:
    """Compare recipes that were trained with the same seeds, every pair of them.

    The test is the paired t-test, because seed i of one recipe belongs to seed i of another. With
    more than two recipes the p-values are corrected (S. Holm, "A simple sequentially rejective
    multiple test procedure", 1979), so that all pairs together give a false alarm in at most
    ``alpha`` of all cases. When all differences of a pair are equal there is no t-test; the
    p-value is then that of the sign test, 2^(1 - n).

    The seeds needed are those that show the observed difference, at the observed spread, with 80%
    probability (noncentral t), at ``alpha`` divided by the number of pairs.

    Args:
        accuracies: for each recipe one accuracy per seed, 0 to 1, in the same order of seeds.
        alpha: share of false alarms allowed, between 0 and 1.

    Raises:
        InputError: an accuracy is not within 0 to 1, or recipes have none or different numbers.
        UsageError: there are no recipes, or ``alpha`` is not between 0 and 1.
    """
    if not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha {alpha}: it must lie between 0 and 1; use 0.05")
    table = _checked(accuracies)
    couples = list(itertools.combinations(table, 2))
    differences = [table[first] - table[second] for first, second in couples]
    raw = [_p_value(values) for values in differences]
    pairs = [
        _pair(couple, values, (p, corrected), alpha, len(couples))
        for couple, values, p, corrected in zip(couples, differences, raw, _holm(raw), strict=True)
    ]
    samples = (_sample(name, values) for name, values in table.items())
    return Comparison(samples=tuple(samples), pairs=tuple(pairs), alpha=alpha)


def same_images(first: Predictions, second: Predictions) -> PairedImages:
    """Compare two classifiers on the same images with McNemar's exact test.

    Images that both get right, or both wrong, do not show which is better; of the others
    each gets half by chance (Q. McNemar, "Note on the sampling error of the difference
    between correlated proportions", 1947). It compares these two trained models, not their
    recipes.

    Raises:
        InputError: the labels or class names differ, or as ``measure``.
    """
    from scipy.stats import binomtest

    for predictions in (first, second):
        checked_labels(predictions)
    if first.class_names != second.class_names or not np.array_equal(
        np.asarray(first.labels), np.asarray(second.labels)
    ):
        raise InputError(
            f"labels of {len(first)} and {len(second)} images: both classifiers must be given "
            "the same images in the same order; evaluate both on one split"
        )
    right, other = (one.predicted == one.labels for one in (first, second))
    ahead, behind = int((right & ~other).sum()), int((other & ~right).sum())
    p_value = binomtest(ahead, ahead + behind).pvalue if ahead + behind else 1.0
    return PairedImages(
        first_only_right=ahead,
        second_only_right=behind,
        difference=(ahead - behind) / len(first),
        p_value=float(p_value),
    )


def _checked(accuracies: Mapping[str, Sequence[float]]) -> dict[str, np.ndarray[Any, Any]]:
    if not accuracies:
        raise UsageError("0 recipes: there is nothing to compare; give the accuracies of 2 or more")
    table = {name: np.asarray(values, np.float64) for name, values in accuracies.items()}
    n = len(next(iter(accuracies.values())))
    for name, values in table.items():
        if values.ndim != 1 or len(values) != n or n == 0:
            raise InputError(
                f"{name}: {values.size} accuracies; every recipe needs one for each of the same "
                f"seeds, 1 or more, and the first has {n}; train the missing ones"
            )
        if not ((values >= 0.0) & (values <= 1.0)).all():
            wrong = f"{name}: accuracies {values.tolist()}"
            raise InputError(f"{wrong} must lie within 0 to 1; divide percentages by 100")
    return table


def _sample(name: str, values: np.ndarray[Any, Any]) -> Sample:
    every, mean = tuple(values.tolist()), float(values.mean())
    if len(values) == 1:
        return Sample(name=name, accuracies=every, mean=mean, std=None, interval=None)
    return Sample(
        name=name,
        accuracies=every,
        mean=mean,
        std=float(values.std(ddof=1)),
        interval=_interval(values, 0.05),
    )


def _interval(values: np.ndarray[Any, Any], alpha: float) -> tuple[float, float]:
    from scipy.stats import t

    n, mean = len(values), float(values.mean())
    half = float(t.isf(alpha / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def _without_spread(differences: np.ndarray[Any, Any]) -> bool:
    return float(np.ptp(differences)) <= ROUNDING


def _p_value(differences: np.ndarray[Any, Any]) -> float | None:
    from scipy.stats import ttest_rel

    n = len(differences)
    if n < 2:
        return None
    if not _without_spread(differences):
        return float(ttest_rel(differences, np.zeros(n)).pvalue)
    return 1.0 if abs(float(differences[0])) <= ROUNDING else 2.0 ** (1 - n)


def _holm(raw: list[float | None]) -> list[float | None]:
    known = sorted((p, index) for index, p in enumerate(raw) if p is not None)
    corrected: list[float | None] = [None] * len(raw)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[index] = highest
    return corrected


def _pair(
    names: tuple[str, str],
    differences: np.ndarray[Any, Any],
    p_values: tuple[float | None, float | None],
    alpha: float,
    pairs: int,
) -> Pair:
    raw, corrected = p_values
    shown = corrected is not None and corrected <= alpha
    spread = len(differences) > 1 and not _without_spread(differences)
    interval = _interval(differences, alpha) if spread else None
    needed = None if shown or raw is None else _seeds_needed(differences, alpha / pairs)
    return Pair(
        first=names[0],
        second=names[1],
        difference=float(differences.mean()),
        interval=interval,
        p_value=raw,
        corrected_p=corrected,
        distinguishable=shown,
        seeds_needed=needed,
        verdict=_verdict(names, differences, interval, corrected, alpha, needed),
    )


def _seeds_needed(differences: np.ndarray[Any, Any], alpha: float) -> int | None:
    """Return the smallest number of seeds for 80% power of a paired t-test, if at most 1,000."""
    from scipy.stats import nct, t

    mean = abs(float(differences.mean()))
    if _without_spread(differences):
        # The sign test: 2^(1 - n) must fall to alpha.
        return None if mean <= ROUNDING else math.ceil(1 - math.log2(alpha))
    effect = mean / float(differences.std(ddof=1))

    def power(n: int) -> float:
        # A significant difference of the wrong sign does not count as success.
        return float(nct.sf(t.isf(alpha / 2, n - 1), n - 1, effect * math.sqrt(n)))

    needed = 2 + bisect_left(range(2, MOST_SEEDS + 1), POWER, key=power)
    return needed if needed <= MOST_SEEDS else None


def _verdict(
    names: tuple[str, str],
    differences: np.ndarray[Any, Any],
    interval: tuple[float, float] | None,
    corrected: float | None,
    alpha: float,
    needed: int | None,
) -> str:
    n, mean = len(differences), float(differences.mean())
    if corrected is None:
        return "one seed tells nothing about chance: give at least 2"
    if corrected <= alpha:
        better, worse = names if mean > 0 else names[::-1]
        spread = "the same with every seed"
        if interval:
            low, high = sorted(abs(end) for end in interval)
            spread = f"{(1 - alpha) * 100:g}% interval {low * 100:.2f} to {high * 100:.2f}"
        p = f"p={corrected:.3f}" if corrected >= 0.001 else "p<0.001"
        gap = f"{abs(mean) * 100:.2f} points ({spread}, {p}, {n=})"
        return f"{better} is better than {worse} by {gap}"
    if _without_spread(differences) and abs(mean) <= ROUNDING:
        return f"identical at {n=}"
    seeds = f"about {needed}" if needed else f"more than {MOST_SEEDS:,}"
    return f"not distinguishable at {n=}; you would need {seeds} seeds"


def _plain(part: Sample | Pair) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(part).items()
    }
