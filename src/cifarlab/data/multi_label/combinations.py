"""Every combination of labels as a class of its own, so that all readers and the cache can hold it.

The first name is a JSON list of all classes, and stands for no image; every other is a JSON list of
the classes of some images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cifarlab.data.multi_label.cells import Labels, are_lists, labels_of, mark_in
from cifarlab.data.readers.label_values import Classes, named_classes
from cifarlab.data.readers.split_names import TRAIN
from cifarlab.files import printable

Array = np.ndarray[Any, Any]


def as_combinations(
    values: Mapping[str, Sequence[Any]],
    *,
    where: str,
    declared: Sequence[str] = (),
    fewest: int = 2,
) -> Classes:
    """Return the combinations in the cells of the splits, as ``label_values.as_classes`` does.

    Raises:
        InputError: as ``combined``, or a list holds more than plain values.
    """
    cells = [cell for column in values.values() for cell in column]
    labels = iter(labels_of(cells, where))
    by_split = {split: [next(labels) for _ in column] for split, column in values.items()}
    classes = combined(by_split, where=where, declared=declared, fewest=fewest)
    return replace(classes, notes=(*marks_note(cells, where), *classes.notes))


def marks_note(cells: Sequence[Any], where: str) -> tuple[str, ...]:
    """Return a line that says where text was divided into labels; none if it was not."""
    mark = None if are_lists(cells) else mark_in(cells)
    if mark is None:
        return ()
    example = next(cell for cell in cells if isinstance(cell, str) and mark in cell.strip())
    return (f"{where}: labels such as {printable(example)!r} are divided at {mark!r}",)


def combined(
    values: Mapping[str, Sequence[Labels]],
    *,
    where: str,
    declared: Sequence[str] = (),
    fewest: int = 2,
) -> Classes:
    """Return the combinations of labels that occur.

    Args:
        values: the labels of each image of each split, ``"train"`` among them; none of the
            classes (an empty tuple) is a combination, too, and ``None`` is not known.
        where: the name of the column in messages.
        declared: class names in label order, where the source lists them.
        fewest: how many classes there must be.

    Raises:
        InputError: the labels are no classes, too few or too many, or a class has no training
            image.
    """
    flat = {
        split: [label for labels in column for label in labels or ()]
        for split, column in values.items()
    }
    said = {split: labels for split, labels in flat.items() if labels or split == TRAIN}
    classes = named_classes(said, where=where, declared=declared, fewest=fewest)
    sets: dict[tuple[int, ...], int] = {}
    numbered = {}
    for split, column in values.items():
        numbers = iter(classes.labels[split].tolist() if split in classes.labels else ())
        of_images = [None if c is None else sorted({next(numbers) for _ in c}) for c in column]
        # The first name is that of all classes together.
        numbered[split] = np.array(
            [
                -1 if c is None else sets.setdefault(tuple(n for n in c if n >= 0), len(sets) + 1)
                for c in of_images
            ],
            dtype=np.int64,
        )
    named = [json.dumps([classes.names[n] for n in one]) for one in sets]
    unknown = sum(labels is None for column in values.values() for labels in column)
    note = f"left out {unknown:,} images without a label; [] says that none of the classes fits"
    return Classes(
        names=(json.dumps(classes.names), *named),
        labels={split: labels for split, labels in numbered.items() if (labels >= 0).any()},
        notes=(*classes.notes, *((note,) if unknown else ())),
    )


def table_of(names: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    """Return the names of the classes, and uint8 ``[C, K]``: the classes of each combination.

    Args:
        names: as ``as_combinations`` gives them, C of them.

    Example:
        >>> classes, rows = table_of(['["cat", "dog"]', '["dog"]', '[]'])
        >>> classes, rows[1].tolist(), rows[2].tolist()
        (('cat', 'dog'), [0, 1], [0, 0])
    """
    classes, *sets = [json.loads(name) for name in names]
    column = {name: k for k, name in enumerate(classes)}
    rows = np.zeros((len(names), len(classes)), np.uint8)
    for row, names_here in enumerate(sets, start=1):
        rows[row, [column[name] for name in names_here]] = 1
    return tuple(classes), rows
