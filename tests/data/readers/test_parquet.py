"""Parquet files with images, as people have them: read right, or refused with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder, parquet
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, classes, contents, found, made, png

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(
    path: Path,
    labels: Any = (0, 1, 0),
    *,
    image: str = "image",
    label: str = "label",
    names: tuple[str, ...] = (),
    **more: Any,
) -> Path:
    """Write images and their labels; ``names`` become Hugging Face's class names."""
    rows = [{"bytes": png(i), "path": f"{i}.png"} for i in range(len(labels))]
    columns = {image: pa.array(rows, IMAGE), label: pa.array(labels), **more}
    metadata = None
    if names:
        features = {label: {"names": list(names), "_type": "ClassLabel"}}
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


def names_of(path: Path, options: LoadOptions = DEFAULTS) -> tuple[str, ...]:
    return found(parquet.find(path, options)).class_names


@pytest.mark.parametrize("image", ["image", "img", "Image", "pixel_values", "photo", "anything"])
@pytest.mark.parametrize("label", ["label", "Label", "fine_label", "labels", "class", "target"])
def test_columns_of_any_usual_name_are_found(tmp_path: Path, image: str, label: str) -> None:
    coarse = pa.array([5, 5, 6])
    path = table(tmp_path / "a.parquet", image=image, label=label, coarse_label=coarse)
    answer = found(parquet.find(path, DEFAULTS))
    assert answer.options == {"image_column": image, "label_column": label}
    assert classes(answer) == {"train": {"0.png": "0", "1.png": "1", "2.png": "0"}}
    assert contents(answer)["train"] == {f"{i}.png": png(i) for i in range(3)}
    assert classes(parquet.find(path, LoadOptions(**answer.options))) == classes(answer)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([png(0), png(1), png(2)], pa.binary()),
        pa.array([png(0), png(1), png(2)], pa.large_binary()),
        pa.array([{"bytes": png(i)} for i in range(3)], pa.struct([("bytes", pa.binary())])),
        pa.array([{"bytes": png(i), "path": None} for i in range(3)], IMAGE),
        pa.array([{"bytes": png(i), "path": "same.png"} for i in range(3)], IMAGE),
    ],
)
def test_images_without_a_name_of_their_own_are_named_by_row(tmp_path: Path, column: Any) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": column, "label": [0, 1, 0]}), path)
    expected = {f"a.parquet row {i}": png(i) for i in range(3)}
    assert contents(parquet.find(path, DEFAULTS))["train"] == expected


def test_nested_lists_of_numbers_are_arrays(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": images.tolist(), "label": [0, 1]}), path)
    stored = list(found(parquet.find(path, DEFAULTS)).splits["train"].contents())
    np.testing.assert_array_equal(np.stack(stored), images)  # type: ignore[arg-type]


def test_a_path_without_bytes_is_a_file_beside_and_never_one_outside(tmp_path: Path) -> None:
    root = made(tmp_path / "data", "in/1.png")
    rows = [{"bytes": None, "path": name} for name in ("in/1.png", "../secret.png", "/etc/passwd")]
    pq.write_table(
        pa.table({"image": pa.array(rows, IMAGE), "label": [0, 1, 1]}), root / "a.parquet"
    )
    samples = found(parquet.find(root / "a.parquet", DEFAULTS)).splits["train"]
    assert list(samples.contents()) == [root / "in" / "1.png", b"", b""]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["cat", "dog", "cat"], ("cat", "dog")),
        ([1.0, 0.0, 1.0], ("0", "1")),
        ([True, False, True], ("false", "true")),
        ([1, 2, 3], ("1", "2", "3")),
        ([9, 1, 5], ("1", "5", "9")),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ("x", "y")),
    ],
)
def test_labels_of_every_kind_are_the_classes_that_occur(
    tmp_path: Path, labels: Any, expected: tuple[str, ...]
) -> None:
    assert names_of(table(tmp_path / "a.parquet", labels)) == expected


def test_class_names_come_from_the_metadata_in_its_order(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", [2, 0, 1], names=("wasp", "ant", "bee", "cow"))
    answer = found(parquet.find(path, DEFAULTS))
    assert answer.class_names == ("wasp", "ant", "bee")
    assert any("no images of cow" in note for note in answer.notes)


def test_class_names_that_do_not_match_the_labels_stop(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", [1, 2, 3], names=("ant", "bee", "cow"))
    with pytest.raises(InputError, match="label 3, but 3 class names allow 0 to 2"):
        parquet.find(path, DEFAULTS)


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"info": {"features": {"label": 3}}}'])
def test_metadata_without_class_names_is_ignored(tmp_path: Path, value: bytes) -> None:
    path = table(tmp_path / "a.parquet")
    whole = pq.read_table(path).replace_schema_metadata({b"huggingface": value})
    pq.write_table(whole, path)
    assert names_of(path) == ("0", "1")


def test_class_names_in_another_order_in_the_test_file_are_aligned(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", [0, 1, 0], names=("cat", "dog"))
    table(tmp_path / "test.parquet", [0, 1, 1], names=("dog", "cat"))
    answer = classes(parquet.find(tmp_path, DEFAULTS))
    assert list(answer["test"].values()) == ["dog", "cat", "cat"]
    assert list(answer["train"].values()) == ["cat", "dog", "cat"]


@pytest.mark.parametrize("labels", [[-1, -1, -1], pa.nulls(3, pa.int64())])
def test_a_test_file_without_labels_is_left_out_and_said(tmp_path: Path, labels: Any) -> None:
    table(tmp_path / "train.parquet", names=("cat", "dog"))
    table(tmp_path / "test.parquet", labels, names=("cat", "dog"))
    answer = found(parquet.find(tmp_path, DEFAULTS))
    assert set(answer.splits) == {"train"}
    assert "test: 3 images without labels are left out" in answer.notes


def test_a_test_file_without_a_label_column_is_left_out_and_said(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet")
    table(tmp_path / "test.parquet", label="id")
    answer = found(parquet.find(tmp_path, DEFAULTS))
    assert set(answer.splits) == {"train"}
    assert any("test: has no column 'label'" in note for note in answer.notes)


def test_single_rows_without_a_label_are_left_out_and_counted(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", [0, None, 1, -1, 0])
    answer = found(parquet.find(path, DEFAULTS))
    assert contents(answer)["train"] == {f"{i}.png": png(i) for i in (0, 2, 4)}
    assert "train: left out 2 images without a label" in answer.notes


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("cifar_train", "cifar_test"), {"train", "test"}),
        (("Train", "Test"), {"train", "test"}),
        (("mnist-training", "mnist-testing"), {"train", "test"}),
        (("images", "val"), {"train", "validation"}),
        (("images", "test"), {"train", "test"}),
        (("train", "validation", "test"), {"train", "validation", "test"}),
        (("default/train/0000", "default/test/0000"), {"train", "test"}),
        (("default/train-00000-of-00001", "default/test-00000-of-00001"), {"train", "test"}),
        (("data/train-00000-of-00001", "data/test-00000-of-00001"), {"train", "test"}),
        (("plain_text/train-00000-of-00001", "plain_text/test-00000-of-00001"), {"train", "test"}),
        (("animals",), {"train"}),
    ],
)
def test_each_file_is_in_the_split_that_its_name_or_folder_speaks_of(
    tmp_path: Path, files: tuple[str, ...], expected: set[str]
) -> None:
    for number, name in enumerate(files):
        table(tmp_path / f"{name}.parquet", [0, 1, *[0] * number])
    answer = found(parquet.find(tmp_path, DEFAULTS))
    assert {split: len(samples) for split, samples in answer.splits.items()} == {
        split: 2 + number
        for number, split in enumerate(s for s in ("train", "validation", "test") if s in expected)
    }
    assert len(answer.files) == len(files)


def test_shards_are_read_in_order_and_a_missing_one_is_named(tmp_path: Path) -> None:
    for index in (2, 0, 1):
        table(tmp_path / f"train-{index:05d}-of-00003.parquet", [index, index + 1])
    answer = found(parquet.find(tmp_path, DEFAULTS))
    assert answer.splits["train"].labels.tolist() == [0, 1, 1, 2, 2, 3]
    assert len(set(answer.splits["train"].names)) == 6
    (tmp_path / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match=r"train-00001-of-00003\.parquet: missing, one of 3"):
        parquet.find(tmp_path, DEFAULTS)


def test_several_configurations_ask_which_folder(tmp_path: Path) -> None:
    for name in ("plain_text", "cifar100"):
        table(tmp_path / name / "train-00000-of-00001.parquet")
    with pytest.raises(InputError, match=r"several datasets; give one of .*cifar100.*plain_text"):
        parquet.find(tmp_path, DEFAULTS)
    assert names_of(tmp_path / "plain_text") == ("0", "1")


def test_a_file_of_no_split_beside_files_called_train_is_left_out_and_said(tmp_path: Path) -> None:
    for name in ("train", "extra"):
        table(tmp_path / f"{name}.parquet")
    answer = found(parquet.find(tmp_path, DEFAULTS))
    assert [file.stem for file in answer.files] == ["train"]
    assert any("extra.parquet: its name speaks of no split" in note for note in answer.notes)


def test_test_files_alone_are_refused_as_a_folder_and_read_as_one_file(tmp_path: Path) -> None:
    path = table(tmp_path / "test.parquet")
    with pytest.raises(InputError, match="no file of training images"):
        parquet.find(tmp_path, DEFAULTS)
    assert names_of(path) == ("0", "1")


@pytest.mark.parametrize(
    ("more", "options", "complaint"),
    [
        ({"mask": "image"}, {}, None),
        ({"photo": "image"}, {}, "may be in column image, photo; .*--image-column"),
        ({"class": "other"}, {}, "may be in column label, class; .*--label-column"),
        ({}, {"label_column": "x"}, r"has no column 'x' \(--label-column\); it has label"),
        ({}, {"image_column": "x"}, r"has no column 'x' \(--image-column\); it has image, label"),
    ],
)
def test_columns_that_are_not_clear_are_named_with_the_options(
    tmp_path: Path, more: dict[str, str], options: dict[str, str], complaint: str | None
) -> None:
    kinds = {
        "image": pa.array([{"bytes": png(9), "path": "x"}] * 3, IMAGE),
        "other": pa.array([7, 7, 8]),
    }
    path = table(tmp_path / "a.parquet", **{name: kinds[kind] for name, kind in more.items()})
    if complaint is None:
        assert contents(parquet.find(path, DEFAULTS))["train"]["0.png"] == png(0)
        return
    with pytest.raises(InputError, match=complaint):
        parquet.find(path, LoadOptions(**options))


def test_no_column_of_labels_names_those_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    ids = pa.array(["a", "b", "c"])
    pq.write_table(
        pa.table({"image": [png(0), png(1), png(2)], "id": ids, "when": ["x", "y", "z"]}), path
    )
    with pytest.raises(InputError, match="has columns image, id, when; none is called label"):
        parquet.find(path, DEFAULTS)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off(tmp_path: Path, keep: float) -> None:
    path = table(tmp_path / "a.parquet", [0, 1] * 20)
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(InputError, match="incomplete or damaged parquet file"):
        parquet.find(path, DEFAULTS)


def test_a_parquet_file_beside_class_folders_is_found_by_both(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png")
    table(tmp_path / "data" / "a.parquet")
    assert isinstance(folder.find(tmp_path, DEFAULTS), Found)
    answer = found(parquet.find(tmp_path, DEFAULTS))
    assert any("left out 2 image files beside" in note for note in answer.notes)
    by_folder = LoadOptions(class_folder="first")
    assert isinstance(parquet.find(tmp_path, by_folder), Rejected)


def test_paths_without_parquet_files_of_images_are_left_alone(tmp_path: Path) -> None:
    made(tmp_path, "cat.png")
    assert parquet.find(tmp_path, DEFAULTS) == Rejected(reason="")
    assert parquet.find(tmp_path / "cat.png", DEFAULTS) == Rejected(reason="")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    answer = parquet.find(tmp_path, DEFAULTS)
    assert answer == Rejected(reason="no column of a.parquet holds images")


def test_files_that_are_links_are_read_as_in_the_cache_of_hugging_face(tmp_path: Path) -> None:
    blob = table(tmp_path / "blobs" / "a.parquet")
    link = tmp_path / "snapshot" / "data" / "train-00000-of-00001.parquet"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    (tmp_path / "snapshot" / "round").symlink_to(tmp_path / "snapshot")
    assert names_of(tmp_path / "snapshot") == ("0", "1")


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("split", ["train", "test", "train", "test"]),
        ("Usage", ["Training", "PrivateTest", "Training", "PrivateTest"]),
        ("is_test", [False, True, False, True]),
        ("is_train", [1, 0, 1, 0]),
    ],
)
def test_a_column_of_splits_is_obeyed(tmp_path: Path, column: str, values: list[Any]) -> None:
    path = table(tmp_path / "a.parquet", [0, 0, 1, 1], **{column: pa.array(values)})
    answer = parquet.find(path, DEFAULTS)
    expected = {"train": {"0.png": "0", "2.png": "1"}, "test": {"1.png": "0", "3.png": "1"}}
    assert classes(answer) == expected
    assert contents(answer)["test"] == {"1.png": png(1), "3.png": png(3)}
    assert any(f"splits in column '{column}'" in note for note in found(answer).notes)


def test_shards_of_one_split_each_by_a_column(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "test")):
        name = f"data-0000{number}-of-00002.parquet"
        table(tmp_path / name, [0, 1], split=pa.array([split] * 2))
    assert {s: len(v) for s, v in classes(parquet.find(tmp_path, DEFAULTS)).items()} == {
        "train": 2,
        "test": 2,
    }


def test_a_column_of_splits_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", split=pa.array([0, 1, 2]))
    with pytest.raises(InputError, match=r"'split' holds 0, 1, 2, which name no split"):
        parquet.find(path, DEFAULTS)


def test_lists_of_labels_have_the_names_of_what_they_list(tmp_path: Path) -> None:
    rows = pa.table({"image": [png(0), png(1)], "labels": [[1], [0]]})
    feature = {"feature": {"names": ["cat", "dog"], "_type": "ClassLabel"}, "_type": "Sequence"}
    metadata = json.dumps({"info": {"features": {"labels": feature}}}).encode()
    pq.write_table(rows.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "a.parquet")
    assert list(classes(parquet.find(tmp_path / "a.parquet", DEFAULTS))["train"].values()) == [
        "dog",
        "cat",
    ]


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3), (3, 8, 9)])
def test_nested_lists_in_either_order_of_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, *shape))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": images.tolist(), "label": [0, 1]}), path)
    stored = list(found(parquet.find(path, DEFAULTS)).splits["train"].contents())
    expected = images.transpose(0, 2, 3, 1) if shape[0] == 3 else images
    np.testing.assert_array_equal(np.squeeze(np.array(stored)), np.squeeze(expected))


def test_nested_lists_of_fractions_have_no_white(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((2, 8, 8)).tolist()
    pq.write_table(pa.table({"image": images, "label": [0, 1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"numbers with fractions.*store whole numbers"):
        parquet.find(tmp_path / "a.parquet", DEFAULTS)
