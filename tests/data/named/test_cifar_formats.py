"""Toronto's formats are read as data only, whatever a file contains."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarlab.data.dataset import Split
from cifarlab.data.named import cifar, cifar_files, cifar_formats
from cifarlab.errors import InputError, UnsafeError

BIN, PY = cifar.CIFAR10.layouts
BIN100, PY100 = cifar.CIFAR100.layouts


def planes(split: Split) -> np.ndarray:
    return split.images.transpose(0, 3, 1, 2).reshape(len(split), cifar_formats.PIXELS)


def records(split: Split, *, coarse: bool = False) -> bytes:
    columns = [split.labels[:, None].astype(np.uint8), planes(split)]
    if coarse:
        columns.insert(0, np.full((len(split), 1), 19, dtype=np.uint8))
    return np.concatenate(columns, axis=1).tobytes()


def pickled(split: Split, key: bytes = b"labels", **more: object) -> bytes:
    batch = {
        b"data": planes(split),
        key: split.labels.tolist(),
        b"filenames": [b"%d.png" % i for i in range(len(split))],
    }
    return pickle.dumps(batch | {name.encode(): value for name, value in more.items()}, protocol=4)


def pickled_by_python_2(split: Split) -> bytes:
    """The opcodes that Python 2 wrote the original archive with (protocol 2, byte strings)."""
    raw = planes(split).tobytes()

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\0K\1\x87R(K\3" + text(b"|") + b"NNN"
    dtype += b"J\xff\xff\xff\xff" * 2 + b"K\0tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + text(b"b") + b"\x87R"
    )
    shape = (
        b"M"
        + struct.pack("<H", len(split))
        + b"M"
        + struct.pack("<H", cifar_formats.PIXELS)
        + b"\x86"
    )
    state = b"(K\1" + shape + dtype + b"\x89T" + struct.pack("<I", len(raw)) + raw + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in split.labels) + b"e"
    return (
        b"\x80\2}(" + text(b"data") + array + state + text(b"labels") + labels
        + text(b"filenames") + b"](" + text(b"a.png") * len(split) + b"eu."
    )  # fmt: skip


def archive(path: Path, members: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return path


def batches(layout: cifar_formats.Layout, train: Split, test: Split, encode) -> dict[str, bytes]:
    parts = np.array_split(np.arange(len(train)), len(layout.train))
    files = {
        name: encode(train.subset(part)) for name, part in zip(layout.train, parts, strict=True)
    }
    return files | {layout.test[0]: encode(test)}


class Gadget:
    """Unpickles into a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_record_is_a_label_and_three_planes():
    red, green, blue = bytes([10]) * 1024, bytes([20]) * 1023 + bytes([21]), bytes([30]) * 1024
    split = cifar_formats.decode_records(bytes([7]) + red + green + blue, "here", label_bytes=1)
    assert split.labels.tolist() == [7]
    assert split.images.shape == (1, 32, 32, 3)
    assert split.images[0, 0, 0].tolist() == [10, 20, 30]
    assert split.images[0, 31, 31].tolist() == [10, 21, 30]


def test_rows_run_from_top_to_bottom():
    plane = np.repeat(np.arange(32, dtype=np.uint8), 32).tobytes()
    split = cifar_formats.decode_records(bytes([0]) + plane * 3, "here", label_bytes=1)
    assert split.images[0, :, 0, 0].tolist() == list(range(32))


@pytest.mark.parametrize("coarse", [False, True])
def test_records_come_back_as_they_went_in(some_images, coarse):
    split = some_images(9)
    decoded = cifar_formats.decode_records(
        records(split, coarse=coarse), "here", label_bytes=2 if coarse else 1
    )
    np.testing.assert_array_equal(decoded.images, split.images)
    np.testing.assert_array_equal(decoded.labels, split.labels)


@pytest.mark.parametrize("length", [0, 1, 3072, 3074])
def test_records_that_are_cut_off(length):
    with pytest.raises(InputError, match="truncated"):
        cifar_formats.decode_records(bytes(length), "here", label_bytes=1)


@pytest.mark.parametrize("encode", [pickled, pickled_by_python_2])
def test_pickles_come_back_as_they_went_in(some_images, encode):
    split = some_images(9)
    decoded = cifar_formats.decode_pickle(encode(split), "here", label_key=b"labels")
    np.testing.assert_array_equal(decoded.images, split.images)
    np.testing.assert_array_equal(decoded.labels, split.labels)
    assert len(decoded.names) == 9


def test_the_hand_written_pickle_is_a_real_one(some_images):
    split = some_images(3)
    batch = pickle.loads(pickled_by_python_2(split), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], planes(split))


@pytest.mark.parametrize("key", ["extra", "labels", "data"])
def test_a_gadget_is_refused_and_does_not_run(some_images, tmp_path, key):
    canary = tmp_path / "canary"
    for gadget in (
        Gadget(os.system, f"touch {canary}"),
        Gadget(eval, f"open({str(canary)!r}, 'w')"),
        Gadget(Path.touch, canary),
        Gadget(getattr, Path, "touch"),
        Gadget(np.save, str(canary), 0),
        Gadget(np.memmap, str(canary), "uint8", "w+", 0, 8),
    ):
        split = some_images(3)
        batch = {b"data": planes(split), b"labels": [0, 1, 2]}
        batch[key.encode()] = [gadget]
        with pytest.raises(UnsafeError, match="refused: the pickle asks for") as caught:
            cifar_formats.decode_pickle(pickle.dumps(batch), "here", label_key=b"labels")
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)
        assert not canary.exists()


def test_the_gadgets_above_do_run_in_an_ordinary_unpickler(tmp_path):
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(Gadget(os.system, f"touch {canary}")))
    assert canary.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04]q\x00.",
        pickle.dumps({b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 100), np.uint8), b"labels": [0, 1]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1.5]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 2**70]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}, protocol=4),
        pickle.dumps({b"data": b"bytes", b"labels": [0, 1]}, protocol=4),
        pickle.dumps({b"data": np.array([{}, {}]), b"labels": [0, 1]}, protocol=4),
        # Opcodes that declare far more than they bring.
        b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b".",
        b"\x80\x05\x8e" + struct.pack("<Q", 2**40) + b".",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
    ],
)
def test_a_pickle_that_is_no_batch(raw):
    with pytest.raises(InputError) as caught:
        cifar_formats.decode_pickle(raw, "here", label_key=b"labels")
    assert str(caught.value).startswith("here: ")
    assert "\n" not in str(caught.value)


def test_a_declared_length_fills_no_memory():
    raw = b"\x80\x05\x96" + struct.pack("<Q", 200_000_000) + b"."
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            cifar_formats.decode_pickle(raw, "here", label_key=b"labels")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_damaged_pickle_never_ends_in_another_error(some_images, data):
    raw = bytearray(pickled_by_python_2(some_images(1)))
    # The 3,072 pixels are of no interest: damage what is around them.
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, 180) | st.integers(len(raw) - 40, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, 180) | st.just(len(raw)))
    with contextlib.suppress(InputError, UnsafeError):
        cifar_formats.decode_pickle(bytes(raw[:end]), "here", label_key=b"labels")


@pytest.mark.parametrize(("layout", "encode"), [(BIN, records), (PY, pickled)])
def test_folder_and_archive_hold_the_same(some_images, variant_of, tmp_path, layout, encode):
    train, test = some_images(30), some_images(12, seed=1)
    variant, files = variant_of(train, test), batches(layout, train, test, encode)
    folder = tmp_path / layout.folder
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    packed = archive(
        tmp_path / "a.tar.gz", {f"{layout.folder}/{name}": raw for name, raw in files.items()}
    )
    cifar.verify(variant, *cifar_files.read_folder(variant, layout, folder), "folder")
    variant_read, *splits = cifar_files.read_archive(packed, (cifar.CIFAR100, variant))
    assert variant_read is variant
    cifar.verify(variant, *splits, "archive")


@pytest.mark.parametrize(("layout", "key"), [(BIN100, None), (PY100, b"fine_labels")])
def test_cifar100_takes_the_fine_label(some_images, tmp_path, layout, key):
    train, test = some_images(30), some_images(12, seed=1)

    def encode(split: Split) -> bytes:
        coarse = [19] * len(split)
        return pickled(split, key, coarse_labels=coarse) if key else records(split, coarse=True)

    files = batches(layout, train, test, encode)
    packed = archive(tmp_path / "a.tar.gz", {f"{layout.folder}/{n}": c for n, c in files.items()})
    variant, *splits = cifar_files.read_archive(packed, cifar.VARIANTS)
    assert variant.name == "cifar100"
    assert [split.labels.tolist() for split in splits] == [
        train.labels.tolist(), test.labels.tolist(),
    ]  # fmt: skip


def test_members_with_evil_paths_leave_no_trace(some_images, variant_of, tmp_path):
    train, test = some_images(30), some_images(12, seed=1)
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    files = batches(BIN, train, test, records)
    good = {f"{BIN.folder}/{name}": content for name, content in files.items()}
    evil = {
        "../../evil": b"evil",
        str(tmp_path / "evil"): b"evil",
        f"{BIN.folder}/../../evil": b"evil",
        f"{BIN.folder}/evil": b"evil",
    }
    packed = archive(inner / "a.tar.gz", evil | good, {"link": "/etc/passwd"})
    before = sorted(tmp_path.rglob("*"))
    variant, *splits = cifar_files.read_archive(packed, (variant_of(train, test),))
    cifar.verify(variant, *splits, "archive")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_member_that_is_a_link_is_refused(tmp_path):
    name = f"{BIN.folder}/{BIN.train[0]}"
    packed = archive(tmp_path / "a.tar.gz", {}, {name: "/etc/passwd"})
    with pytest.raises(UnsafeError, match="is a link or comes twice"):
        cifar_files.read_archive(packed, cifar.VARIANTS)


def test_a_member_that_comes_twice_is_refused(some_images, tmp_path):
    name = f"{BIN.folder}/{BIN.train[0]}"
    raw = records(some_images(3))
    packed = archive(tmp_path / "a.tar.gz", {name: raw, f"./{name}": raw})
    with pytest.raises(UnsafeError, match="is a link or comes twice"):
        cifar_files.read_archive(packed, cifar.VARIANTS)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar_files._Capped, "left", 1_000_000)
    packed = archive(tmp_path / "a.tar.gz", {"unwanted": bytes(3_000_000)})
    assert packed.stat().st_size < 20_000
    with pytest.raises(UnsafeError, match="unpacks to more than"):
        cifar_files.read_archive(packed, cifar.VARIANTS)


def test_a_gadget_inside_an_archive(some_images, tmp_path):
    canary = tmp_path / "canary"
    files = batches(PY, some_images(30), some_images(12), pickled)
    files["test_batch"] = pickle.dumps(Gadget(os.system, f"touch {canary}"))
    packed = archive(tmp_path / "a.tar.gz", {f"{PY.folder}/{n}": c for n, c in files.items()})
    with pytest.raises(UnsafeError, match="test_batch: refused"):
        cifar_files.read_archive(packed, cifar.VARIANTS)
    assert not canary.exists()


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
def test_an_archive_that_is_cut_off(some_images, tmp_path, keep):
    files = batches(BIN, some_images(30), some_images(12), records)
    packed = archive(tmp_path / "a.tar.gz", {f"{BIN.folder}/{n}": c for n, c in files.items()})
    size = packed.stat().st_size
    os.truncate(packed, int(keep * size) if isinstance(keep, float) else keep)
    with pytest.raises(InputError, match="copy it again"):
        cifar_files.read_archive(packed, cifar.VARIANTS)


def test_an_archive_of_something_else(tmp_path):
    packed = archive(tmp_path / "a.tar.gz", {"holiday.jpg": b"..."})
    with pytest.raises(InputError, match="holds none of cifar-10-batches-bin"):
        cifar_files.read_archive(packed, cifar.VARIANTS)


def test_a_missing_batch_is_named(some_images, tmp_path):
    files = batches(BIN, some_images(30), some_images(12), records)
    del files["data_batch_3.bin"]
    packed = archive(tmp_path / "a.tar.gz", {f"{BIN.folder}/{n}": c for n, c in files.items()})
    with pytest.raises(InputError, match=r"data_batch_3\.bin missing"):
        cifar_files.read_archive(packed, cifar.VARIANTS)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"data_batch_3\.bin: cannot be read"):
        cifar_files.read_folder(cifar.CIFAR10, BIN, tmp_path)
