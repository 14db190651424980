"""Wrong labels among training images are found by models that have not seen them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cifarlab.data.dataset import Dataset
from cifarlab.errors import UsageError
from cifarlab.evaluation.label_issues import find_label_issues
from cifarlab.experiments.label_audit import out_of_fold
from cifarlab.runtime.progress import Silent
from tiny import CLASSES, tiny_dataset, tiny_recipe, tiny_split


def with_flipped_labels(count: int) -> tuple[Dataset, set[int]]:
    train = tiny_split(300, 0)
    flipped = np.random.default_rng(1).choice(300, count, replace=False)
    labels = train.labels.copy()
    labels[flipped] = (labels[flipped] + 1) % len(CLASSES)
    return replace(tiny_dataset(), train=replace(train, labels=labels)), set(flipped.tolist())


def test_flipped_labels_are_the_most_suspect() -> None:
    data, flipped = with_flipped_labels(6)
    said: list[str] = []

    class Listening(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    found = out_of_fold(
        tiny_recipe(epochs=20, stop=None, augment=()), data, folds=2, progress=Listening()
    )
    assert np.array_equal(found.labels, data.train.labels)
    assert len(said) == 2
    # 2% are flipped: at least half of them among the top 3%.
    suspects = set(find_label_issues(found).ranking[:9].tolist())
    assert len(suspects & flipped) >= 3


class Untouchable:
    """A split that must not be read."""

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"test.{name} was read")


def test_the_test_split_is_not_read() -> None:
    data = replace(tiny_dataset(), test=Untouchable())  # type: ignore[arg-type]
    found = out_of_fold(tiny_recipe(epochs=1), data, folds=2)
    assert len(found) == len(data.train)


@pytest.mark.parametrize("folds", [0, 1, 51])
def test_the_number_of_folds_has_limits(folds: int) -> None:
    with pytest.raises(UsageError, match="folds"):
        out_of_fold(tiny_recipe(), tiny_dataset(), folds)
