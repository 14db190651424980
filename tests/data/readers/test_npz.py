"""``.npz`` and ``.npy`` files: read as what they hold, or refused with the reason, never run."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.array_files import list_arrays
from cifarlab.data.readers.npz import find
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError, UnsafeError

OPTIONS = LoadOptions()


def images(count: int = 12, *shape: int, seed: int = 0) -> np.ndarray:
    shape = shape or (28, 28)
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int = 12, classes: int = 3) -> np.ndarray:
    return np.arange(count) % classes


def save(path: Path, packed: bool = True, **arrays: np.ndarray) -> Path:
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


def found(path: Path, options: LoadOptions = OPTIONS) -> Found:
    result = find(path, options)
    assert isinstance(result, Found), result
    return result


def refused(path: Path, options: LoadOptions = OPTIONS) -> str:
    result = find(path, options)
    assert isinstance(result, Rejected), result
    return result.reason


def pixels(result: Found, split: str = "train") -> np.ndarray:
    return np.stack(list(result.splits[split].contents()))


@pytest.mark.parametrize("packed", [True, False])
def test_keras_mnist(tmp_path, packed):
    x, test = images(), images(6, seed=1)
    path = save(
        tmp_path / "mnist.npz", packed, x_train=x, y_train=labels(), x_test=test, y_test=labels(6)
    )
    result = found(path)
    assert result.name == "mnist"
    assert result.class_names == ("0", "1", "2")
    assert set(result.splits) == {"train", "test"}
    assert (pixels(result) == x).all()
    assert (pixels(result, "test") == test).all()
    assert pixels(result).dtype == np.uint8
    assert result.splits["train"].labels.dtype == np.int64
    assert result.splits["train"].labels.tolist() == labels().tolist()
    assert len(set(result.splits["train"].names)) == 12
    assert result.splits["test"].names[3] == "test 3"
    assert result.files == (path,)
    assert result.notes == ()


def test_contents_can_be_read_again(tmp_path):
    result = found(save(tmp_path / "a.npz", images=images(), labels=labels()))
    assert (pixels(result) == pixels(result)).all()


def test_medmnist(tmp_path):
    parts = {}
    for split, count in (("train", 12), ("val", 6), ("test", 9)):
        parts[f"{split}_images"] = images(count, 28, 28, 3)
        parts[f"{split}_labels"] = labels(count)[:, None]
    result = found(save(tmp_path / "pathmnist.npz", **parts))
    assert {split: len(part) for split, part in result.splits.items()} == {
        "train": 12,
        "validation": 6,
        "test": 9,
    }
    assert pixels(result).shape == (12, 28, 28, 3)


def test_several_classes_for_one_image_are_refused_by_name(tmp_path):
    marks = np.random.default_rng(0).integers(0, 2, (12, 14))
    path = save(tmp_path / "chestmnist.npz", train_images=images(), train_labels=marks)
    assert "train_labels" in refused(path)
    assert "multi-label" in refused(path)


def test_volumes_are_refused_by_name(tmp_path):
    path = save(
        tmp_path / "organmnist3d.npz",
        train_images=images(6, 28, 28, 28),
        train_labels=labels(6)[:, None],
    )
    assert "volumes" in refused(path)


def test_channels_first_are_turned_and_said(tmp_path):
    x = images(12, 3, 20, 24)
    result = found(save(tmp_path / "a.npz", images=x, labels=labels()))
    assert (pixels(result) == x.transpose(0, 2, 3, 1)).all()
    assert "channels first" in result.notes[0]


def test_flat_squares_are_read_and_said(tmp_path):
    x = images(12, 784)
    result = found(save(tmp_path / "a.npz", data=x, target=labels()))
    assert (pixels(result) == x.reshape(12, 28, 28)).all()
    assert "28x28" in result.notes[0]


def test_floats_of_a_clear_range_are_scaled_and_said(tmp_path):
    x = images()
    for stored in (x / 255, (x / 127.5 - 1).astype(np.float32), x.astype(float)):
        result = found(save(tmp_path / "a.npz", x=stored, y=labels()))
        assert (pixels(result) == x).all()
        assert "black" in result.notes[0]


def test_floats_of_no_clear_range_are_refused(tmp_path):
    standardised = np.random.default_rng(0).normal(size=(12, 28, 28))
    assert "not clear" in refused(save(tmp_path / "a.npz", x=standardised, y=labels()))


def test_values_that_are_no_numbers_are_refused(tmp_path):
    x = images() / 255
    x[7, 3, 3] = np.nan
    assert "image 7 holds NaN" in refused(save(tmp_path / "a.npz", x=x, y=labels()))


def test_ten_and_twelve_bit_values_are_scaled_by_their_true_range(tmp_path):
    x = np.random.default_rng(0).integers(0, 4096, (12, 28, 28), dtype=np.uint16)
    path = save(tmp_path / "a.npz", x=x, y=labels())
    result = found(path)
    assert (pixels(result) == x >> 4).all()
    assert "4095 white" in result.notes[0]
    assert (pixels(found(path, LoadOptions(bits=16))) == x >> 8).all()


@pytest.mark.parametrize(
    ("stored", "names"),
    [
        (labels() + 1, ("1", "2", "3")),
        (np.eye(3)[labels()], ("0", "1", "2")),
        (labels().astype(float), ("0", "1", "2")),
        (np.array(["cat", "dog", "ant"])[labels()], ("ant", "cat", "dog")),
        (np.array([b"cat", b"dog", b"ant"])[labels()], ("ant", "cat", "dog")),
        (np.array([5, 1, 9])[labels()], ("1", "5", "9")),
    ],
)
def test_labels_in_every_usual_form(tmp_path, stored, names):
    result = found(save(tmp_path / "a.npz", images=images(), labels=stored))
    assert result.class_names == names
    assert sorted(set(result.splits["train"].labels)) == [0, 1, 2]


def test_class_names_in_the_file_are_used(tmp_path):
    names = np.array(["cup", "pot", "jar"])
    path = save(tmp_path / "a.npz", images=images(), labels=labels(), class_names=names)
    assert found(path).class_names == ("cup", "pot", "jar")


def test_names_that_may_be_meant_twice_are_named_and_an_option_decides(tmp_path):
    path = save(tmp_path / "a.npz", images=images(), data=images(seed=1), labels=labels())
    assert "images and data" in refused(path)
    result = found(path, LoadOptions(image_column="data"))
    assert (pixels(result) == images(seed=1)).all()


def test_what_was_guessed_can_be_said(tmp_path):
    path = save(tmp_path / "a.npz", images=images(), labels=labels())
    options = found(path).options
    assert options == {"image_column": "images", "label_column": "labels"}
    again = found(path, LoadOptions(**options))
    assert (pixels(again) == images()).all()


def test_an_unlabelled_split_is_left_out_and_said(tmp_path):
    arrays = {"x_train": images(), "y_train": labels(), "x_test": images(4)}
    for more in ({}, {"y_test": np.full(4, -1)}):
        result = found(save(tmp_path / "a.npz", **arrays, **more))
        assert set(result.splits) == {"train"}
        assert "x_test: left out" in result.notes[0]


def test_other_arrays_are_left_out_and_said(tmp_path):
    path = save(tmp_path / "a.npz", images=images(), labels=labels(), ids=np.arange(12))
    assert "left out ids" in found(path).notes[0]


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ({"x_test": images(6, 14, 14), "y_test": labels(6)}, "x_test: images are uint8 .14, 14."),
        ({"x_test": images(6) / 255, "y_test": labels(6)}, "x_test: images are float64"),
        ({"x_test": images(6), "y_test": labels(6) + 7}, "test: label 7"),
        ({"x_test": images(6), "y_test": labels(5)}, "y_test: 5 labels for 6 images"),
    ],
)
def test_a_test_split_of_another_kind_is_refused_before_any_training(tmp_path, test, reason):
    import re

    path = save(tmp_path / "a.npz", x_train=images(), y_train=labels(), **test)
    assert re.search(reason, refused(path))


def test_a_folder_of_npy_files(tmp_path):
    for name, array in (
        ("x_train", images()),
        ("y_train", labels()),
        ("x_test", images(6, seed=1)),
        ("y_test", labels(6)),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    result = found(tmp_path)
    assert (pixels(result, "test") == images(6, seed=1)).all()
    assert len(result.files) == 4
    assert result.name == tmp_path.name


def test_a_folder_of_npz_files_one_for_each_split_or_array(tmp_path):
    save(tmp_path / "train.npz", images=images(), labels=labels())
    save(tmp_path / "test.npz", images=images(6), labels=labels(6))
    assert set(found(tmp_path).splits) == {"train", "test"}
    other = tmp_path / "k49"
    other.mkdir()
    np.savez(other / "k49-train-imgs.npz", images())
    np.savez(other / "k49-train-labels.npz", labels())
    assert (pixels(found(other)) == images()).all()


def test_a_folder_of_several_datasets_says_so(tmp_path):
    for name in ("pathmnist", "bloodmnist"):
        save(tmp_path / f"{name}.npz", train_images=images(), train_labels=labels())
    assert "bloodmnist/train_images and pathmnist/train_images" in refused(tmp_path)
    assert refused(tmp_path).endswith("give one of the files")


def test_fortran_order_is_read_right(tmp_path):
    x = images(12, 16, 20, 3)
    result = found(save(tmp_path / "a.npz", images=np.asfortranarray(x), labels=labels()))
    assert (pixels(result) == x).all()


def test_big_endian_values_are_read_right(tmp_path):
    x = images().astype(">i4")
    result = found(save(tmp_path / "a.npz", images=x, labels=labels().astype(">i8")))
    assert (pixels(result) == images()).all()


def test_more_than_one_block_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("cifarlab.data.readers.array_files.BLOCK_BYTES", 3 * 784)
    x = images(10)
    result = found(save(tmp_path / "a.npz", images=x, labels=labels(10)))
    assert (pixels(result) == x).all()


def test_what_is_no_array_file_gives_no_reason(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    for path in (tmp_path, tmp_path / "a.png", tmp_path / "missing.npz"):
        assert refused(path) == ""


def test_pickled_objects_are_refused_by_name_and_never_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    harmful = np.empty(12, dtype=object)
    harmful[:] = Harm()
    path = tmp_path / "a.npz"
    np.savez(path, images=images(), labels=harmful)
    with pytest.raises(UnsafeError, match=r"labels\.npy: refused: holds Python objects"):
        find(path, OPTIONS)
    # A pickle under the name of an array.
    (tmp_path / "x_train.npy").write_bytes(pickle.dumps(Harm()))
    with pytest.raises(InputError, match="not a NumPy array"):
        list_arrays(tmp_path / "x_train.npy")
    assert not (tmp_path / "ran").exists()


def header(text: str, *, length: int | None = None) -> bytes:
    body = text.encode().ljust(118 - 10) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", length or len(body)) + body


@pytest.mark.parametrize(
    "member",
    [
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (10**15, 28, 28)}"),
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 28, 28), }"),
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 28, 28), }"),
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (12, 28, 28), }") + b"short",
        header("{'descr': '|u1'}"),
        header("("),
        header("__import__('os').getcwd()"),
        header("{}", length=60000),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"\x93NUMPY\x09\x00",
        b"",
        b"not an array",
    ],
)
def test_false_headers_are_refused_and_allocate_nothing(tmp_path, member):
    import tracemalloc

    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", member)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"a\.npz: images\.npy: "):
            find(path, OPTIONS)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("cifarlab.data.readers.array_files.BOMB_BYTES", 1 << 20)
    path = save(tmp_path / "a.npz", images=np.zeros((4000, 28, 28), np.uint8), labels=labels())
    with pytest.raises(UnsafeError, match="bytes unpack to"):
        find(path, OPTIONS)


def test_damaged_archives_are_refused(tmp_path):
    whole = save(tmp_path / "a.npz", images=images(), labels=labels()).read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"b\.npz: .*damaged"):
        find(tmp_path / "b.npz", OPTIONS)
    (tmp_path / "c.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"c\.npz: .*damaged"):
        find(tmp_path / "c.npz", OPTIONS)
    np.save(tmp_path / "x.npy", images())
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-5])
    with pytest.raises(InputError, match="header says"):
        find(tmp_path / "x.npy", OPTIONS)


def test_a_changed_byte_of_an_image_is_found_by_the_archives_own_checksum(tmp_path):
    x = images()
    whole = bytearray(save(tmp_path / "a.npz", False, images=x, labels=labels()).read_bytes())
    place = whole.find(x.tobytes()[:64])
    whole[place] ^= 255
    (tmp_path / "b.npz").write_bytes(whole)
    with pytest.raises(InputError, match="damaged"):
        pixels(found(tmp_path / "b.npz"))


def test_a_damaged_file_beside_folders_of_images_does_not_stop_their_reader(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "embeddings.npy").write_bytes(b"x")
    assert "damaged" in refused(tmp_path)


def test_two_members_of_one_name_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    file = io.BytesIO()
    np.save(file, labels())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", file.getvalue())
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("labels.npy", file.getvalue())
    with pytest.raises(InputError, match="two of one name"):
        find(path, OPTIONS)
