"""Images of a dataset that are there twice, in one split or in two."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.split import pixel_digests
from cifarlab.evaluation.duplicates import near_duplicates

# Of each split, chosen at random; comparing takes the square of that.
NEAR_SAMPLE = 4_000
EXACT_SAMPLE = 200_000

Array = np.ndarray[Any, Any]
# The name of a split, and the index of an image in it.
Place = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two images that are the same or look alike.

    Attributes:
        first, second: where they are: the name of a split, and the index there.
        distance: root mean square difference at the best match, 0 to 255; 0 for equal pixels.
        same_label: whether both are of one class.
    """

    first: Place
    second: Place
    distance: float
    same_label: bool

    @property
    def across(self) -> bool:
        """Whether they are in two splits."""
        return self.first[0] != self.second[0]


@dataclass(frozen=True, kw_only=True)
class Twice:
    """What was found.

    Attributes:
        equal: pairs of the same pixels: each image that is there already, with the first such.
        near: other pairs that look alike, nearest first.
        compared_equal, compared_near: how many images of each split were compared.
    """

    equal: tuple[Pair, ...]
    near: tuple[Pair, ...]
    compared_equal: Mapping[str, int]
    compared_near: Mapping[str, int]


def find_twice(data: Dataset, seed: int = 0) -> Twice:
    """Look for equal and for similar images, in random samples of splits that are large."""
    splits = {name: split for name, split in splits_of(data).items() if len(split)}
    draws = np.random.default_rng(seed)
    exact = {name: _sample(split, EXACT_SAMPLE, draws) for name, split in splits.items()}
    near = {name: _sample(split, NEAR_SAMPLE, draws) for name, split in splits.items()}
    equal = tuple(_equal(splits, exact))
    known = {frozenset((pair.first, pair.second)) for pair in equal}
    found = {frozenset((p.first, p.second)): p for p in _near(splits, near)}
    others = [pair for places, pair in found.items() if places not in known and pair.distance > 0]
    return Twice(
        equal=tuple(sorted(equal, key=lambda pair: (not pair.across, pair.same_label))),
        near=tuple(sorted(others, key=lambda pair: (pair.distance, pair.first, pair.second))),
        compared_equal={name: len(chosen) for name, chosen in exact.items()},
        compared_near={name: len(chosen) for name, chosen in near.items()},
    )


def splits_of(data: Dataset) -> dict[str, Split]:
    """Return the splits by name."""
    return {"train": data.train, "validation": data.validation, "test": data.test}


def _sample(split: Split, most: int, draws: np.random.Generator) -> Array:
    if len(split) <= most:
        return np.arange(len(split))
    return np.sort(draws.choice(len(split), most, replace=False))


def _equal(splits: Mapping[str, Split], chosen: Mapping[str, Array]) -> Iterator[Pair]:
    seen: dict[int, Place] = {}
    for name, indices in chosen.items():
        digests = pixel_digests(splits[name].images[index] for index in indices)
        for index, digest in zip(indices.tolist(), digests.tolist(), strict=True):
            if digest in seen:
                yield _pair(splits, seen[digest], (name, index), 0.0)
            else:
                seen[digest] = (name, index)


def _near(splits: Mapping[str, Split], chosen: Mapping[str, Array]) -> Iterator[Pair]:
    images = {name: _rgb(splits[name].images[indices]) for name, indices in chosen.items()}
    for first, second in itertools.combinations_with_replacement(splits, 2):
        for one, other in _halves(len(images[first])) if first == second else [(..., ...)]:
            places = chosen[first][one], chosen[second][other]
            for pair in near_duplicates(images[first][one], images[second][other]):
                found = (first, int(places[0][pair.index])), (second, int(places[1][pair.other]))
                yield _pair(splits, *found, pair.distance)


def _halves(count: int) -> Iterator[tuple[Array, Array]]:
    """Divide 0 to ``count - 1`` in two again and again, so that each two numbers get apart once.

    Any two numbers differ in a binary digit.
    """
    numbers = np.arange(count)
    for digit in range((count - 1).bit_length()):
        is_one = (numbers >> digit) % 2 == 1
        yield numbers[~is_one], numbers[is_one]


def _rgb(images: Array) -> Array:
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else np.asarray(images)


def _pair(splits: Mapping[str, Split], first: Place, second: Place, distance: float) -> Pair:
    labels = [int(splits[name].labels[index]) for name, index in (first, second)]
    return Pair(first=first, second=second, distance=distance, same_label=labels[0] == labels[1])
