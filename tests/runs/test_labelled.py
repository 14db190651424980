"""What a model is measured on: the right images, with labels aligned by the names of classes."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.catalog import load_dataset
from cifarlab.data.image_format import ImageFormat
from cifarlab.data.load_options import LoadOptions
from cifarlab.errors import InputError, UsageError
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.recipe import to_json
from cifarlab.runs.labelled import Labelled, dataset_for, labelled_images
from cifarlab.runs.record import describe_data, describe_loading, seen_digests, trained_on

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
            pixels[10:14, 2:6] = (number, 0, 0)
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


def test_numbers_from_1_are_not_taken_for_labels_from_0(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LEVELS, "1", 10)
    monkeypatch.setitem(LEVELS, "2", 90)
    with pytest.raises(InputError, match="numbers 1 to 2, the model's labels run from 0 to 1"):
        measured(model, folder(tmp_path / "more", {"1": 2, "2": 3}))


def test_a_model_of_own_images_does_not_fall_back_to_cifar10(model: Path) -> None:
    with pytest.raises(UsageError, match="trained on photos; name labelled images with --data"):
        measured(model, trained_on={"name": "photos"})


def test_grey_images_for_a_colour_model_are_said(model: Path, tmp_path: Path) -> None:
    for name, level in (("cat", 40), ("dog", 120)):
        (tmp_path / "more" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (16, 16), level + number).save(
                tmp_path / "more" / name / f"{number}.png"
            )
    with pytest.warns(UserWarning, match="all images are grey"):
        measured(model, tmp_path / "more")


def test_colour_images_for_a_grey_model_are_said(model: Path, tmp_path: Path) -> None:
    data = folder(tmp_path / "more", {"cat": 2, "dog": 2})
    grey = ImageFormat(height=16, width=16, channels=1)
    # Once newly decoded, once from the cache.
    for _ in range(2):
        with pytest.warns(UserWarning, match="in colour, the model takes grey ones"):
            measured(model, data, image_format=grey)


def arrays(count: int = 6) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16), np.uint8)


def idx(path: Path, values: np.ndarray[Any, Any]) -> None:
    head = bytes([0, 0, 8, values.ndim])
    sides = b"".join(side.to_bytes(4, "big") for side in values.shape)
    path.write_bytes(head + sides + values.astype(np.uint8).tobytes())


def as_npz(root: Path, labels: np.ndarray[Any, Any]) -> None:
    np.savez(root / "a.npz", x_test=arrays(), y_test=labels)


def as_idx(root: Path, labels: np.ndarray[Any, Any]) -> None:
    idx(root / "t10k-images-idx3-ubyte", arrays())
    idx(root / "t10k-labels-idx1-ubyte", labels)


def as_list(root: Path, labels: np.ndarray[Any, Any]) -> None:
    for number, pixels in enumerate(arrays()):
        Image.fromarray(pixels).save(root / f"{number}.png")
    (root / "test.txt").write_text("".join(f"{i}.png {n}\n" for i, n in enumerate(labels)))


def as_table(root: Path, labels: np.ndarray[Any, Any]) -> None:
    as_list(root, labels)
    lines = (root / "test.txt").read_text().replace(" ", ",")
    (root / "test.txt").unlink()
    (root / "test.csv").write_text("file,label\n" + lines)


def as_parquet(root: Path, labels: np.ndarray[Any, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    as_list(root, labels)
    images = [(root / f"{number}.png").read_bytes() for number in range(6)]
    (root / "test.txt").unlink()
    for number in range(6):
        (root / f"{number}.png").unlink()
    pq.write_table(pa.table({"image": images, "label": labels}), root / "test.parquet")


@pytest.mark.parametrize("store", [as_npz, as_idx, as_list, as_table, as_parquet])
@pytest.mark.parametrize("labels", [[1] * 6, [0, 1] * 3])
@pytest.mark.filterwarnings("ignore")
def test_a_test_split_alone_and_one_class_alone_can_be_measured(
    model: Path, tmp_path: Path, store: Any, labels: list[int]
) -> None:
    (tmp_path / "more").mkdir()
    store(tmp_path / "more", np.array(labels))
    found = measured(model, tmp_path / "more")
    assert sorted(found.images.labels.tolist()) == sorted(labels)
    with pytest.raises(InputError):
        load_dataset(tmp_path / "more")


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
    with pytest.warns(UserWarning, match="turned grey"):
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


@pytest.fixture
def seen(run: tuple[Path, Path]) -> dict[str, Any]:
    """What the run's model file says of the 32 images for training and the 4 for validation."""
    return trained_on(load_dataset(run[1], image_size=16, split_seed=5, channels="rgb"))


def new_images(photos: Path, count: int) -> None:
    for number in range(count):
        pixels = np.full((16, 16, 3), 40, np.uint8)
        pixels[0, 0] = (number + 1, 0, 0)
        Image.fromarray(pixels).save(photos / "cat" / f"new {number}.png")


def test_images_that_were_seen_in_training_are_set_apart(
    run: tuple[Path, Path], model: Path, seen: dict[str, Any]
) -> None:
    photos = run[1]
    new_images(photos, 3)
    with pytest.warns(UserWarning, match="trained or validated on 36 of the 43 images"):
        found = measured(model, photos, trained_on=seen)
    own = load_dataset(photos, image_size=16, split_seed=5)
    before = {*own.train.names, *own.validation.names, *own.test.names}
    assert len(found.images) == 7
    assert {name for name in found.images.names if name not in before} == set()
    assert sum("new" in name for name in found.images.names) == 3
    assert found.seen is not None
    assert len(found.seen) == 36
    assert not set(found.seen.names) & set(found.images.names)


@pytest.mark.parametrize("change", ["removed", "renamed", "moved", "one more class"])
def test_what_was_seen_is_known_by_its_pixels_alone(
    run: tuple[Path, Path], model: Path, seen: dict[str, Any], change: str, tmp_path: Path
) -> None:
    photos, left = run[1], 36
    data = load_dataset(photos, image_size=16, split_seed=5)
    trained = Path(data.train.names[0]).name
    file = next(f for f in photos.rglob(trained) if f.parent.name == "cat")
    if change == "removed":
        file.unlink()
        left = 35 if file.name in {Path(n).name for n in data.train.names} else 36
    elif change == "renamed":
        file.rename(file.with_name("other name.png"))
        new_images(photos, 1)
    elif change == "moved":
        photos = photos.rename(tmp_path / "elsewhere")
        new_images(photos, 1)
    else:
        folder(tmp_path / "more", {"fox": 2})
        (tmp_path / "more" / "fox").rename(photos / "fox")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = measured(model, photos, trained_on=seen)
    assert found.seen is not None
    assert len(found.seen) == left


def test_where_all_were_seen_that_is_said(
    run: tuple[Path, Path], model: Path, seen: dict[str, Any], tmp_path: Path
) -> None:
    photos = run[1]
    names = load_dataset(photos, image_size=16, split_seed=5).train.names
    for name in names:
        target = tmp_path / "some" / Path(name).parent.name / Path(name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / Path(name).parent.name / Path(name).name, target)
    with pytest.warns(UserWarning, match="all 32 of these images, so the numbers say nothing"):
        found = measured(model, tmp_path / "some", trained_on=seen)
    assert (len(found.images), found.seen) == (32, None)


def test_the_changed_data_of_a_run_are_measured_when_they_are_named(
    run: tuple[Path, Path], seen: dict[str, Any]
) -> None:
    directory, photos = run
    new_images(photos, 3)
    with pytest.raises(InputError, match="measure it as it is now with --data"):
        measured(directory, trained_on=seen)
    with pytest.warns(UserWarning, match="36 of the 43 images"):
        assert len(measured(directory, photos, trained_on=seen).images) == 7
    with pytest.raises(InputError, match="not the data of the run"):
        measured(directory, photos, trained_on={**seen, "digests": None})


def test_digests_that_are_damaged_tell_nothing() -> None:
    for digests in ("", "x", "AAAA", 3, None, ["a"]):
        assert len(seen_digests({"digests": digests})) == 0
    assert len(seen_digests(None)) == 0


def test_named_data_need_no_digests() -> None:
    assert "digests" not in trained_on(load_dataset("shapes10"))


# One class is enough


@pytest.mark.parametrize(
    "inside", ["dog", "DOG", "new/dog", "dog/monday", "test/dog", "dog/monday/morning"]
)
def test_a_single_class_is_measured(model: Path, tmp_path: Path, inside: str) -> None:
    folder(tmp_path / "source", {"dog": 4})
    target = tmp_path / "more" / inside
    shutil.copytree(tmp_path / "source" / "dog", target)
    if "monday" in inside:
        shutil.copytree(target, tmp_path / "more" / "dog" / "tuesday")
    with pytest.warns(UserWarning, match="no images of cat"):
        found = measured(model, tmp_path / "more")
    assert levels(found) == {("dog", 120)}


def test_of_a_single_class_in_splits_the_test_split(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "more" / "train", {"dog": 4})
    folder(tmp_path / "more" / "test", {"dog": 3})
    with pytest.warns(UserWarning, match="no images of cat"):
        assert len(measured(model, tmp_path / "more").images) == 3


def test_a_table_of_a_single_class(model: Path, tmp_path: Path) -> None:
    folder(tmp_path / "source", {"dog": 3})
    files = (tmp_path / "source" / "dog").rename(tmp_path / "files")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,dog\n1.png,dog\n2.png,dog\n")
    with (
        pytest.warns(UserWarning, match="no images of cat"),
        pytest.warns(UserWarning, match="labels from labels.csv"),
    ):
        found = measured(model, files, options=LoadOptions(labels=str(tmp_path / "labels.csv")))
    assert levels(found) == {("dog", 120)}


def test_arrays_of_a_single_class(model: Path, tmp_path: Path) -> None:
    images = np.full((3, 16, 16, 3), 120, np.uint8)
    images[:, 0, 0] = (0, 90, 0)
    images[:, 0, 1] = 255
    np.savez(tmp_path / "more.npz", x=images, y=np.array([1, 1, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = measured(model, tmp_path / "more.npz")
    assert levels(found) == {("dog", 120)}


def test_a_single_class_that_the_model_does_not_know_is_refused(
    model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="class folders"):
        measured(model, folder(tmp_path / "more", {"fox": 3}))


def test_training_still_needs_two(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2"):
        load_dataset(folder(tmp_path / "more", {"cat": 3}))
