"""shapes10: the same images every time, and too varied for a linear model."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cifarlab.data.named import shapes
from cifarlab.data.split import check_split, fingerprint
from cifarlab.errors import UsageError


@pytest.fixture(scope="module")
def drawn():
    return shapes.draw(train=1500, test=500)


def test_what_is_drawn(drawn):
    assert drawn.name == "shapes10"
    assert drawn.class_names == shapes.CLASSES
    assert len(set(shapes.CLASSES)) == 10
    for split, count in ((drawn.train, 1500), (drawn.test, 500)):
        check_split(split, drawn.class_names, "shapes10")
        assert split.images.shape == (count, 32, 32, 3)
        assert np.bincount(split.labels).tolist() == [count / 10] * 10


def test_no_image_comes_twice(drawn):
    images = np.concatenate([drawn.train.images, drawn.test.images])
    assert len({image.tobytes() for image in images}) == 2000


def test_another_process_draws_the_same():
    code = (
        "from cifarlab.data.named import shapes; from cifarlab.data import split;"
        "print(split.fingerprint(shapes.draw(30, 20, seed=3).train))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == fingerprint(shapes.draw(30, 20, seed=3).train)


def test_a_larger_dataset_begins_with_the_smaller_one(drawn):
    small = shapes.draw(train=25, test=10)
    np.testing.assert_array_equal(small.train.images, drawn.train.images[:25])
    np.testing.assert_array_equal(small.test.images, drawn.test.images[:10])
    assert np.ptp(np.bincount(small.train.labels)) == 1


def test_another_seed_draws_others():
    one, two = (shapes.draw(10, 10, seed=seed) for seed in (0, 1))
    assert not (one.train.images == two.train.images).all(axis=(1, 2, 3)).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 2**32))
def test_a_shape_stands_out_and_stays_inside(label, seed):
    mask = shapes._mask(shapes.CLASSES[label], np.random.default_rng(seed))
    assert mask.shape == (32, 32)
    assert mask.min() == 0.0
    assert mask.max() == 1.0
    assert 0.02 < mask.mean() < 0.6
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    # The radius reaches the edge at most, so no more than a few tips touch it.
    assert border.mean() < 0.2


def test_every_class_looks_different():
    masks = []
    for name in shapes.CLASSES:
        drawings = [shapes._mask(name, np.random.default_rng(seed)) for seed in range(20)]
        masks.append(np.stack(drawings))
    for i, one in enumerate(masks):
        for other in masks[i + 1 :]:
            # The same random numbers give the same position, size and rotation.
            assert np.abs(one - other).mean() > 0.01


@pytest.mark.parametrize("arguments", [(9, 10, 0), (10, 0, 0), (10, 10, -1)])
def test_impossible_requests(arguments):
    with pytest.raises(UsageError, match="at least 10 images"):
        shapes.draw(*arguments)


def test_the_cache_key_depends_on_version_sizes_and_seed():
    assert len({shapes.key(), shapes.key(train=10), shapes.key(test=10), shapes.key(seed=1)}) == 4


def test_a_linear_model_on_the_pixels_fails(drawn):
    from sklearn.linear_model import RidgeClassifier

    flat = [split.images.reshape(len(split), -1) / 255.0 for split in (drawn.train, drawn.test)]
    accuracies = [
        RidgeClassifier(alpha=alpha)
        .fit(flat[0], drawn.train.labels)
        .score(flat[1], drawn.test.labels)
        for alpha in (10.0, 1000.0)
    ]
    assert max(accuracies) < 0.45
