"""The pretrained model: written in half precision, read back, and as accurate as stated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cifarlab
from cifarlab.backend import keras
from cifarlab.errors import InputError, UnsafeError
from cifarlab.evaluation.metrics import wilson_interval
from cifarlab.models.airnet import airnet
from cifarlab.recipes.parts import ModelSpec
from cifarlab.saving.pretrained import (
    FILE,
    LARGEST,
    NAME,
    read_card,
    read_pretrained,
    write_pretrained,
)
from support import one_line
from tiny import rich_recipe

NAMES = ("dark", "medium", "bright")
SPEC = ModelSpec(name="airnet", arguments={"widths": [4, 6, 8]})


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return airnet((32, 32, 3), 3, widths=(4, 6, 8))


@pytest.fixture
def file(tmp_path, model) -> Path:
    path = tmp_path / "weights" / "some.safetensors"
    write_pretrained(path, model, NAMES, rich_recipe(model=SPEC), {"accuracy": 0.5})
    return path


def test_weights_are_read_back_rounded_to_half_precision(file, model):
    loaded = read_pretrained(file)
    assert loaded.class_names == NAMES
    assert read_card(file) == {"accuracy": 0.5}
    for one, other in zip(loaded.model.variables, model.variables, strict=True):
        expected = keras.ops.convert_to_numpy(other).astype("float16").astype("float32")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), expected)


def test_temperature_and_threshold_are_read_back(tmp_path, model):
    path = tmp_path / "some.safetensors"
    write_pretrained(path, model, NAMES, rich_recipe(model=SPEC), {}, 0.75, 0.5)
    loaded = read_pretrained(path)
    assert (loaded.temperature, loaded.not_sure_below) == (0.75, 0.5)


def test_two_bytes_per_weight(file, model):
    count = sum(int(v.value.numel()) for v in model.variables)
    assert 2 * count < file.stat().st_size < 2 * count + 10_000


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path, model):
    model.get_layer("head").kernel.assign(np.full((8, 3), 1e6, "float32"))
    with pytest.raises(InputError) as error:
        write_pretrained(tmp_path / "w", model, NAMES, rich_recipe(model=SPEC), {})
    assert "head/kernel" in one_line(error)
    assert not (tmp_path / "w").exists()


def test_a_model_too_large_for_the_package_is_refused(tmp_path):
    large = airnet(widths=(64, 600, 600))
    recipe = rich_recipe(model=ModelSpec(name="airnet", arguments={"widths": [64, 600, 600]}))
    with pytest.raises(InputError) as error:
        write_pretrained(tmp_path / "w", large, [str(i) for i in range(10)], recipe, {})
    assert f"{LARGEST:,}" in one_line(error)


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_bad_input(file, damage):
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        file.write_bytes(b"not weights at all")
    with pytest.raises((InputError, UnsafeError)) as error:
        read_pretrained(file)
    assert "install cifarlab again" in one_line(error)


def test_it_classifies_without_further_steps():
    classifier = cifarlab.Classifier.pretrained()
    assert classifier.class_names == tuple(read_card()["data"]["classes"])
    probabilities = classifier.predict_proba(np.zeros((2, 32, 32, 3), np.uint8))
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-5)


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).write_text("not a model")
    with pytest.raises(InputError):
        cifarlab.Classifier.load(NAME)
    assert cifarlab.Classifier.pretrained().class_names[0] == "airplane"


def test_the_card_is_consistent_and_small_enough():
    card = read_card()["test"]
    assert FILE.stat().st_size <= LARGEST
    assert card["n"] == 10_000
    assert card["accuracy"] >= 0.94
    confusion = np.array(card["confusion"])
    assert card["accuracy"] == np.trace(confusion) / confusion.sum()
    expected = wilson_interval(int(np.trace(confusion)), 10_000)
    assert card["accuracy_interval"] == pytest.approx(expected)
    assert json.dumps(card)


def test_the_model_card_page_has_the_same_figures():
    card = read_card()
    shown = (Path(__file__).parents[2] / "docs" / "model_card.md").read_text()
    assert f"**{card['test']['accuracy']:.2%}**" in shown
    assert all(f"| {c['f1']:.1%} |" in shown for c in card["test"]["per_class"].values())


@pytest.mark.slow
@pytest.mark.real
def test_the_stated_accuracy_is_what_the_real_test_split_gives(real_cifar10, monkeypatch):
    monkeypatch.setenv("CIFARLAB_DATA", str(real_cifar10))
    card = read_card()
    data = cifarlab.load_dataset("cifar10")
    metrics = cifarlab.evaluate(cifarlab.Classifier.load(NAME), data.test)
    # Other processors round a few borderline images the other way.
    assert metrics.accuracy == pytest.approx(card["test"]["accuracy"], abs=5e-4)
    assert metrics.loss == pytest.approx(card["test"]["loss"], abs=1e-3)
