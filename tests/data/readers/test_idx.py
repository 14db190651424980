"""IDX files of MNIST and its followers: packed or not, a folder or one of its files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.idx import find
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError, UnsafeError

OPTIONS = LoadOptions()


def images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *(shape or (28, 28))), np.uint8)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    head = bytes([0, 0, kind, array.ndim])
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def write(folder: Path, prefix: str = "", test: str = "t10k", packed: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, count, seed in (("train", 12, 0), (test, 6, 1)):
        for kind, array in (
            ("images-idx3", images(count, seed=seed)),
            ("labels-idx1", np.arange(count) % 3),
        ):
            name = f"{prefix}{split}-{kind}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array), 1))
            else:
                (folder / name).write_bytes(idx(array))
    return folder


def found(path: Path) -> Found:
    result = find(path, OPTIONS)
    assert isinstance(result, Found), result
    return result


def refused(path: Path) -> str:
    result = find(path, OPTIONS)
    assert isinstance(result, Rejected), result
    return result.reason


def pixels(result: Found, split: str = "train") -> np.ndarray:
    return np.stack(list(result.splits[split].contents()))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("one_file", ["", "train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_mnist_packed_or_not_a_folder_or_one_file(tmp_path, packed, one_file):
    folder = write(tmp_path / "digits", packed=packed)
    suffix = ".gz" if packed else ""
    result = found(folder / f"{one_file}{suffix}" if one_file else folder)
    assert result.class_names == ("0", "1", "2")
    assert (pixels(result) == images(12)).all()
    assert (pixels(result, "test") == images(6, seed=1)).all()
    assert result.splits["test"].labels.tolist() == [0, 1, 2] * 2
    assert result.splits["test"].names[5] == "test 5"
    assert len(result.files) == 4
    assert result.name == ("mnist-like" if one_file else "digits")


def test_names_with_a_point(tmp_path):
    for name, array in (
        ("train-images.idx3-ubyte", images(12)),
        ("train-labels.idx1-ubyte", np.arange(12) % 3),
    ):
        (tmp_path / name).write_bytes(idx(array))
    assert set(found(tmp_path).splits) == {"train"}


def test_the_folders_that_others_download_into(tmp_path):
    write(tmp_path / "MNIST" / "raw")
    assert (pixels(found(tmp_path)) == images(12)).all()
    assert (pixels(found(tmp_path / "MNIST")) == images(12)).all()


def test_emnist_is_turned_upright_and_said(tmp_path):
    folder = write(tmp_path, "emnist-letters-", "test")
    result = found(folder)
    assert result.name == "emnist-letters"
    assert (pixels(result) == images(12).transpose(0, 2, 1)).all()
    assert "transposed" in result.notes[0]


def test_several_datasets_in_one_folder_are_named(tmp_path):
    write(tmp_path, "emnist-letters-", "test")
    write(tmp_path, "emnist-digits-", "test")
    assert "emnist-digits, emnist-letters" in refused(tmp_path)
    one = found(tmp_path / "emnist-digits-train-labels-idx1-ubyte.gz")
    assert one.name == "emnist-digits"


def test_labels_from_1_make_no_class_without_images(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images(4)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([1, 2, 1, 2])))
    assert found(tmp_path).class_names == ("1", "2")


def test_a_split_without_labels_is_left_out_and_said(tmp_path):
    folder = write(tmp_path)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    result = found(folder)
    assert set(result.splits) == {"train"}
    assert "t10k-images-idx3-ubyte.gz: left out" in result.notes[0]


@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_a_missing_training_file_is_named(tmp_path, kind):
    folder = write(tmp_path)
    (folder / f"train-{kind}-ubyte.gz").unlink()
    assert f"no train-{kind.partition('-')[0]}-idx file" in refused(folder)


def test_other_files_give_no_reason(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "a.gz", tmp_path / "missing"):
        assert refused(path) == ""


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"x",
        lambda raw: raw[:3],
        lambda raw: b"\x01" + raw[1:],
        lambda raw: raw[:4] + b"\xff\xff\xff\xff" + raw[8:],
        lambda _: b"",
        lambda _: b"<html>",
    ],
)
def test_damage_is_found(tmp_path, packed, damage):
    folder = write(tmp_path, packed=packed)
    path = folder / f"train-images-idx3-ubyte{'.gz' if packed else ''}"
    raw = damage(idx(images(12)))
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with pytest.raises((InputError, UnsafeError), match="train-") as caught:
        pixels(found(folder))
    assert "; " in str(caught.value)


def test_a_truncated_gzip_file_is_damaged(tmp_path):
    folder = write(tmp_path)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="damaged"):
        pixels(found(folder))


def test_numbers_of_images_and_labels_must_agree(tmp_path):
    folder = write(tmp_path, packed=False)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(11) % 3))
    with pytest.raises(InputError, match="11 labels, and 12 images"):
        find(folder, OPTIONS)


def test_what_unpacks_to_far_more_is_refused(tmp_path):
    folder = write(tmp_path)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", 4_000_000_000, 28, 28)))
    with pytest.raises(UnsafeError, match="bytes unpack to"):
        find(folder, OPTIONS)


def test_other_types_and_sizes_are_refused(tmp_path):
    folder = write(tmp_path, packed=False)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images(6, 14, 14)))
    assert "not of one dataset" in refused(folder)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images(6), kind=0x0D))
    assert "not bytes" in refused(folder)
