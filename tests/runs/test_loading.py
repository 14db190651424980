"""How a run's data were read is part of its record: reading them again gives the same splits."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import cifarlab
from cifarlab.data.catalog import load
from cifarlab.data.dataset import Dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.split import fingerprint
from cifarlab.errors import InputError
from cifarlab.recipes.recipe import to_json
from cifarlab.runs.record import dataset_of, describe_data, describe_loading, describe_split
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
        tiny_recipe(),
        root,
        load=LoadOptions(class_folder="last"),
        epochs=1,
        directory=tmp_path / "run",
    )
    assert dataset_of(run.directory).class_names == ("of cat", "of dog")


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    run = cifarlab.train(tiny_recipe(), root, epochs=1, directory=tmp_path / "run")
    Image.new("RGB", (24, 40), "red").save(root / "cat" / "0.png")
    with pytest.raises(InputError, match="not the data of the run"):
        dataset_of(run.directory)


def test_a_class_with_another_name_is_noticed(tmp_path: Path) -> None:
    root = photos(tmp_path / "photos")
    run = cifarlab.train(tiny_recipe(), root, epochs=1, directory=tmp_path / "run")
    (root / "cat").rename(root / "ape")
    with pytest.raises(InputError, match="its classes are ape, dog instead of cat, dog"):
        dataset_of(run.directory)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "image_size": st.sampled_from(["auto", 8, (8, 16), 32]),
        "channels": st.sampled_from(["auto", "grey", "rgb"]),
        "resize_mode": st.sampled_from(["squash", "crop", "pad"]),
        "bits": st.sampled_from([None, 12, 16]),
        "validation_fraction": st.floats(0.05, 0.6),
        "split_seed": st.integers(0, 2**31),
        "group_by": st.sampled_from([None, r"(\d)\.", r"\d+"]),
        "skip_bad": st.just(True),
        "class_folder": st.sampled_from(["auto", "first", "last"]),
        "follow_links": st.booleans(),
    },
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, colour and grey, of two sizes, with a bad file and 16-bit ones."""
    path = tmp_path_factory.mktemp("mixed")
    draws = np.random.default_rng(1)
    for name in ("cat", "dog"):
        (path / name).mkdir()
        for number in range(11):
            shape = (12, 20, 3) if number % 3 else (16, 16)
            pixels = draws.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(path / name / f"{number}.png")
        deep = draws.integers(0, 4096, (16, 16)).astype(np.uint16)
        Image.fromarray(deep).save(path / name / "11.png")
    (path / "cat" / "bad.png").write_bytes(b"no image")
    return path


@given(options=OPTIONS, change=st.integers(0, 21))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_training_evaluation_and_report_see_the_same_splits_and_notice_a_change(
    root: Path, tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any], change: int
) -> None:
    check_reading_again(root, tmp_path_factory, options, change)


@pytest.mark.slow
@given(options=OPTIONS, change=st.integers(0, 21))
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_for_five_hundred_combinations(
    root: Path, tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any], change: int
) -> None:
    check_reading_again(root, tmp_path_factory, options, change)


def check_reading_again(
    root: Path, tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any], change: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load(root, LoadOptions(**{"skip_bad": True, **options}))
        run = recorded(tmp_path_factory.mktemp("run"), data)
        again = dataset_of(run)
        for part in ("train", "validation", "test"):
            one, other = getattr(data, part), getattr(again, part)
            assert one.names == other.names, part
            np.testing.assert_array_equal(one.images, other.images)
        file = root / ("cat", "dog")[change // 11] / f"{change % 11}.png"
        before = file.read_bytes()
        try:
            Image.new("L", (16, 16), 7).save(file)
            with pytest.raises(InputError, match="not the data of the run"):
                dataset_of(run)
        finally:
            file.write_bytes(before)


def recorded(directory: Path, data: Dataset) -> Path:
    """Write what a finished run says of its data."""
    described = describe_data(data)
    (directory / "recipe.json").write_text(json.dumps(to_json(tiny_recipe())))
    (directory / "environment.json").write_text(
        json.dumps({"dataset": described, "load": describe_loading(data)})
    )
    (directory / "metrics.json").write_text(
        json.dumps({"dataset": described | {"test": describe_split(data.test)}})
    )
    return directory
