"""A dataset of several labels an image is refused by name where one label is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset
from cifarlab.data.memory.from_memory import dataset_from
from cifarlab.data.multi_label.dataset import MultiLabelDataset, MultiLabelSplit
from cifarlab.errors import InputError


@pytest.mark.parametrize("take", [load_dataset, dataset_from])
def test_what_takes_one_label_an_image_says_what_to_do(take: Callable[[Any], Dataset]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    split = MultiLabelSplit(images=images, labels=np.ones((4, 2), np.uint8))
    data = MultiLabelDataset(
        name="scenes",
        source="here",
        class_names=("sea", "sun"),
        train=split,
        validation=split,
        test=split,
    )
    with pytest.raises(InputError, match=r"scenes: a MultiLabelDataset, .* cifarlab\.fit\("):
        take(data)
