"""The same image in several class folders: multi-label if many are, else left as it is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.data.multi_label.copies import refuse_several_labels
from cifarlab.data.split import Split, pixel_digests
from cifarlab.errors import InputError

NAMES = ("a", "b", "c")


def check(images: list[int], labels: list[int]) -> None:
    pixels = np.array(images, np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 8, 8, 1), np.uint8)
    split = Split(images=pixels, labels=np.array(labels, np.int64))
    refuse_several_labels({"train": split}, {"train": pixel_digests(pixels)}, NAMES, "data")


@given(st.integers(20, 60), st.integers(0, 20))
def test_more_than_a_twentieth_of_the_images_is_meant(count: int, twice: int) -> None:
    images = [*range(count), *range(twice)]
    labels = [n % 3 for n in range(count)] + [(n + 1) % 3 for n in range(twice)]
    if twice > 0.05 * count:
        with pytest.raises(InputError, match=f"{twice} of {count} images have several labels"):
            check(images, labels)
    else:
        check(images, labels)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1))
def test_an_image_that_repeats_in_a_class_is_never_counted(pairs: list[tuple[int, int]]) -> None:
    images, labels = zip(*pairs, *pairs, strict=True)
    check(list(images), list(labels))
