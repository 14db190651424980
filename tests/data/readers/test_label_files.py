"""Labels in a file beside each image: a folder or a tar archive of WebDataset samples."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from cifarlab.data.readers import archives, folder
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, classes, found, made, png, write

LABELS = {"0001": "1", "0002": "0", "0003": "1"}


def shard(path: Path, compression: str = "") -> Path:
    with tarfile.open(path, f"w:{compression}") as archive:  # type: ignore[call-overload]
        for number, (key, label) in enumerate(LABELS.items()):
            for name, content in ((f"{key}.cls", label.encode()), (f"{key}.png", png(number))):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("compression", ["", "gz"])
def test_a_shard(tmp_path: Path, compression: str) -> None:
    answer = archives.find(shard(tmp_path / "train-000000.tar", compression), DEFAULTS)
    assert classes(answer) == {"train": {f"{key}.png": label for key, label in LABELS.items()}}
    assert "labels from 3 .cls files" in found(answer).notes


def test_a_folder_with_splits_and_images_without_a_label(tmp_path: Path) -> None:
    made(tmp_path, "train/a.png", "train/b.png", "train/c.png", "test/a.png")
    for name, text in (("train/a", "cat\n"), ("train/b", "dog"), ("test/a", "cat")):
        write(tmp_path / f"{name}.cls", text)
    answer = folder.find(tmp_path, DEFAULTS)
    assert classes(answer) == {
        "train": {"train/a.png": "cat", "train/b.png": "dog"},
        "test": {"test/a.png": "cat"},
    }
    assert any("left out 1 images without such a file" in note for note in found(answer).notes)
    assert tmp_path / "train" / "a.cls" in found(answer).files


def test_several_images_of_one_sample(tmp_path: Path) -> None:
    made(tmp_path, "1.left.png", "1.right.png", "2.left.png", "2.right.png")
    write(tmp_path / "1.cls", "0")
    write(tmp_path / "2.cls", "1")
    assert list(classes(folder.find(tmp_path, DEFAULTS))["train"].values()) == ["0", "0", "1", "1"]


def test_what_contradicts_the_folders_asks_which(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png")
    for number, name in enumerate(("cat/1", "cat/2", "dog/1", "dog/2")):
        write(tmp_path / f"{name}.cls", str(number % 2))
    with pytest.raises(InputError, match="do not agree"):
        folder.find(tmp_path, DEFAULTS)
