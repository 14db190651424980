"""Arrow files: folders of ``save_to_disk`` and single files, read as Parquet files are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cifarlab.data.readers import parquet
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, classes, contents, found, png, write

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def save(path: Path, first: int, *, footer: bool = False, **more: Any) -> Path:
    rows = [{"bytes": png(first + i), "path": f"{first + i}.png"} for i in range(3)]
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    table = pa.table({"image": pa.array(rows, IMAGE), "label": [0, 1, 0], **more})
    path.parent.mkdir(parents=True, exist_ok=True)
    new = pa.ipc.new_file if footer else pa.ipc.new_stream
    with new(path, table.schema.with_metadata(metadata)) as writer:
        writer.write_table(table.replace_schema_metadata(metadata), max_chunksize=2)
    return path


EXPECTED = {
    "train": {"0.png": "cat", "1.png": "dog", "2.png": "cat"},
    "test": {"3.png": "cat", "4.png": "dog", "5.png": "cat"},
}


def saved_to_disk(root: Path) -> Path:
    write(root / "dataset_dict.json", '{"splits": ["train", "test"]}')
    for number, split in enumerate(EXPECTED):
        save(root / split / "data-00000-of-00001.arrow", 3 * number)
        write(root / split / "state.json", "{}")
    # The result of a map, whose rows are there already.
    save(root / "train" / "cache-1234.arrow", 0)
    return root


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    answer = parquet.find(saved_to_disk(tmp_path), DEFAULTS)
    assert classes(answer) == EXPECTED
    assert contents(answer)["test"] == {f"{i}.png": png(i) for i in (3, 4, 5)}


@pytest.mark.parametrize("name", ["a.arrow", "a.feather"])
@pytest.mark.parametrize("footer", [False, True])
def test_one_file(tmp_path: Path, name: str, footer: bool) -> None:
    split = pa.array(["train", "train", "test"])
    answer = parquet.find(save(tmp_path / name, 0, footer=footer, split=split), DEFAULTS)
    assert classes(answer) == {"train": {"0.png": "cat", "1.png": "dog"}, "test": {"2.png": "cat"}}
    assert contents(answer)["train"] == {"0.png": png(0), "1.png": png(1)}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save(tmp_path / "data-00000-of-00002.arrow", 0)
    with pytest.raises(InputError, match=r"data-00001-of-00002\.arrow: missing, one of 2"):
        parquet.find(tmp_path, DEFAULTS)


def test_rows_that_are_chosen_elsewhere_are_refused(tmp_path: Path) -> None:
    root = saved_to_disk(tmp_path)
    write(root / "train" / "state.json", '{"_indices_files": [{"filename": "indices.arrow"}]}')
    with pytest.raises(InputError, match="flatten_indices"):
        parquet.find(root, DEFAULTS)


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0cut off", b"\xff\xff\xff\xff\x10\x01"])
def test_a_damaged_file_is_an_error_in_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match="damaged arrow file") as caught:
        parquet.find(write(tmp_path / "a.arrow", content), DEFAULTS)
    assert "\n" not in str(caught.value)


def test_images_that_are_named_only_are_read_from_beside_the_table(tmp_path: Path) -> None:
    rows = pa.array([{"path": "1.png"}, {"path": "2.png"}], pa.struct([("path", pa.string())]))
    path = tmp_path / "a.arrow"
    table = pa.table({"image": rows, "label": ["cat", "dog"]})
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    for number in (1, 2):
        write(tmp_path / f"{number}.png", png(number))
    answer = found(parquet.find(path, DEFAULTS))
    assert contents(answer)["train"] == {"1.png": png(1), "2.png": png(2)}
