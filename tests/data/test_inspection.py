"""A dataset is described completely, and its problems are counted."""

from __future__ import annotations

import dataclasses
import json

from cifarlab.data import catalog, inspection
from cifarlab.data.split import fingerprint


def test_describe_is_json_and_complete(folder, train, test):
    result = json.loads(json.dumps(inspection.describe(catalog.load_dataset(folder))))
    assert result["train_fingerprint"] == fingerprint(train)
    assert result["splits"]["test"] == {
        "count": 12,
        "per_class": {"0": 4, "1": 4, "2": 4},
        "image_size": [32, 32],
        "fingerprint": fingerprint(test),
    }


def test_check_of_a_good_dataset(folder):
    result = json.loads(json.dumps(inspection.check(catalog.load_dataset(folder))))
    assert result["ok"]
    assert result["bad_files"] == []
    assert result["imbalance"] == 1.0
    assert result["label_range"] == [0, 2]
    assert set(result["duplicates"]["between"]) == {
        "train-validation", "train-test", "validation-test",
    }  # fmt: skip


def test_check_counts_duplicates_bad_rows_and_imbalance(tmp_path, some_images, write_parquet):
    train, test = some_images(60), some_images(12, seed=1)
    test.images[0] = train.images[0]
    test.images[1] = test.images[2]
    # The same pixels under another label are a duplicate all the same.
    train.images[30] = train.images[31]
    write_parquet(tmp_path / "train.parquet", train, damage={5: b"?", 8: b"?"})
    write_parquet(tmp_path / "test.parquet", test)
    result = inspection.check(inspection.load_with_notes(tmp_path)[0])
    duplicates = result["duplicates"]
    between = duplicates["between"]
    assert not result["ok"]
    assert [line.split(":")[0] for line in result["bad_files"]] == [
        "5.png", "8.png",
    ]  # fmt: skip
    assert between["train-test"] + between["validation-test"] == 1
    assert duplicates["within"]["test"] == 1
    assert duplicates["within"]["train"] + between["train-validation"] == 1
    assert result["imbalance"] == 1.09


def test_check_names_empty_classes(folder):
    data = catalog.load_dataset(folder)
    result = inspection.check(dataclasses.replace(data, class_names=("0", "1", "2", "3")))
    assert result["empty_classes"] == ["3"]
    assert result["imbalance"] is None
    assert not result["ok"]


def test_the_command_reads_the_same_and_leaves_nothing_to_guess(folder):
    data = catalog.load_dataset(folder, split_seed=3, resize_mode="crop")
    assert inspection.command(folder, data) == (
        f"cifarlab train --data {folder} --image-size 32 --channels rgb --resize-mode crop "
        "--split-seed 3 --image-column img --label-column label"
    )


def test_bad_images_are_in_one_place_only(tmp_path, some_images, write_parquet):
    write_parquet(tmp_path / "train.parquet", some_images(60), damage={5: b"?"})
    data, notes = inspection.load_with_notes(tmp_path)
    assert len(inspection.check(data)["bad_files"]) == 1
    assert not any("left out" in note for note in notes)
