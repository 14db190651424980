"""Which data a run used: found again, compared with the record, refused if it is other data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from cifarlab.data.catalog import load_dataset
from cifarlab.errors import InputError, UsageError
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.recipe import to_json
from cifarlab.runs.record import dataset_of, describe_data, describe_loading


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of six images each."""
    for name, value in (("dark", 20), ("light", 200)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (16, 16), (value, value, number)).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(tmp_path: Path, photos: Path) -> Path:
    """A run on the photos at 16 by 16 pixels, as far as its record is concerned."""
    data = load_dataset(photos, image_size=16)
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "recipe.json").write_text(json.dumps(to_json(BASELINE)))
    record = {"dataset": describe_data(data), "load": describe_loading(data)}
    (directory / "environment.json").write_text(json.dumps(record))
    return directory


def test_the_same_data_is_loaded_in_the_same_size(run: Path) -> None:
    data = dataset_of(run)
    assert data.train.images.shape[1:] == (16, 16, 3)
    assert describe_data(data) == json.loads((run / "environment.json").read_text())["dataset"]


def test_other_images_are_refused_with_both_counts(run: Path, photos: Path) -> None:
    Image.new("RGB", (16, 16)).save(photos / "dark" / "new.png")
    with pytest.raises(InputError, match=r"train split .*images, fingerprint .* instead of"):
        dataset_of(run)


def test_data_that_is_gone_has_to_be_named(run: Path, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="--data"):
        dataset_of(run)
    assert len(dataset_of(run, tmp_path / "elsewhere").train) > 0
