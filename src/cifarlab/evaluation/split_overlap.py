"""Near-duplicates of validation and test images among the training images."""

from __future__ import annotations

from collections.abc import Mapping

from cifarlab.data.dataset import Dataset
from cifarlab.errors import warn_user
from cifarlab.evaluation.duplicates import near_duplicates
from cifarlab.files import printable

# Pairs that are compared in about two seconds on one core.
MOST_PAIRS = 20_000_000
# Smaller images are alike without being duplicates: of scikit-learn's digits, 8x8, one in six is.
SMALLEST_SIDE = 16


def near_duplicates_of_train(data: Dataset) -> Mapping[str, int] | None:
    """Return how many images of validation and test have a near-duplicate in train.

    ``None`` where the images are smaller than 16 pixels, too small to tell.

    Example:
        >>> from cifarlab.data.catalog import load_dataset
        >>> near_duplicates_of_train(load_dataset("shapes10"))
        {'validation': 7, 'test': 15}
    """
    if min(data.train.images.shape[1:3]) < SMALLEST_SIDE:
        return None
    held_out = {"validation": data.validation, "test": data.test}
    return {
        name: len(near_duplicates(split.images, data.train.images))
        for name, split in held_out.items()
    }


def warn_of_near_duplicates(data: Dataset) -> None:
    """Warn where there are any, if the data are few enough to be compared in passing."""
    held_out = len(data.validation) + len(data.test)
    if len(data.train) * held_out > MOST_PAIRS:
        return
    note = near_duplicates_note(data, near_duplicates_of_train(data))
    if note is not None:
        warn_user(note)


def near_duplicates_note(data: Dataset, counted: Mapping[str, int] | None) -> str | None:
    """Return a line with the remedy where ``near_duplicates_of_train`` counted any."""
    found = {name: count for name, count in (counted or {}).items() if count}
    if not found:
        return None
    counts = " and ".join(
        f"{count:,} of {len(getattr(data, name)):,} {name} images" for name, count in found.items()
    )
    return (
        f"{printable(data.source)}: {counts} look much like training images; if they are of one "
        "video, patient or the like, accuracy comes out too high: keep them together with "
        "--group-by"
    )
