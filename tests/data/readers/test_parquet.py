"""Parquet files in the Hugging Face schema, good and bad."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data.readers import parquet
from cifarlab.errors import InputError


def test_a_file_is_read_as_it_was_written(some_images, write_parquet, tmp_path):
    split = some_images(30)
    files = parquet.Files(train=(write_parquet(tmp_path / "a.parquet", split),), test=())
    content = parquet.read(files)
    np.testing.assert_array_equal(content.train.images, split.images)
    np.testing.assert_array_equal(content.train.labels, split.labels)
    assert content.train.labels.dtype == np.int64
    assert content.train.names[:2] == ("0.png", "1.png")
    assert content.test is None
    assert content.class_names == ("0", "1", "2")
    assert content.skipped == ()


def test_more_rows_than_fit_into_a_batch(some_images, write_parquet, tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "BATCH_ROWS", 7)
    split = some_images(30)
    content = parquet.read(
        parquet.Files(train=(write_parquet(tmp_path / "a.parquet", split),), test=())
    )
    np.testing.assert_array_equal(content.train.images, split.images)


@pytest.mark.parametrize("columns", [("img", "label"), ("image", "label"), ("img", "fine_label")])
def test_the_usual_column_names(some_images, write_parquet, tmp_path, columns):
    path = write_parquet(tmp_path / "a.parquet", some_images(6), columns=columns)
    assert len(parquet.read(parquet.Files(train=(path,), test=())).train) == 6


def test_bare_bytes_without_paths(some_images, tmp_path, write_parquet):
    import pyarrow as pa
    import pyarrow.parquet as pq

    split = some_images(6)
    table = pq.read_table(write_parquet(tmp_path / "a.parquet", split))
    raw = [row["bytes"] for row in table.column("img").to_pylist()]
    pq.write_table(pa.table({"image": raw, "label": table.column("label")}), tmp_path / "b.parquet")
    content = parquet.read(parquet.Files(train=(tmp_path / "b.parquet",), test=()))
    np.testing.assert_array_equal(content.train.images, split.images)
    assert content.train.names[5] == "b.parquet row 5"


def test_class_names_come_from_the_metadata(some_images, write_parquet, tmp_path):
    features = {"label": {"names": ["ant", "bee", "cow", "dog"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path = write_parquet(tmp_path / "a.parquet", some_images(6), metadata=metadata)
    content = parquet.read(parquet.Files(train=(path,), test=()))
    assert content.class_names == ("ant", "bee", "cow", "dog")


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b'{"info": {"features": {"label": {"names": ["one", "two"]}}}}']
)
def test_metadata_that_does_not_fit_is_ignored(some_images, write_parquet, tmp_path, value):
    path = write_parquet(tmp_path / "a.parquet", some_images(6), metadata={b"huggingface": value})
    assert parquet.read(parquet.Files(train=(path,), test=())).class_names == ("0", "1", "2")


def test_other_sizes_are_resized(some_images, write_parquet, tmp_path):
    files = tuple(
        write_parquet(tmp_path / f"{size}.parquet", some_images(6, size=size)) for size in (20, 48)
    )
    content = parquet.read(parquet.Files(train=files, test=()), image_size=24)
    assert content.train.images.shape == (12, 24, 24, 3)


def test_bad_images_are_counted_and_the_first_is_named(some_images, write_parquet, tmp_path):
    damage = {2: b"not an image", 4: None, 5: b""}
    path = write_parquet(tmp_path / "a.parquet", some_images(9), damage=damage)
    with pytest.raises(InputError, match=r"^3 bad images, the first is .*a\.parquet row 2"):
        parquet.read(parquet.Files(train=(path,), test=()))


def test_bad_images_are_skipped_on_request(some_images, write_parquet, tmp_path):
    split = some_images(9)
    damage = {2: b"not an image", 4: None, 5: b""}
    path = write_parquet(tmp_path / "a.parquet", split, damage=damage)
    content = parquet.read(parquet.Files(train=(path,), test=()), skip_bad=True)
    np.testing.assert_array_equal(content.train.labels, np.delete(split.labels, [2, 4, 5]))
    np.testing.assert_array_equal(content.train.images, np.delete(split.images, [2, 4, 5], axis=0))
    assert len(content.skipped) == 3
    assert all(f"row {row}" in line for row, line in zip((2, 4, 5), content.skipped, strict=True))


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([0, 1, None], "row 2: has no label"),
        (["a", "b", "c"], "labels must be integers"),
        ([0.0, 1.0, 2.0], "labels must be integers"),
        ([0, 1, 10**9], "at most 10000 classes"),
    ],
)
def test_labels_that_cannot_be_used(some_images, write_parquet, tmp_path, labels, complaint):
    path = write_parquet(tmp_path / "a.parquet", some_images(3), labels=labels)
    with pytest.raises(InputError, match=complaint):
        parquet.read(parquet.Files(train=(path,), test=()))


def test_a_missing_column_is_named_with_those_that_are_there(some_images, write_parquet, tmp_path):
    path = write_parquet(tmp_path / "a.parquet", some_images(3), columns=("photo", "label"))
    with pytest.raises(InputError, match="has columns photo, label; one must be called img or"):
        parquet.read(parquet.Files(train=(path,), test=()))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off(some_images, write_parquet, tmp_path, keep):
    path = write_parquet(tmp_path / "a.parquet", some_images(30))
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(InputError, match="incomplete or damaged parquet file"):
        parquet.read(parquet.Files(train=(path,), test=()))


def test_a_file_with_bytes_overwritten_in_the_middle(some_images, write_parquet, tmp_path):
    path = write_parquet(tmp_path / "a.parquet", some_images(30))
    raw = bytearray(path.read_bytes())
    raw[100:5000] = b"\xff" * 4900
    path.write_bytes(raw)
    with pytest.raises(InputError):
        parquet.read(parquet.Files(train=(path,), test=()))


@pytest.mark.parametrize("subfolder", [".", "plain_text", "data"])
def test_shards_are_found_in_order(some_images, write_parquet, tmp_path, subfolder):
    for name in ("train-00001-of-00002", "train-00000-of-00002", "test-00000-of-00001"):
        write_parquet(tmp_path / subfolder / f"{name}.parquet", some_images(3))
    files = parquet.find(tmp_path)
    assert files is not None
    assert [path.name[:11] for path in files.train] == ["train-00000", "train-00001"]
    assert [path.name[:10] for path in files.test] == ["test-00000"]


def test_a_missing_shard_is_named(some_images, write_parquet, tmp_path):
    for index in (0, 2):
        write_parquet(tmp_path / f"train-{index:05d}-of-00003.parquet", some_images(3))
    with pytest.raises(InputError, match=r"train-00001-of-00003\.parquet: missing, one of 3"):
        parquet.find(tmp_path)


def test_validation_files_are_used_without_test_files(some_images, write_parquet, tmp_path):
    for name in ("train", "validation"):
        write_parquet(tmp_path / f"{name}.parquet", some_images(3))
    files = parquet.find(tmp_path)
    assert files is not None
    assert [path.name for path in files.test] == ["validation.parquet"]


def test_files_with_other_names_are_all_train(some_images, write_parquet, tmp_path):
    write_parquet(tmp_path / "animals.parquet", some_images(3))
    assert parquet.find(tmp_path) == parquet.Files(train=(tmp_path / "animals.parquet",), test=())


def test_a_path_without_parquet_files(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"")
    assert parquet.find(tmp_path) is None
    assert parquet.find(tmp_path / "cat.png") is None


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("cifar_train", "cifar_test"),
        ("Train", "Test"),
        ("mnist-training", "mnist-testing"),
        ("images", "val"),
        ("images", "test"),
        ("default_train_data", "default_eval_data"),
    ],
)
def test_a_file_is_in_the_split_that_its_name_speaks_of_and_in_no_other(
    tmp_path: Path, train: str, test: str
) -> None:
    for name in (train, test):
        (tmp_path / f"{name}.parquet").touch()
    files = parquet.find(tmp_path)
    assert files is not None
    assert [file.stem for file in files.train] == [train]
    assert [file.stem for file in files.test] == [test]


def test_a_file_of_no_split_beside_files_called_train_is_left_out_and_said(tmp_path: Path) -> None:
    for name in ("train", "extra"):
        (tmp_path / f"{name}.parquet").touch()
    with pytest.warns(UserWarning, match="speaks of no split"):
        files = parquet.find(tmp_path)
    assert files is not None
    assert [file.stem for file in files.train] == ["train"]


def test_test_files_alone_are_refused(tmp_path: Path) -> None:
    (tmp_path / "test.parquet").touch()
    with pytest.raises(InputError, match="no file of training images"):
        parquet.find(tmp_path)
