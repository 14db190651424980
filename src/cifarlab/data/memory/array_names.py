"""What the names of arrays say: images or labels, and of which split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cifarlab.data.memory.image_arrays import UnsuitableError
from cifarlab.data.readers.split_names import TRAIN, all_in_one, splits_of
from cifarlab.files import printable

IMAGES, LABELS, NAMES = "images", "labels", "class names"
IMAGE_WORDS = frozenset(("x", "image", "images", "img", "imgs", "data", "pixels", "values"))
LABEL_WORDS = frozenset(("y", "label", "labels", "lbl", "target", "targets", "class", "fine"))
NAME_WORDS = frozenset(("names", "classes"))
# As in xtrain and ytest.
_JOINED = re.compile(
    r"^([xy])(train|val|valid|validation|dev|test)$|^(train|val|valid|test)([xy])$"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The names of the images and of the labels of one split; ``labels`` may be missing."""

    images: str
    labels: str | None


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Which array is what.

    Attributes:
        splits: the arrays of each split; ``"train"`` is among them, with labels.
        class_names: the array of class names, if there is one.
        others: arrays that are none of these.
    """

    splits: Mapping[str, Pair]
    class_names: str | None
    others: tuple[str, ...]


def pair_up(
    names: Iterable[str],
    *,
    image_column: str | None = None,
    label_column: str | None = None,
    measuring: bool = False,
) -> Pairs:
    """Find images and labels among named arrays.

    Args:
        names: such as ``"x_train"``, ``"val_labels"``, ``"images"``.
        image_column, label_column: the names to look for, with or without the word for a split.
        measuring: a model is to be measured, so that images of any one split are enough.

    Raises:
        UnsuitableError: no images or labels to train on, or several that could be them.

    Example:
        >>> pair_up(["x_train", "y_train", "x_test", "y_test"]).splits["test"].labels
        'y_test'
    """
    names = list(names)
    told = {IMAGES: image_column, LABELS: label_column}
    roles = {name: _role(name, told) for name in names}
    phrases = {name: " ".join(_words(name)) for name in names}
    spoken = splits_of(list(phrases.values()))
    places: dict[tuple[str | None, str], list[str]] = {}
    for name, role in roles.items():
        if role in (IMAGES, LABELS):
            places.setdefault((spoken.get(phrases[name]), role), []).append(name)
    shown = ", ".join(printable(name) for name in names) or "no arrays"
    for (_, role), several in places.items():
        if len(several) > 1:
            option = "--image-column" if role == IMAGES else "--label-column"
            raise UnsuitableError(
                f"{' and '.join(map(printable, several))} may be the {role}; say which with "
                f"{option} NAME, or in Python give the pair (x, y)"
            )
    splits = all_in_one(
        _splits({key: several[0] for key, several in places.items()}), measuring=measuring
    )
    if TRAIN not in splits or splits[TRAIN].labels is None:
        raise UnsuitableError(
            f"holds {shown}; images and labels to train on are called x_train and y_train, or "
            "images and labels; rename them, or name them with --image-column and --label-column"
        )
    titles = [name for name, role in roles.items() if role == NAMES]
    used = {name for pair in splits.values() for name in (pair.images, pair.labels)}
    used |= set(titles[:1])
    return Pairs(
        splits=splits,
        class_names=titles[0] if len(titles) == 1 else None,
        others=tuple(name for name in names if name not in used),
    )


def _splits(places: Mapping[tuple[str | None, str], str]) -> dict[str, Pair]:
    """Arrays whose names speak of no split are for training, unless others are called so."""
    named = {split for split, role in places if role == IMAGES}
    splits = {}
    for split in named:
        if split is None and TRAIN in named:
            continue
        pair = Pair(images=places[split, IMAGES], labels=places.get((split, LABELS)))
        splits[split or TRAIN] = pair
    return splits


def _role(name: str, told: Mapping[str, str | None]) -> str | None:
    for role, column in told.items():
        if column is not None and (name == column or subject(name) == subject(column)):
            return role
    words = _words(name)
    if NAME_WORDS & set(words):
        return NAMES
    if LABEL_WORDS & set(words):
        return None if told[LABELS] else LABELS
    if IMAGE_WORDS & set(words):
        return None if told[IMAGES] else IMAGES
    return None


def subject(name: str) -> tuple[str, ...]:
    """Return the words of a name that do not speak of a split.

    Example:
        >>> subject("x_train"), subject("validation")
        (('x',), ())
    """
    words = _words(name)
    spoken = splits_of(words)
    return tuple(word for word in words if word not in spoken)


def _words(name: str) -> list[str]:
    words: list[str] = []
    for word in re.findall(r"[a-z]+", _CAMEL.sub("_", name).casefold()):
        joined = _JOINED.match(word)
        words += [part for part in joined.groups() if part] if joined else [word]
    return words
