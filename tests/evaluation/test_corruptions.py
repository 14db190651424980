"""Corruptions: pure, repeatable, stronger by severity, and with the effect of their names."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset
from cifarlab.data.named import shapes
from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.corruptions import CHUNK, CORRUPTIONS, FAMILIES, SEVERITIES, corrupt
from cifarlab.evaluation.robustness import measure_robustness
from cifarlab.recipes.fast import FAST94
from cifarlab.recipes.parts import ModelSpec
from cifarlab.training.train import train
from support import one_line

RANDOM = {"gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "fog", "snow"}
names = pytest.mark.parametrize("name", CORRUPTIONS)


@pytest.fixture(scope="module")
def images():
    return shapes.draw(train=10, test=60).test.images


def damage(images: np.ndarray, damaged: np.ndarray) -> float:
    return float(np.abs(damaged.astype(float) - images).mean())


# --- of all of them


def test_each_has_one_family():
    assert sorted(name for family in FAMILIES.values() for name in family) == sorted(CORRUPTIONS)


@names
def test_the_difference_grows_with_severity(name, images):
    damages = [damage(images, corrupt(images, name, severity)) for severity in SEVERITIES]
    assert damages[0] > 0.2
    assert all(weaker < stronger for weaker, stronger in itertools.pairwise(damages))
    assert 1.2 * damages[0] < damages[-1] < 90


@names
def test_the_same_seed_gives_the_same_images_and_leaves_the_given_ones(name, images):
    before = images.copy()
    one, two = corrupt(images, name, 3, seed=5), corrupt(images, name, 3, seed=5)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(images, before)
    assert one.dtype == np.uint8
    assert one.shape == images.shape
    other = corrupt(images, name, 3, seed=6)
    assert (one != other).any() == (name in RANDOM)


@names
def test_an_image_does_not_depend_on_the_other_images(name, images):
    together = corrupt(images, name, 4)
    np.testing.assert_array_equal(corrupt(images[:7], name, 4), together[:7])
    np.testing.assert_array_equal(corrupt(images[:1], name, 4), together[:1])
    others = images[::-1].copy()
    others[3] = images[3]
    np.testing.assert_array_equal(corrupt(others, name, 4)[3], together[3])


@names
def test_many_images_are_corrupted_as_few_are(name):
    same = np.broadcast_to(shapes.draw(10, 10).test.images[:1, :8, :8], (CHUNK + 2, 8, 8, 3))
    result = corrupt(same, name, 5)
    np.testing.assert_array_equal(result[:3], corrupt(same[:3], name, 5))
    # Positions that stand first in a portion draw numbers of their own.
    assert (result[0] != result[CHUNK]).any() == (name in RANDOM)


@settings(max_examples=30)
@given(
    images=arrays.arrays(
        np.uint8,
        st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    ),
    name=st.sampled_from(list(CORRUPTIONS)),
    severity=st.sampled_from(SEVERITIES),
    seed=st.integers(0, 2**64),
)
def test_every_image_can_be_corrupted(images, name, severity, seed):
    result = corrupt(images, name, severity, seed)
    assert result.dtype == np.uint8
    assert result.shape == images.shape
    assert not np.shares_memory(result, images)


@names
def test_larger_images_are_corrupted_as_much(name, images):
    large = images[:12].repeat(3, axis=1).repeat(3, axis=2)
    there, here = (damage(x, corrupt(x, name, 3)) for x in (large, images[:12]))
    # JPEG and pixelate see smoother images when those are larger.
    assert there < 2 * here
    if name not in ("jpeg", "pixelate"):
        assert there > here / 2


@names
def test_grey_images_are_corrupted_as_much_and_stay_grey(name, images):
    grey = images[:12].mean(axis=3, keepdims=True).round().astype(np.uint8)
    result = corrupt(grey, name, 3)
    assert result.shape == (12, 32, 32, 1)
    there, here = damage(grey, result), damage(images[:12], corrupt(images[:12], name, 3))
    # JPEG loses more of colours than of lightness.
    assert here / (3 if name == "jpeg" else 2) < there < 2 * here


def test_none_and_read_only_images(images):
    assert corrupt(images[:0], "fog", 1).shape == (0, 32, 32, 3)
    frozen = images[:2].copy()
    frozen.flags.writeable = False
    assert corrupt(frozen, "snow", 1).flags.writeable


# --- what their names say


def test_noise_has_the_published_strength():
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    assert corrupt(grey, "gaussian_noise", 3).std() / 255 == pytest.approx(0.08, rel=0.03)
    # The variance of a Poisson count is its mean.
    expected = np.sqrt(128 / 255 / 75)
    assert corrupt(grey, "shot_noise", 4).std() / 255 == pytest.approx(expected, rel=0.03)
    impulses = corrupt(grey, "impulse_noise", 5)
    assert (impulses == 0).mean() == pytest.approx(0.035, abs=0.003)
    assert (impulses == 255).mean() == pytest.approx(0.035, abs=0.003)
    assert np.isin(impulses, (0, 128, 255)).all()


@pytest.mark.parametrize("name", FAMILIES["blur"])
def test_blur_keeps_the_light_and_its_position(name):
    point = np.zeros((40, 33, 33, 3), np.uint8)
    point[:, 15:18, 15:18] = 255
    result = corrupt(point, name, 5).astype(float).mean(axis=(0, 3))
    assert result.sum() == pytest.approx(9 * 255, rel=0.03)
    across = (result.sum(0) * np.arange(33)).sum() / result.sum()
    down = (result.sum(1) * np.arange(33)).sum() / result.sum()
    assert across == pytest.approx(16, abs=0.3)
    assert down == pytest.approx(16, abs=0.3)
    assert result.max() < 255
    plain = np.full((2, 16, 16, 3), 77, np.uint8)
    np.testing.assert_array_equal(corrupt(plain, name, 5), plain)


def test_motion_blur_has_a_direction():
    point = np.zeros((30, 33, 33, 3), np.uint8)
    point[:, 16, 16] = 255
    result = corrupt(point, "motion_blur", 4).astype(float)[..., 0]
    across, down = result.sum(1), result.sum(2)
    positions = np.arange(33) - 16.0
    spread = [(s * positions**2).sum(1) / s.sum(1) for s in (across, down)]
    # Within 45 degrees of the horizontal.
    assert spread[0].mean() > 2 * spread[1].mean()


def test_weather_makes_images_lighter_or_paler(images):
    white = corrupt(images, "snow", 4)
    assert white.mean() > images.mean() + 10
    assert (white > 250).mean() > (images > 250).mean() + 0.02
    misty = corrupt(images, "fog", 4)
    assert np.ptp(misty, axis=3).mean() < 0.7 * np.ptp(images, axis=3).mean()
    assert (corrupt(images, "brightness", 2) >= images).all()


def test_brightness_keeps_the_hue():
    image = np.full((1, 4, 4, 3), (40, 80, 120), np.uint8)
    result = corrupt(image, "brightness", 3)
    assert result[0, 0, 0].tolist() == [53, 106, 158]
    assert corrupt(np.zeros_like(image), "brightness", 3).max() == 38


def test_contrast_keeps_the_mean(images):
    result = corrupt(images, "contrast", 5)
    np.testing.assert_allclose(result.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=0.5)
    np.testing.assert_allclose(result.std(axis=(1, 2)), 0.15 * images.std(axis=(1, 2)), atol=0.5)


def test_pixelate_has_fewer_colours(images):
    result = corrupt(images, "pixelate", 5)
    assert all(len(np.unique(f.reshape(-1, 3), axis=0)) <= 25**2 for f in result)
    np.testing.assert_allclose(result.mean(), images.mean(), atol=1)


# --- what they do to a classifier


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    drawn = shapes.draw(train=1200, test=300)
    # Three kept_labels that a small net learns within seconds.
    kept_labels = [shapes.CLASSES.index(name) for name in ("circle", "ring", "bar")]

    def only(split):
        few = split.subset(np.flatnonzero(np.isin(split.labels, kept_labels)))
        return replace(few, labels=np.searchsorted(np.sort(kept_labels), few.labels))

    names = tuple(shapes.CLASSES[i] for i in sorted(kept_labels))
    test = only(drawn.test)
    data = Dataset(
        name="three shapes",
        source="drawn",
        class_names=names,
        train=only(drawn.train),
        validation=test,
        test=test,
    )
    settings = {**FAST94.model.arguments, "widths": (12, 16, 16)}
    recipe = replace(
        FAST94,
        model=ModelSpec(name="airnet", arguments=settings),
        epochs=6,
        batch_size=60,
        micro_batch=None,
        resolution=(),
        train_on="train",
    )
    run = train(recipe, data, directory=tmp_path_factory.mktemp("run") / "three")
    return Classifier.load(run.directory, device="cpu"), test


def test_accuracy_falls_as_severity_rises(trained):
    classifier, test = trained
    strong = ("gaussian_noise", "gaussian_blur", "fog", "snow", "contrast")
    result = measure_robustness(classifier.predict_proba, test.images, test.labels, names=strong)
    assert result.clean > 0.7
    assert result.by_severity[0] > result.by_severity[2] > result.by_severity[4]
    assert result.clean > result.mean + 0.05
    assert result.by_severity[4] < result.clean - 0.1


# --- what is refused


@pytest.mark.parametrize(
    ("name", "severity", "seed", "said"),
    [
        ("rain", 1, 0, "'rain'"),
        ("fog", 0, 0, "severity 0"),
        ("fog", 6, 0, "severity 6"),
        ("fog", 1, -1, "seed -1"),
    ],
)
def test_other_names_and_severities_are_refused(images, name, severity, seed, said):
    with pytest.raises(UsageError) as error:
        corrupt(images, name, severity, seed)
    assert said in one_line(error)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((2, 0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(images):
    with pytest.raises(InputError) as error:
        corrupt(images, "fog", 1)
    assert "uint8" in one_line(error)
