"""A file is what its content says, whatever it is called; nothing in it is run or unpacked."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cifarlab.data.readers import archives, npz, parquet, unsupported
from cifarlab.data.readers.file_kind import kind_of
from data.readers.places import DEFAULTS, classes, found, png

MEMBERS = {f"{name}/{i}.png": png(i) for name in ("cat", "dog") for i in range(2)}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in MEMBERS.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.arange(2 * 64).reshape(2, 8, 8).astype(np.uint8), y=[0, 1])
    return file.getvalue()


def table() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"image": [png(0), png(1)], "label": [0, 1]}), file)
    return file.getvalue()


@pytest.mark.parametrize("name", ["photos", "photos.bin", "photos.tar", "photos.zip", "a.download"])
@pytest.mark.parametrize("content", [zipped(MEMBERS), *map(tarred, ("w", "w:gz", "w:bz2", "w:xz"))])
def test_archives_of_any_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    answer = classes(archives.find(tmp_path / name, DEFAULTS))
    assert answer == {"train": {member: member[:3] for member in MEMBERS}}


@pytest.mark.parametrize("name", ["data", "data.zip", "data.bin"])
def test_arrays_and_tables_of_any_name(tmp_path: Path, name: str) -> None:
    for find, content in ((npz.find, arrays()), (parquet.find, table())):
        (tmp_path / name).write_bytes(content)
        assert found(find(tmp_path / name, DEFAULTS)).class_names == ("0", "1")


class Armed:
    """Unpickled, it makes the file that it names."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["data", "data.bin", "data.npz"])
def test_a_pickle_of_any_name_is_named_and_never_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Armed(tmp_path / "ran")))
    assert "a pickle, which can run code" in unsupported.find(tmp_path / name, DEFAULTS).reason
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped({"archive/data.pkl": b""}), ".pt"),
        (zipped({"config.json": b"", "model.weights.h5": b""}), ".keras"),
        (b"\x89HDF\r\n\x1a\n", ".h5"),
        (b"ARROW1\0\0", ".arrow"),
        (b"\x1f\x8b\x08", ".gz"),
        (b"", ".bin"),
        (b"PK\x03\x04 cut off", ".bin"),
    ],
)
def test_kinds(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    assert kind_of(tmp_path / "a.bin") == kind
