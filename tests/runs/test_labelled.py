"""What a model is measured on: the right images, with labels aligned by the names of classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.catalog import load_dataset
from cifarlab.data.image_format import ImageFormat
from cifarlab.errors import InputError
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.recipe import to_json
from cifarlab.runs.labelled import Labelled, dataset_for, labelled_images
from cifarlab.runs.record import describe_data, describe_loading, trained_on

FORMAT = ImageFormat(height=16, width=16)
# The level of grey of each class's images, so that a wrong label shows.
LEVELS = {"cat": 40, "dog": 120, "fox": 200}


def folder(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        level = LEVELS[name.strip().lower()]
        for number in range(count):
            pixels = np.full((16, 16, 3), level, np.uint8)
            # All of them differ, whatever size they are brought to.
            pixels[2:6, 2:6] = (number * 7 + len(root.name)) % 256
            pixels[10:14, 2:6] = number
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def measured(model: Path, data: Path | str | None = None, **options: Any) -> Labelled:
    values = {"class_names": ("cat", "dog"), "named": True, "image_format": FORMAT, **options}
    return labelled_images(model, data, values.pop("split", None), **values)


def levels(labelled: Labelled) -> set[tuple[str, int]]:
    """Return each class with the level of grey of its images."""
    middle = labelled.images.images[:, 8, 8, 0].tolist()
    names = [labelled.class_names[label] for label in labelled.images.labels]
    return set(zip(names, middle, strict=True))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "best.keras"


def test_all_of_a_labelled_folder_is_measured(model: Path, tmp_path: Path) -> None:
    found = measured(model, folder(tmp_path / "more", {"cat": 60, "dog": 42}))
    assert len(found.images) == 102
    assert found.split == "all images"


def test_its_test_split_alone_where_it_has_one(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "more" / "train", {"cat": 6, "dog": 4})
    folder(tmp_path / "more" / "test", {"cat": 3, "dog": 2})
    assert len(measured(model, tmp_path / "more").images) == 5
    assert len(measured(model, tmp_path / "more", split="train").images) == 8


def test_a_lone_test_folder_is_measured(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "more" / "test", {"cat": 3, "dog": 2})
    with pytest.warns(UserWarning, match="only folder with images"):
        assert len(measured(model, tmp_path / "more").images) == 5


def test_classes_are_aligned_by_name_whatever_their_case_and_order(
    model: Path, tmp_path: Path
) -> None:
    data = folder(tmp_path / "more", {"Cat": 2, "DOG": 2})
    found = measured(model, data, class_names=("dog", "cat"))
    assert levels(found) == {("cat", 40), ("dog", 120)}


def test_missing_and_extra_classes_are_named(model: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "more", {"dog": 2, "fox": 3})
    with (
        pytest.warns(UserWarning, match="3 images of fox are left out"),
        pytest.warns(UserWarning, match="no images of cat"),
    ):
        found = measured(model, data)
    assert levels(found) == {("dog", 120)}


def test_other_classes_altogether_are_refused(model: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "more", {"cat": 2, "fox": 3})
    with pytest.raises(InputError, match="has the classes cat, fox, the model knows a, b"):
        measured(model, data, class_names=("a", "b"))


def test_a_model_without_class_names_asks_for_them(model: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "more", {"cat": 2, "dog": 3})
    with pytest.raises(InputError, match="--class-names cat,dog"):
        measured(model, data, class_names=("class 0", "class 1"), named=False)


def test_numbers_are_labels(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LEVELS, "0", 10)
    monkeypatch.setitem(LEVELS, "1", 90)
    data = folder(tmp_path / "more", {"0": 2, "1": 3})
    found = measured(model, data, class_names=("class 0", "class 1"), named=False)
    assert levels(found) == {("0", 10), ("1", 90)}
    with pytest.warns(UserWarning, match="taken as the model's labels, counted from 0: 0 is cat"):
        found = measured(model, data, class_names=("cat", "dog"))
    assert levels(found) == {("cat", 10), ("dog", 90)}


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, Path]:
    """A run as far as its record is concerned, and the folder that it was trained on."""
    photos = folder(tmp_path / "photos", {"cat": 20, "dog": 20})
    data = load_dataset(photos, image_size=16, split_seed=5)
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "recipe.json").write_text(json.dumps(to_json(BASELINE)))
    record = {"dataset": describe_data(data), "load": describe_loading(data)}
    (directory / "environment.json").write_text(json.dumps(record))
    return directory, photos


def test_a_run_is_measured_on_its_own_test_split(run: tuple[Path, Path]) -> None:
    directory, photos = run
    own = load_dataset(photos, image_size=16, split_seed=5).test
    for data in (None, photos, str(photos)):
        found = measured(directory, data)
        assert found.images.names == own.names, data
        assert found.split == "test"


def test_a_run_is_measured_on_all_of_other_data(run: tuple[Path, Path], tmp_path: Path) -> None:
    found = measured(run[0], folder(tmp_path / "more", {"cat": 7, "dog": 8}))
    assert len(found.images) == 15


def test_images_come_in_the_models_format(model: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "more", {"cat": 12, "dog": 12})
    wanted = ImageFormat(height=8, width=24, channels=1, resize_mode="pad")
    assert measured(model, data, image_format=wanted).images.images.shape[1:] == (8, 24, 1)
    loaded = dataset_for(model, data, class_names=("dog", "cat"), image_format=wanted)
    assert loaded.train.images.shape[1:] == (8, 24, 1)
    assert set(loaded.train.labels[loaded.train.images[:, 4, 12, 0] == 40].tolist()) == {1}


def test_a_model_file_knows_the_images_that_it_was_trained_on(
    run: tuple[Path, Path], model: Path
) -> None:
    _, photos = run
    data = load_dataset(photos, image_size=16, split_seed=5, channels="rgb")
    found = measured(model, photos, trained_on=trained_on(data))
    assert found.images.names == data.test.names
    assert found.split == "test"
    assert str(photos) not in json.dumps(trained_on(data))


def test_images_that_it_was_not_trained_on_are_all_measured(
    run: tuple[Path, Path], model: Path
) -> None:
    _, photos = run
    record = trained_on(load_dataset(photos, image_size=16, split_seed=5, channels="rgb"))
    (photos / "cat" / "0.png").unlink()
    assert len(measured(model, photos, trained_on=record).images) == 39
