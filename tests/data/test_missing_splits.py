"""Splits that data lack: every image once, each class trained on, and something measured."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.missing_splits import fill_missing, missing_from, too_few
from cifarlab.data.split import Split
from cifarlab.errors import InputError, UsageError


def split(labels: list[int]) -> Split:
    images = np.zeros((len(labels), 8, 8, 1), np.uint8)
    return Split(
        images=images,
        labels=np.array(labels, np.int64),
        names=tuple(str(number) for number in range(len(labels))),
    )


def filled(labels: list[int], seed: int = 0, **more: Split) -> dict[str, Split]:
    return fill_missing(
        {"train": split(labels), **more}, None, validation_fraction=0.1, seed=seed, shown="toy"
    )


@given(st.lists(st.integers(1, 5), min_size=2, max_size=9), st.integers(0, 5))
def test_every_image_is_in_one_split_and_every_class_is_trained_on(
    counts: list[int], seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    # Something can be measured in both splits only where two images can be spared.
    if sum(count - 1 for count in counts) < 2:
        with pytest.raises(InputError, match="no class has an image to spare"):
            filled(labels, seed)
        return
    parts = filled(labels, seed)
    names = [name for part in parts.values() for name in part.names]
    assert sorted(names, key=int) == [str(number) for number in range(len(labels))]
    assert set(parts["train"].labels) == set(labels)
    assert len(parts["validation"]) >= 1
    assert len(parts["test"]) >= 1
    assert {k: v.names for k, v in parts.items()} == {
        k: v.names for k, v in filled(labels, seed).items()
    }


def test_of_two_images_a_class_one_trains_and_one_is_measured() -> None:
    parts = filled([0, 0, 1, 1, 2, 2, 3, 3])
    assert {name: len(part) for name, part in parts.items()} == {
        "train": 4,
        "test": 2,
        "validation": 2,
    }
    assert sorted(parts["train"].labels) == [0, 1, 2, 3]
    assert sorted([*parts["test"].labels, *parts["validation"].labels]) == [0, 1, 2, 3]


def test_one_image_a_class_is_refused_with_what_is_needed() -> None:
    with pytest.raises(InputError, match=r"spare for test, .*give more images of a class"):
        filled([0, 1, 2])
    with pytest.raises(InputError, match=r"spare for validation, .* or validation images of"):
        filled([0, 1, 2], test=split([0, 1, 2]))


def test_shares_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing is left to train on"):
        fill_missing(
            {"train": split([0, 1] * 20)}, None, validation_fraction=0.95, seed=0, shown="toy"
        )


def test_groups_are_in_one_split_each() -> None:
    groups = [number // 4 for number in range(80)]
    parts = fill_missing(
        {"train": split([0, 1] * 40)}, groups, validation_fraction=0.2, seed=1, shown="toy"
    )
    held = [{groups[int(name)] for name in part.names} for part in parts.values()]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]


def test_what_is_there_is_kept() -> None:
    parts = {"train": split([0, 1]), "test": split([1]), "validation": split([0])}
    assert missing_from(parts) == []
    assert fill_missing(parts, None, validation_fraction=0.1, seed=0, shown="toy") == parts


def test_classes_that_are_not_in_every_split_are_named() -> None:
    few = too_few(split([0, 0, 1, 2, 2, 2]), ("a", "b", "c"), ["test", "validation"])
    assert few is not None
    assert "too few images of a, b to divide" in few
    assert too_few(split([0, 0, 0]), ("a",), ["test", "validation"]) is None


def test_each_image_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    subset = Split.subset

    def counting(split: Split, indices: np.ndarray) -> Split:
        copied.append(len(indices))
        return subset(split, indices)

    monkeypatch.setattr(Split, "subset", counting)
    train = Split(images=np.zeros((40, 8, 8, 1), np.uint8), labels=np.arange(40) % 2)
    fill_missing({"train": train}, None, validation_fraction=0.1, seed=0, shown="toy")
    assert sum(copied) == 40
