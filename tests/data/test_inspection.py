"""A dataset is described in full, and what is wrong with it is counted."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cifarlab.data import catalog, inspection
from cifarlab.data.dataset import fingerprint


def test_describe_is_json_and_complete(folder, train, test):
    found = json.loads(json.dumps(inspection.describe(catalog.load_dataset(folder))))
    assert found["train_fingerprint"] == fingerprint(train)
    assert found["splits"]["test"] == {
        "count": 12,
        "per_class": {"0": 4, "1": 4, "2": 4},
        "image_size": [32, 32],
        "fingerprint": fingerprint(test),
    }


def test_check_finds_nothing_wrong_where_nothing_is(folder):
    found = json.loads(json.dumps(inspection.check(folder)))
    assert found["ok"]
    assert found["bad_files"] == []
    assert found["imbalance"] == 1.0
    assert found["label_range"] == [0, 2]
    assert set(found["duplicates"]["between"]) == {
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
    found = inspection.check(tmp_path)
    duplicates = found["duplicates"]
    between = duplicates["between"]
    assert not found["ok"]
    assert [line.split(":")[0] for line in found["bad_files"]] == [
        "train.parquet row 5", "train.parquet row 8",
    ]  # fmt: skip
    assert between["train-test"] + between["validation-test"] == 1
    assert duplicates["within"]["test"] == 1
    assert duplicates["within"]["train"] + between["train-validation"] == 1
    assert found["imbalance"] == pytest.approx(24 / 22)


def test_check_names_empty_classes(tmp_path, some_images, write_parquet):
    train = some_images(30)
    labels = np.where(train.labels == 1, 3, train.labels).tolist()
    write_parquet(tmp_path / "train.parquet", train, labels=labels)
    found = inspection.check(tmp_path)
    assert found["empty_classes"] == ["1"]
    assert found["imbalance"] is None
    assert not found["ok"]
