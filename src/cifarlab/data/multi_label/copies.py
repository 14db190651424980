"""Class folders in which the same image lies in several: multi-label data, or mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cifarlab.data.multi_label.refusal import are_multi_label, refusal
from cifarlab.data.split import Split

Array = np.ndarray[Any, Any]


def refuse_several_labels(
    splits: Mapping[str, Split],
    digests: Mapping[str, Array],
    class_names: Sequence[str],
    shown: str,
) -> None:
    """Refuse data in which many images are there once in each of several classes.

    An image that is there several times in one class is a plain one, such as an empty frame.

    Args:
        splits: what the source gives as one; copies in its own test images are another matter.
        digests: ``split.pixel_digests`` of the images of each split.
        class_names: in label order.
        shown: the data, in messages.

    Raises:
        InputError: more than 5% of the different images have several labels.
    """
    parts = list(splits)
    labels = np.concatenate([splits[part].labels for part in parts])
    all_digests = np.concatenate([digests[part] for part in parts])
    _, first, inverse, counts = np.unique(
        all_digests, return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) == len(labels):
        return
    found: list[tuple[str, ...]] = [(class_names[labels[i]],) for i in first]
    by_image = np.split(labels[np.argsort(inverse, kind="stable")], np.cumsum(counts)[:-1])
    for image in np.flatnonzero(counts > 1):
        here = by_image[image]
        if len(set(here.tolist())) == len(here):
            found[image] = tuple(class_names[label] for label in here)
    if are_multi_label(found):
        names = [
            name for part in parts for name in splits[part].names or [part] * len(splits[part])
        ]
        raise refusal(shown, found, [names[i] for i in first])
