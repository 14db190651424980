"""Accuracy under corruption: means by hand, calls of the model, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import InputError, UsageError
from cifarlab.evaluation.corruptions import CORRUPTIONS, FAMILIES, SEVERITIES, corrupt
from cifarlab.evaluation.robustness import Robustness, measure_robustness
from support import one_line

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 0, 1])


def always_first(images: np.ndarray) -> np.ndarray:
    return np.tile([0.9, 0.1], (len(images), 1))


# --- the numbers


def test_means_by_hand():
    result = Robustness(
        n=10,
        clean=0.9,
        accuracy={"fog": (0.8, 0.7, 0.6, 0.5, 0.4), "jpeg": (0.6, 0.5, 0.4, 0.3, 0.2)},
    )
    assert result.by_severity == pytest.approx((0.7, 0.6, 0.5, 0.4, 0.3))
    assert result.mean == pytest.approx(0.5)
    assert result.by_family == {"weather": pytest.approx(0.6), "digital": pytest.approx(0.4)}


@given(
    st.dictionaries(
        st.sampled_from(list(CORRUPTIONS)), st.tuples(*[st.floats(0, 1)] * 5), min_size=1
    )
)
def test_all_means_are_of_the_same_numbers(accuracy):
    result = Robustness(n=100, clean=1.0, accuracy=accuracy)
    sizes = {family: sum(n in accuracy for n in names) for family, names in FAMILIES.items()}
    by_family = sum(sizes[family] * value for family, value in result.by_family.items())
    assert by_family / len(accuracy) == pytest.approx(result.mean)
    assert np.mean(result.by_severity) == pytest.approx(result.mean)
    assert 0 <= min(result.by_severity) <= result.mean + 1e-12 <= max(result.by_severity) + 2e-12


def test_json_holds_everything_as_plain_values():
    result = measure_robustness(always_first, IMAGES, LABELS, names=("fog", "contrast"))
    read = json.loads(json.dumps(result.to_json()))
    assert read["n"] == 6
    assert read["clean"] == read["mean"] == 0.5
    assert read["by_severity"] == [0.5] * 5
    assert read["by_family"] == {"weather": 0.5, "digital": 0.5}
    assert read["accuracy"] == {"fog": [0.5] * 5, "contrast": [0.5] * 5}


# --- measuring


def test_the_model_sees_each_corruption_at_each_severity_once():
    seen = []

    def predict(images):
        seen.append(images.copy())
        return always_first(images)

    told: list[str] = []
    result = measure_robustness(predict, IMAGES, LABELS, seed=3, progress=told.append)
    expected = [IMAGES] + [corrupt(IMAGES, n, s, seed=3) for n in CORRUPTIONS for s in SEVERITIES]
    assert len(seen) == len(expected) == 61
    assert all((a == b).all() for a, b in zip(seen, expected, strict=True))
    assert told == list(result.accuracy) == list(CORRUPTIONS)
    assert set(result.by_family) == set(FAMILIES)


def test_a_model_that_depends_on_brightness_loses_accuracy_with_it():
    # Greys from 0 to 255; the model finds those above 127.
    greys = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(greys[:, None, None, None], (256, 4, 4, 3))

    def predict(images):
        light = (images.mean(axis=(1, 2, 3)) > 127).astype(float)
        return np.stack([1 - light, light], axis=1)

    result = measure_robustness(predict, images, (greys > 127).astype(int), names=("brightness",))
    assert result.clean == 1.0
    # The share of greys that 0.05, 0.1, 0.15, 0.2 and 0.3 of white lift over the middle.
    lost = np.array([13, 26, 38, 51, 77]) / 256
    np.testing.assert_allclose(result.accuracy["brightness"], 1 - lost, atol=0.5 / 256)


# --- what it refuses


@pytest.mark.parametrize("names", [(), ("rain",), ("fog", "fog")])
def test_other_corruptions_are_refused(names):
    with pytest.raises(UsageError) as error:
        measure_robustness(always_first, IMAGES, LABELS, names=names)
    assert "gaussian_noise" in one_line(error)


@pytest.mark.parametrize(
    ("images", "labels"), [(IMAGES[:0], LABELS[:0]), (IMAGES, LABELS[:5]), (IMAGES, LABELS[None])]
)
def test_labels_must_match(images, labels):
    with pytest.raises(InputError) as error:
        measure_robustness(always_first, images, labels)
    one_line(error)


@pytest.mark.parametrize(
    "answer", [np.ones(6), np.ones((5, 2)), np.full((6, 2), np.nan)], ids=["flat", "few", "nan"]
)
def test_other_predictions_are_refused(answer):
    with pytest.raises(InputError) as error:
        measure_robustness(lambda _: answer, IMAGES, LABELS)
    one_line(error)


def test_results_must_be_complete():
    with pytest.raises(InputError) as error:
        Robustness(n=5, clean=0.5, accuracy={"fog": (0.5, 0.4)})
    assert "fog" in one_line(error)
    with pytest.raises(UsageError) as error:
        Robustness(n=5, clean=0.5, accuracy={})
    one_line(error)
