"""What is known and not read is named, with what to do, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.readers import unsupported
from data.readers.places import DEFAULTS, made


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train.tfrecord", "TFRecord"),
        ("data.h5", "HDF5"),
        ("photos.rar", "unpack"),
        ("photos.7z", "unpack"),
        ("photos.tar.zst", "Zstandard"),
        ("data.pkl", "can run code"),
        ("labels.xlsx", "save it as CSV"),
        ("data.mdb", "LMDB"),
        ("1.xml", "Pascal VOC"),
        ("train.tfrecord-00000-of-00002", "TFRecord"),
        ("train.safetensors", "safetensors"),
        ("model.keras", "a model, not images"),
        ("train.csv.gz", "unpack it"),
        ("data.sqlite", "Parquet or CSV"),
        ("data.yaml", "YOLO"),
        ("labels.txt", "--labels"),
        ("1.png", "one image; give a folder"),
        ("film.mp4", "a video"),
    ],
)
def test_files(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).touch()
    reason = unsupported.find(tmp_path / name, DEFAULTS).reason
    assert words in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("data.mdb", "lock.mdb"), "LMDB"),
        (("train.tfrecord-00000-of-00002",), "TFRecord"),
        (("data.hdf5",), "HDF5"),
        (("mnist/3.0.1/mnist-train.tfrecord-00000-of-00001",), "tf.data.Dataset"),
        (("processed/training.pt",), "holds training.pt, a file of PyTorch"),
        (("data.pkl",), "a pickle, which can run code"),
    ],
)
def test_folders(tmp_path: Path, files: tuple[str, ...], words: str) -> None:
    made(tmp_path, *files)
    reason = unsupported.find(tmp_path, DEFAULTS).reason
    assert words in reason
    assert "\n" not in reason


def test_everything_else_is_left_alone(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png")
    assert unsupported.find(tmp_path, DEFAULTS).reason == ""
    made(tmp_path / "cat", notes__data_pkl="")
    assert unsupported.find(tmp_path, DEFAULTS).reason == ""


def test_addresses() -> None:
    assert "download it" in (unsupported.url("https://example.org/a.zip") or "")
    assert unsupported.url("photos/cats") is None
    assert unsupported.url("C:/photos") is None
