"""SVHN's cropped digits in MATLAB 5 files; other .mat files are refused with what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.svhn import find
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError, UnsafeError

OPTIONS = LoadOptions()


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3, count), np.uint8)


def write(path: Path, count: int = 20, seed: int = 0, packed: bool = True) -> Path:
    # As published: a column of 1 to 10, where 10 is the digit 0.
    y = (np.arange(count) % 10 + 1).astype(np.uint8)[:, None]
    savemat(path, {"X": images(count, seed), "y": y}, do_compression=packed)
    return path


def found(path: Path) -> Found:
    result = find(path, OPTIONS)
    assert isinstance(result, Found), result
    return result


def refused(path: Path) -> str:
    result = find(path, OPTIONS)
    assert isinstance(result, Rejected), result
    return result.reason


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("given", ["", "train_32x32.mat", "test_32x32.mat"])
def test_a_folder_or_one_of_its_files(tmp_path, packed, given):
    write(tmp_path / "train_32x32.mat", packed=packed)
    write(tmp_path / "test_32x32.mat", 10, 1, packed=packed)
    result = found(tmp_path / given)
    assert result.class_names == tuple("0123456789")
    train = list(result.splits["train"].contents())
    assert len(train) == 20
    assert (train[7] == images(20)[..., 7]).all()
    assert (next(iter(result.splits["test"].contents())) == images(10, 1)[..., 0]).all()
    # The tenth image has the label 10.
    assert result.splits["train"].labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2
    assert result.splits["train"].labels.dtype == np.int64


def test_a_file_alone_is_for_training(tmp_path):
    assert set(found(write(tmp_path / "digits.mat")).splits) == {"train"}


def test_the_extra_images_are_left_out_and_said(tmp_path):
    for name in ("train", "test", "extra"):
        write(tmp_path / f"{name}_32x32.mat")
    result = found(tmp_path)
    assert set(result.splits) == {"train", "test"}
    assert "extra_32x32.mat: left out" in result.notes[0]


def test_other_mat_files_are_refused_with_what_they_hold(tmp_path):
    savemat(tmp_path / "a.mat", {"images": np.zeros((4, 28, 28)), "labels": np.zeros(4)})
    reason = refused(tmp_path / "a.mat")
    assert "images double [4, 28, 28]" in reason
    assert ".npz" in reason
    savemat(tmp_path / "b.mat", {})
    assert "holds nothing" in refused(tmp_path / "b.mat")


def test_matlab_7_3_is_named(tmp_path):
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF\r\n\x1a\n"
    (tmp_path / "a.mat").write_bytes(head)
    assert "7.3" in refused(tmp_path / "a.mat")


def test_what_is_no_mat_file_gives_no_reason(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "a.npz"):
        assert refused(path) == ""


def read_whole(path: Path) -> None:
    result = find(path, OPTIONS)
    if isinstance(result, Rejected):
        raise InputError(result.reason)
    list(result.splits["train"].contents())


@pytest.mark.parametrize("keep", [0, 4, 130, 400, 20_000])
@pytest.mark.parametrize("packed", [True, False])
def test_damage_is_found(tmp_path, keep, packed):
    path = write(tmp_path / "train_32x32.mat", packed=packed)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"train_32x32\.mat"):
        read_whole(path)


def test_numbers_of_images_and_labels_must_agree(tmp_path):
    savemat(tmp_path / "a.mat", {"X": images(5), "y": np.ones((4, 1))})
    with pytest.raises(InputError, match="5 images, and labels"):
        find(tmp_path / "a.mat", OPTIONS)


def test_what_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("cifarlab.data.readers.mat5.BOMB_BYTES", 1 << 20)
    black = np.zeros((32, 32, 3, 2000), np.uint8)
    savemat(tmp_path / "a.mat", {"X": black, "y": np.ones((2000, 1))}, do_compression=True)
    with pytest.raises(UnsafeError, match="unpacks from"):
        find(tmp_path / "a.mat", OPTIONS)


def test_other_sizes_in_the_test_file_are_refused(tmp_path):
    write(tmp_path / "train_32x32.mat")
    savemat(tmp_path / "test_32x32.mat", {"X": images(10)[:16], "y": np.ones((10, 1))})
    assert "not of one dataset" in refused(tmp_path)
