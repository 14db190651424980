"""``MultiLabelDataset``: three splits of uint8 images, each image with any number of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cifarlab.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MultiLabelSplit:
    """Images with any number of labels each.

    Attributes:
        images: uint8 ``[N, H, W, C]``, 0 to 255, C is 3 (RGB) or 1 (grey).
        labels: uint8 ``[N, K]``, 1 where the image has the class, else 0.
        names: where each image came from, ``N`` strings.

    Example:
        >>> labels = np.array([[1, 0], [1, 1]], np.uint8)
        >>> len(MultiLabelSplit(images=np.zeros((2, 8, 8, 3), np.uint8), labels=labels))
        2
    """

    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class MultiLabelDataset:
    """Images for training, for validation and for testing, each with any number of labels.

    Attributes:
        name: the name in every output.
        source: where it was read from, for the record.
        class_names: K names, in the order of the columns of labels.
        train: the images that the weights are fitted to; every class has one.
        validation: the images that every choice is made on.
        test: used once, after training.
        loading: how it was read, as ``LoadOptions``'s own arguments.
        skipped: one line for each image that was left out because it cannot be read.

    Example:
        >>> data = load_multi_label("scenes")  # doctest: +SKIP
        >>> data.train.images.shape, data.train.labels.shape  # doctest: +SKIP
        ((1600, 32, 32, 3), (1600, 6))
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: MultiLabelSplit
    validation: MultiLabelSplit
    test: MultiLabelSplit
    loading: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()


def refuse_multi_label(data: object) -> None:
    """Raise ``InputError`` for a ``MultiLabelDataset`` where one label an image is needed."""
    if isinstance(data, MultiLabelDataset):
        raise InputError(
            f"{data.name}: a MultiLabelDataset, and one label an image is needed here; train with "
            "cifarlab.fit(model, data.train.images, data.train.labels) and measure with "
            "cifarlab.measure_multi_label"
        )
