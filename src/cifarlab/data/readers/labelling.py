"""``Labelling``: which image files of a place are in which split, and the class of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from cifarlab.data.load_options import AUTO, LoadOptions
from cifarlab.files import printable

MAX_LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The image files of one split and the class of each."""

    paths: tuple[PurePath, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """One way to tell the class of each image file.

    Attributes:
        reading: what tells the class, in words.
        class_names: one name for each class, numbers in numeric order.
        splits: the images of each split that the source has; ``train`` always.
        unlabelled: images of a split whose classes are not told.
        tables: the files that were read for it.
        notes: one line for each decision that a user should know of.
        options: the explicit options that it stands for, by ``LoadOptions``'s names.
    """

    reading: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Labelled]
    unlabelled: tuple[PurePath, ...] = ()
    tables: tuple[PurePath, ...] = ()
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_path(self) -> dict[PurePath, tuple[str, str]]:
        """The split and the class name of each labelled image."""
        return {
            path: (split, self.class_names[label])
            for split, labelled in self.splits.items()
            for path, label in zip(labelled.paths, labelled.labels, strict=True)
        }


def of_pairs(pairs: Sequence[tuple[PurePath, int]]) -> Labelled:
    """Return ``Labelled`` of pairs of image and label."""
    return Labelled(
        paths=tuple(path for path, _ in pairs), labels=tuple(label for _, label in pairs)
    )


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a sort key that puts numbers in numeric order.

    Example:
        >>> sorted(["class10", "class2", "Class1"], key=natural_order)
        ['Class1', 'class2', 'class10']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(p), p) if p.isdecimal() and p.isascii() else (1, 0, p) for p in parts if p)


def same_class(name: str) -> str:
    """Return what two spellings of one class have in common: neither case nor blanks differ."""
    return " ".join(name.casefold().split())


def some(names: Sequence[str]) -> str:
    """Return the first names and how many more there are, fit for a message."""
    shown = ", ".join(printable(name) for name in names[:MAX_LISTED])
    return shown if len(names) <= MAX_LISTED else f"{shown} and {len(names) - MAX_LISTED:,} more"


def are_of_files(options: LoadOptions) -> bool:
    """Whether the options say where the classes of image files are told."""
    told = options.labels, options.label_pattern
    return any(told) or options.class_folder != AUTO
