"""What is worth knowing of a dataset before training on it, with what to do about it.

``train`` says it before it begins, ``data check`` and the page of a dataset say the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.readers.file_names import GUESS, NO_CLASSES
from cifarlab.evaluation.metrics import uneven
from cifarlab.files import printable

# Longer lists of classes are cut.
NAMED = 5
UNEVEN_REMEDY = (
    "; accuracy hardly notices the rare ones, macro-F1 does, and --class-weights balanced trains "
    "them as much as the others"
)
# A name with two numbers, such as patient07_003.png: all but the last may be who or where.
GROUP_PATTERN = r"([^/]*\d)[^/\d]+\d+(?:\.[^/.]*)?$"
# Below, the names are more likely to be something else than a few scenes seen many times.
IMAGES_IN_A_GROUP = 3
FULL_BITS = 16


def data_notes(data: Dataset, *, evened_out: bool = False) -> Iterator[str]:
    """Yield one line for each; the images of the test split are not looked at, its names are.

    Args:
        evened_out: whether training makes up for uneven classes already.

    Example:
        >>> from cifarlab.data.catalog import load_dataset
        >>> list(data_notes(load_dataset("shapes10")))
        []
    """
    yield from _on_bits(data)
    yield from uneven_classes(data, evened_out=evened_out)
    yield from _on_groups(data)
    yield from _on_names(data)


def uneven_classes(data: Dataset, *, evened_out: bool = False) -> Iterator[str]:
    """Yield a line where some class has several times the training images of another."""
    counts = _present(data.train, data)
    if uneven(list(counts.values())):
        most, fewest = (choose(counts, key=counts.__getitem__) for choose in (max, min))
        yield (
            f"uneven classes: {counts[most]:,} images of {printable(most)}, {counts[fewest]:,} of "
            f"{printable(fewest)}{'' if evened_out else UNEVEN_REMEDY}"
        )


def _on_bits(data: Dataset) -> Iterator[str]:
    bits = data.loading.get("bits") or FULL_BITS
    if bits < FULL_BITS:
        yield (
            f"values in 16-bit files are taken as {bits}-bit: {2**bits - 1:,} is white "
            "(--bits says otherwise)"
        )


def classes_without_images(data: Dataset) -> Iterator[str]:
    """Yield a line on classes without images to train on, and on those without any to validate.

    ``load_dataset`` warns of them itself; arrays in memory come without that.

    Example:
        >>> from dataclasses import replace
        >>> x = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8, 1)
        >>> y = np.arange(20) % 2
        >>> data = Dataset.from_arrays(x, y, test=(x, y), class_names=["a", "b"])
        >>> data = replace(data, class_names=("a", "b", "c"))
        >>> list(classes_without_images(data))
        ['no images for training, so never learnt: c']
    """
    trained_on = _present(data.train, data)
    if absent := [name for name in data.class_names if name not in trained_on]:
        yield f"no images for training, so never learnt: {_listed(absent)}"
    if len(data.validation):
        held_out = _present(data.validation, data)
        if unmeasured := [name for name in trained_on if name not in held_out]:
            yield f"trained on, but too few images to validate with: {_listed(unmeasured)}"


def _on_groups(data: Dataset) -> Iterator[str]:
    """Say where names look as if several images were of one patient, video or the like."""
    if data.loading.get("group_by") is not None:
        return
    train = _groups(data.train.names)
    # Each class a group is how files are numbered, not who is in them.
    if len(train) <= len(data.class_names):
        return
    if len(data.train) < IMAGES_IN_A_GROUP * len(train):
        return
    shared = set(train) & {*_groups(data.validation.names), *_groups(data.test.names)}
    if shared:
        example = max(shared, key=lambda name: (train[name], name))
        yield (
            f"file names look like {len(train):,} groups, such as {printable(example)} with "
            f"{train[example]:,} images for training, and {len(shared):,} are in other splits too; "
            "if a group is one patient, video or the like, accuracy comes out too high: keep it "
            f"together with --group-by '{GROUP_PATTERN}'"
        )


def _on_names(data: Dataset) -> Iterator[str]:
    """Say where the classes may be in the files' names, and the folders patients or the like."""
    if data.loading.get("label_pattern") is not None or data.loading.get("labels") is not None:
        return
    matches = [re.search(GUESS, name) for name in data.train.names]
    words = [match[1].casefold() for match in matches if match]
    known = set(words)
    if len(words) < len(data.train) or len(known) < 2 or known & NO_CLASSES:
        return
    of_class: dict[int, set[str]] = {}
    for label, word in zip(data.train.labels.tolist(), words, strict=True):
        of_class.setdefault(label, set()).add(word)
    mixed = all(len(found) > 1 for found in of_class.values())
    spread = all(sum(word in found for found in of_class.values()) > 1 for word in known)
    if mixed and spread and 2 * len(known) <= len(words):
        yield (
            f"in every class there are files called after {_listed(sorted(known))}: if these are "
            f"the classes, and {_listed(data.class_names)} are not, use --label-pattern '{GUESS}'"
        )


def _groups(names: Sequence[str]) -> Counter[str]:
    """Return how many images have each beginning of a name; nothing where some have none."""
    matches = [match for name in names if (match := re.search(GROUP_PATTERN, name))]
    return Counter(match[1] for match in matches) if len(matches) == len(names) else Counter()


def _present(split: Split, data: Dataset) -> dict[str, int]:
    """Return the number of images of each class that has any."""
    counts = np.bincount(split.labels, minlength=len(data.class_names)).tolist()
    return {name: n for name, n in zip(data.class_names, counts, strict=True) if n}


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names[:NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
