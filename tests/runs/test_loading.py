"""How a run's data were read is part of its record: reading them again gives the same splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cifarlab
from cifarlab.data.dataset import fingerprint
from cifarlab.errors import InputError
from cifarlab.runs.record import dataset_of
from tiny import tiny_recipe


def photos(root: Path, nested: str = "") -> Path:
    draws = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = root / name / nested.replace("CLASS", name)
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = draws.integers(0, 256, (24, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.mark.parametrize(
    "options",
    [
        {"split_seed": 7},
        {"validation_fraction": 0.3},
        {"resize_mode": "crop"},
        {"split_seed": 3, "resize_mode": "pad", "validation_fraction": 0.25},
    ],
    ids=str,
)
def test_a_run_finds_its_own_splits_again(tmp_path: Path, options: dict[str, Any]) -> None:
    data = cifarlab.load_dataset(photos(tmp_path / "photos"), **options)
    run = cifarlab.train(tiny_recipe(), data, epochs=1, directory=tmp_path / "run")
    again = dataset_of(run.directory)
    for split in ("train", "validation", "test"):
        assert fingerprint(getattr(again, split)) == fingerprint(getattr(data, split)), split
        assert getattr(again, split).names == getattr(data, split).names


def test_nested_folders_are_read_again_as_they_were(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos", nested="of CLASS")
    with pytest.raises(InputError, match="--class-folder"):
        cifarlab.load_dataset(root)
    run = cifarlab.train(
        tiny_recipe(), root, class_folder="last", epochs=1, directory=tmp_path / "run"
    )
    assert dataset_of(run.directory).class_names == ("of cat", "of dog")


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    run = cifarlab.train(tiny_recipe(), root, epochs=1, directory=tmp_path / "run")
    Image.new("RGB", (24, 40), "red").save(root / "cat" / "0.png")
    with pytest.raises(InputError, match="not the data of the run"):
        dataset_of(run.directory)
