"""A folder of images becomes a dataset that is complete, honest and the same every time."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.dataset import Dataset, fingerprint
from cifarlab.data.readers.folder import load_folder
from cifarlab.errors import InputError, UsageError

CLASSES = ("bird", "cat", "dog")


@pytest.fixture(autouse=True)
def _no_unexpected_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def an_image(seed: int, side: int = 32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def save(path: Path, seed: int = 0, side: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(an_image(seed, side)).save(path, "PNG")
    return path


def fill(root: Path, count: int = 10, start: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    for label, name in enumerate(classes):
        for index in range(count):
            save(root / name / f"{index:03}.png", start + 1000 * label + index)
    return root


def names(data: Dataset) -> set[str]:
    return {*data.train.names, *data.validation.names, *data.test.names}


# Layouts


def test_class_folders_become_labelled_images_divided_by_class(tmp_path: Path) -> None:
    data = load_folder(fill(tmp_path / "pets"))
    assert (data.name, data.source) == ("pets", str(tmp_path / "pets"))
    assert data.class_names == CLASSES
    for split, count in ((data.train, 8), (data.validation, 1), (data.test, 1)):
        assert split.images.shape == (3 * count, 32, 32, 3)
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        np.testing.assert_array_equal(np.bincount(split.labels), [count] * 3)
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            folder, file = name.split("/")
            assert folder == CLASSES[label]
            np.testing.assert_array_equal(image, an_image(1000 * label + int(file[:3])))
    assert len(names(data)) == 30


def test_the_shares_are_of_all_the_images(tmp_path: Path) -> None:
    data = load_folder(fill(tmp_path, 20), validation_fraction=0.25, test_fraction=0.5)
    assert (len(data.train), len(data.validation), len(data.test)) == (15, 15, 30)


def test_the_seed_decides_the_division_and_nothing_else_does(tmp_path: Path) -> None:
    fill(tmp_path)
    first, again, other = (load_folder(tmp_path, split_seed=seed) for seed in (1, 1, 2))
    assert first.train.names == again.train.names
    assert fingerprint(first.train) == fingerprint(again.train)
    assert first.train.names != other.train.names
    assert names(first) == names(other)


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_split_folders_are_kept_as_they_are(tmp_path: Path, validation: str) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / validation, 2, start=100)
    fill(tmp_path / "test", 3, start=200)
    data = load_folder(tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (12, 6, 9)
    assert {name.split("/")[0] for name in data.validation.names} == {validation}
    assert {name.split("/")[0] for name in data.test.names} == {"test"}


def test_only_the_missing_split_is_taken_from_train(tmp_path: Path) -> None:
    fill(tmp_path / "train", 10)
    fill(tmp_path / "test", 2, start=200)
    data = load_folder(tmp_path, validation_fraction=0.2)
    assert (len(data.train), len(data.validation), len(data.test)) == (24, 6, 6)
    assert all(name.startswith("train/") for name in data.validation.names)


def test_a_class_that_a_test_folder_lacks_keeps_its_label(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "test", 2, classes=("cat", "dog"))
    with pytest.warns(UserWarning, match="test: no images of bird, which is not measured"):
        data = load_folder(tmp_path)
    assert data.class_names == CLASSES
    assert set(data.test.labels) == {1, 2}


def test_any_size_mode_format_and_depth_is_read(tmp_path: Path) -> None:
    fill(tmp_path)
    Image.new("L", (300, 20), 9).save(tmp_path / "cat" / "grey.bmp")
    Image.new("RGBA", (5, 5)).save(tmp_path / "cat" / "clear.webp")
    Image.new("CMYK", (64, 64)).save(tmp_path / "cat" / "LOUD.JPEG")
    save(tmp_path / "cat" / "deeper" / "still" / "x.png")
    data = load_folder(tmp_path, image_size=24, resize_mode="pad")
    assert data.train.images.shape[1:] == (24, 24, 3)
    extra = {"cat/grey.bmp", "cat/clear.webp", "cat/LOUD.JPEG", "cat/deeper/still/x.png"}
    assert extra <= names(data)


def test_progress_is_told_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cifarlab.data.readers.folder.PROGRESS_EVERY", 10)
    lines: list[str] = []
    load_folder(fill(tmp_path), progress=lines.append)
    assert lines == [f"decoded {count} of 30 images" for count in (10, 20, 30)]


# Folders that cannot be a dataset


def refused(path: Path, match: str, **options: Any) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_folder(path, **options)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "absent: no such folder")
    refused(save(tmp_path / "file.png"), r"file\.png: not a folder")
    refused(Path("null\0byte"), "no such folder")


def test_fewer_than_two_classes_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "holds 0 class folders; at least 2")
    fill(tmp_path, classes=("cat",))
    refused(tmp_path, "holds 1 class folders; at least 2")


def test_loose_images_alone_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    refused(tmp_path, "holds 0 class folders")


def test_a_class_without_images_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "eel").mkdir()
    refused(tmp_path, "eel: holds no images")


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_to_divide_is_trained_on_and_said(tmp_path: Path, count: int) -> None:
    fill(tmp_path)
    fill(tmp_path, count, classes=("eel",))
    with pytest.warns(UserWarning, match="too few images of eel to divide"):
        data = load_folder(tmp_path)
    eel = data.class_names.index("eel")
    parts = [int((s.labels == eel).sum()) for s in (data.train, data.validation, data.test)]
    assert sum(parts) == count
    assert parts[0] == 1


def test_splits_that_disagree_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "test", 2, classes=("cat", "wolf"))
    refused(tmp_path, "class 'wolf' is not among the training classes")


def test_two_validation_folders_are_refused(tmp_path: Path) -> None:
    for name in ("train", "val", "valid"):
        fill(tmp_path / name, 2)
    refused(tmp_path, "holds val and valid; keep one")


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    for name in ("val", "test"):
        fill(tmp_path / name, 2)
    refused(tmp_path, "holds test, val and no train")


def test_a_class_name_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, classes=("cat", "do\ng"))
    refused(tmp_path, r"'do\\ng' has no printable name; rename")


@pytest.mark.parametrize(
    "options",
    [
        {"validation_fraction": 0.0},
        {"test_fraction": 1.0},
        {"validation_fraction": 0.6, "test_fraction": 0.5},
        {"validation_fraction": float("nan")},
        {"image_size": 0},
        {"image_size": -1},
        {"resize_mode": "stretch"},
    ],
)
def test_impossible_options_are_a_usage_error(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        load_folder(fill(tmp_path), **options)


# Bad and odd files


def test_bad_images_are_listed(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "empty.png").write_bytes(b"")
    whole = (tmp_path / "dog" / "000.png").read_bytes()
    (tmp_path / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, r"2 of 32 images are bad: .*empty\.png.* \| .*half\.png.*--skip-bad")


def test_at_most_ten_bad_images_are_listed(tmp_path: Path) -> None:
    fill(tmp_path)
    for index in range(13):
        (tmp_path / "cat" / f"bad{index:02}.jpg").write_bytes(b"no image")
    with pytest.raises(InputError, match="13 of 43 images are bad") as caught:
        load_folder(tmp_path)
    assert str(caught.value).count("not an image") == 10
    assert "and 3 more" in str(caught.value)


def test_bad_images_can_be_left_out(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "bad.heic").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"left out 1 of 31 images: .*bad\.heic"):
        data = load_folder(tmp_path, skip_bad=True)
    assert len(names(data)) == 30
    assert not any("bad" in name for name in names(data))
    for split in (data.train, data.validation, data.test):
        for image, label, name in zip(split.images, split.labels, split.names, strict=True):
            np.testing.assert_array_equal(image, an_image(1000 * label + int(name[-7:-4])))


def test_a_class_of_which_too_little_is_left_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    for index in range(3):
        path = tmp_path / "eel" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    with pytest.warns(UserWarning, match="left out 3 of 33"):
        refused(tmp_path, "class 'eel' has no good images", skip_bad=True)


def test_files_that_are_not_images_are_left_out_with_a_word(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("hello")
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"hidden")
    with pytest.warns(UserWarning, match=r"left out 1 files .* such as notes\.txt"):
        assert len(names(load_folder(tmp_path))) == 30


def test_images_and_folders_beside_the_layout_are_left_out_with_a_word(tmp_path: Path) -> None:
    fill(tmp_path / "train", 4)
    fill(tmp_path / "raw", 1)
    with pytest.warns(UserWarning, match="only the splits are read; left out: raw"):
        load_folder(tmp_path)
    fill(tmp_path / "flat", 4)
    save(tmp_path / "flat" / "loose.png")
    with pytest.warns(UserWarning, match=r"left out 1 images .* such as loose\.png"):
        load_folder(tmp_path / "flat")


def test_links_that_leave_the_folder_are_skipped_with_a_warning(tmp_path: Path) -> None:
    secret = save(tmp_path / "secret" / "secret.png", 7)
    root = fill(tmp_path / "pets")
    (root / "cat" / "file.png").symlink_to(secret)
    (root / "dog" / "folder").symlink_to(secret.parent)
    (root / "dog" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.warns(UserWarning, match="left out, the link") as caught:
        data = load_folder(root)
    assert sorted(str(w.message).rsplit("pets/", 1)[1] for w in caught) == [
        "cat/file.png: left out, the link leads out of the folder (--follow-links)",
        "dog/folder: left out, the link leads out of the folder (--follow-links)",
        "dog/lost.png: left out, the link leads nowhere",
    ]
    assert len(names(data)) == 30


def test_links_within_the_folder_add_nothing(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "cat" / "linked.png").symlink_to(tmp_path / "cat" / "000.png")
    (tmp_path / "dog" / "round").symlink_to(tmp_path / "dog")
    with pytest.warns(UserWarning, match="leads to what is read already"):
        data = load_folder(tmp_path)
    assert len(names(data)) == 30


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    fill(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    with pytest.warns(UserWarning, match="not an ordinary file"):
        assert len(names(load_folder(tmp_path))) == 30


def test_unusual_names_are_kept(tmp_path: Path) -> None:
    classes = ("Ärger", "наука", "猫 🐈")
    fill(tmp_path, classes=classes)
    save(tmp_path / "猫 🐈" / "new\nline.png")
    save(tmp_path / "猫 🐈" / "<script>.png")
    Path(os.fsdecode(os.fsencode(tmp_path / "猫 🐈") + b"/\xff\xfe.png")).write_bytes(
        (tmp_path / "猫 🐈" / "000.png").read_bytes()
    )
    data = load_folder(tmp_path)
    assert data.class_names == tuple(sorted(classes))
    assert {"猫 🐈/new\nline.png", "猫 🐈/\\xff\\xfe.png"} <= names(data)
    "".join(names(data)).encode()


def test_a_folder_of_unusual_depth_is_read(tmp_path: Path) -> None:
    fill(tmp_path)
    save(tmp_path.joinpath("cat", *["d"] * 300, "deep.png"))
    assert len(names(load_folder(tmp_path))) == 31
