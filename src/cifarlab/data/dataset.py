"""``Dataset``: three splits of labelled uint8 images with named classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cifarlab.data.image_format import ImageFormat
from cifarlab.data.memory.from_arrays import splits_from_arrays
from cifarlab.data.split import Split, joined

__all__ = ["Dataset", "Split", "without_validation"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images for training, for validation and for testing.

    Attributes:
        name: the name in every output, such as ``"cifar10"``.
        source: where it was read from, for the record.
        class_names: one name per class, in label order.
        train: the images that the weights are fitted to.
        validation: the images that every choice is made on; empty once all are made.
        test: used once, after training.
        loading: how it was read, as ``load_dataset``'s own arguments; empty for data that was made
            in memory.
        skipped: one line for each image that was left out because it cannot be read.

    Example:
        >>> from cifarlab.data.catalog import load_dataset
        >>> data = load_dataset("shapes10")  # doctest: +SKIP
        >>> len(data.train), len(data.validation), len(data.test)  # doctest: +SKIP
        (4500, 500, 1000)
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    loading: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    @staticmethod
    def from_arrays(
        x: Any,
        y: Any,
        *,
        validation: Any = None,
        test: Any = None,
        class_names: Sequence[str] | None = None,
        name: str = "arrays",
        validation_fraction: float = 0.1,
        split_seed: int = 0,
        value_range: tuple[float, float] | None = None,
        groups: Sequence[Any] | None = None,
    ) -> Dataset:
        """Return a dataset from arrays of images and labels.

        Args:
            As ``splits_from_arrays``, which also says what is accepted, and raises.
            name: the dataset's name in every output.

        Example:
            >>> x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
            >>> y = np.arange(40) % 2
            >>> Dataset.from_arrays(x, y, test=(x, y)).train.images.shape
            (36, 8, 8, 1)
        """
        made = splits_from_arrays(
            x,
            y,
            validation=validation,
            test=test,
            class_names=class_names,
            name=name,
            validation_fraction=validation_fraction,
            split_seed=split_seed,
            value_range=value_range,
            groups=groups,
        )
        return Dataset(
            name=name,
            source="arrays in memory",
            class_names=made.class_names,
            train=made.train,
            validation=made.validation,
            test=made.test,
        )

    @property
    def image_format(self) -> ImageFormat:
        """What its images were brought to when they were read."""
        height, width, channels = self.train.images.shape[1:]
        return ImageFormat(
            height=height,
            width=width,
            channels=channels,
            resize_mode=self.loading.get("resize_mode", "squash"),
            bits=self.loading.get("bits") or 16,
        )


def without_validation(data: Dataset) -> Dataset:
    """Return ``data`` with the validation images moved into the training split."""
    return replace(
        data,
        train=joined((data.train, data.validation)),
        validation=data.validation.subset(np.arange(0)),
    )
