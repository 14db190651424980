"""From numbers to words: what a few seeds can show, and what they cannot."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Show = Callable[[float], str]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one list of numbers compares with another, the same seeds in both.

    Attributes:
        direction: 1 where the first is above the second for every seed, -1 where it is below
            for every seed, else 0.
        sure: whether there are several seeds and the two ranges do not overlap.
    """

    direction: int
    sure: bool

    @property
    def surely_higher(self) -> bool:
        """Whether the first is above the second for sure."""
        return self.sure and self.direction > 0

    @property
    def surely_lower(self) -> bool:
        """Whether the first is below the second for sure."""
        return self.sure and self.direction < 0


def verdict(first: Sequence[float], second: Sequence[float]) -> Verdict:
    """Compare seed by seed; infinity is above every number.

    Example:
        >>> verdict([0.6, 0.7], [0.5, 0.4])
        Verdict(direction=1, sure=True)
        >>> verdict([0.6, 0.4], [0.5, 0.5]).direction
        0
    """
    pairs = list(zip(first, second, strict=True))
    direction = 0
    if all(a > b for a, b in pairs):
        direction = 1
    elif all(a < b for a, b in pairs):
        direction = -1
    apart = min(first) > max(second) or max(first) < min(second)
    return Verdict(direction=direction, sure=apart and len(pairs) > 1)


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; infinity where one of the values is infinite."""
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.inf


def compare_in_words(
    subject: str,
    first: str,
    second: str,
    a: Sequence[float],
    b: Sequence[float],
    show: Show,
    more: str = "higher",
    less: str = "lower",
) -> str:
    """Return one sentence on whether ``a`` and ``b`` differ, and how sure that is.

    Args:
        subject: what is measured, to begin the sentence with: ``"Validation accuracy"``.
        first, second: which is which, to follow the verb: ``"with scaled pixels"``.
        a, b: the numbers, the same seeds in both.
        more, less: the words for ``a`` above ``b`` and below it.
    """
    compared, seeds = verdict(a, b), len(a)
    numbers = f"{show(mean(a))} against {show(mean(b))}"
    if compared.direction == 0:
        if seeds == 1:
            return f"{subject} was the same {first} and {second}: {numbers}."
        return (
            f"{subject} was the same {first} and {second}, as far as {seeds} seeds can show: "
            f"{numbers} on average."
        )
    begun = f"{subject} was {more if compared.direction > 0 else less} {first} than {second}"
    if seeds == 1:
        return f"{begun}, {numbers}, in the one run of each."
    if compared.sure:
        return f"{begun}, {numbers} on average; the ranges over {seeds} seeds do not overlap."
    return (
        f"{begun} with each of the {seeds} seeds, {numbers} on average, but the ranges overlap: "
        "a hint, no more."
    )


def certainty(seeds: int, verdicts: Sequence[Verdict]) -> list[str]:
    """Return a sentence on how often chance alone would do this, or none where nothing differs.

    Of all ways to divide 2n numbers into two groups of n, two keep the ranges apart.
    """
    if seeds == 1:
        return ["One seed says nothing about chance; --seeds 3 does."]
    if not any(one.sure for one in verdicts):
        return []
    times = math.comb(2 * seeds, seeds) // 2
    return [
        f"If there were no difference, {seeds} seeds on each side would still differ like this "
        f"about once in {times} comparisons."
    ]


def spread(values: Sequence[float], show: Show) -> str:
    """Return the mean, and below it the range where there are several values, for a table."""
    low, high = show(min(values)), show(max(values))
    if low == high:
        return low
    return f"{show(mean(values))}\n{low.removesuffix('%')} to {high}"


def percent(value: float) -> str:
    """Return a share as ``"61.2%"``."""
    return f"{value:.1%}"


def points(value: float) -> str:
    """Return a difference of shares as ``"3.4 points"``, of a hundred."""
    return f"{100 * value:.1f} points"


def number(value: float) -> str:
    """Return three decimals of a small number, none of a large one, or that it is none."""
    if not math.isfinite(value):
        return "no number"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return ``"a, b and c"``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def grouped(subject: str, verdicts: Mapping[str, Verdict], seeds: int) -> str:
    """Return one sentence that sorts the names in ``verdicts`` by their verdict."""
    if seeds == 1:
        kinds = {1: "higher", -1: "lower", 0: "the same"}
        names = [(kinds[v.direction], name) for name, v in verdicts.items()]
        end = " in the one run of each."
    else:
        names = [(_kind(v, seeds), name) for name, v in verdicts.items()]
        end = "."
    by_kind: dict[str, list[str]] = {}
    for kind, name in names:
        by_kind.setdefault(kind, []).append(name)
    parts = [f"{kind} with {listed(alike, 'or')}" for kind, alike in by_kind.items()]
    return f"{subject}: {'; '.join(parts)}{end}"


def _kind(one: Verdict, seeds: int) -> str:
    if one.direction == 0:
        return f"no difference that {seeds} seeds can show"
    more = "higher" if one.direction > 0 else "lower"
    return f"clearly {more}" if one.sure else f"{more} for every seed but with ranges overlapping"
