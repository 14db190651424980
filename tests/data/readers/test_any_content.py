"""Whatever a file holds, a reader answers, or raises an error of its own in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import archives, folder, parquet, pixel_tables, unsupported
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import CifarlabError
from data.readers.places import DEFAULTS, made, png, write

READERS = (parquet, pixel_tables, folder, archives, unsupported)
NAMES = (
    "labels.csv", "train.tsv", "metadata.jsonl", "labels.json", "metadata.parquet",
    "a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "cat/x.png", "x", "\n.csv",
)  # fmt: skip
CELLS = (
    "1.png", "2", "../3.png", "cat", "dog", "-1", "0.5", "1", "", "nan", "file", "label", "split",
    "train", "test", '"', "a|b", "\0", "é", "1e400", "9" * 400,
)  # fmt: skip

cells = st.sampled_from(CELLS)
tables = st.lists(st.lists(cells, min_size=1, max_size=4), min_size=1, max_size=6).map(
    lambda rows: "\n".join(",".join(row) for row in rows).encode()
)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | cells,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(cells, inner, max_size=4),
)
texts = values.map(lambda value: json.dumps(value).encode())
contents = st.binary(max_size=600) | tables | texts


@settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
@given(name=st.sampled_from(NAMES), content=contents, images=st.booleans())
def test_every_content_is_answered_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes, images: bool
) -> None:
    root = tmp_path_factory.mktemp("any")
    if images:
        made(root, "1.png", "2.png", "cat/3.png", "dog/4.png")
    file = write(root / name, content)
    for path in (root, file):
        for reader in READERS:
            answer_in_one_line(reader.find, path)


def answer_in_one_line(find: Callable[[Path, LoadOptions], Found | Rejected], path: Path) -> None:
    try:
        answer = find(path, DEFAULTS)
        lines = [answer.reason] if isinstance(answer, Rejected) else list(answer.notes)
        if isinstance(answer, Found):
            check(answer)
    except CifarlabError as error:
        lines = [str(error)]
    assert not any("\n" in line for line in lines)


def check(answer: Found) -> None:
    for samples in answer.splits.values():
        assert len(samples) == len(samples.names) == len(set(samples.names))
        assert len(list(samples.contents())) == len(samples)
        assert set(samples.labels.tolist()) <= set(range(len(answer.class_names)))


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data(), kind=st.sampled_from([".zip", ".tar", ".tar.gz", ".parquet"]))
def test_a_byte_changed_anywhere_gives_no_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    root = tmp_path_factory.mktemp("any")
    path = whole(root, kind)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        share = data.draw(st.floats(0, 0.9999))
        content[int(share * len(content))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for reader in READERS:
        answer_in_one_line(reader.find, path)


def whole(root: Path, kind: str) -> Path:
    """Return an archive, or a Parquet file, of four images in two classes."""
    if kind == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(
            pa.table({"image": [png(i) for i in range(4)], "label": [0, 1, 0, 1]}),
            root / "a.parquet",
        )
        return root / "a.parquet"
    from data.readers.test_archives import packed

    return packed(made(root / "photos", "a/1.png", "a/2.png", "b/1.png", "b/2.png"), kind)
