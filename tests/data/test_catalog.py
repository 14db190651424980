"""Names and paths are loaded as datasets, under the right name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cifarlab.data import catalog, decoding, inspection
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named import cifar, shapes
from cifarlab.data.split import fingerprint
from cifarlab.errors import CifarlabError, InputError, NetworkError, UnsafeError, UsageError
from data.published import pack, write_binary
from data.readers.places import made


@pytest.fixture
def tiny_is_known(monkeypatch, tiny) -> cifar.CifarVariant:
    """Local content is recognised as ``tiny``, and ``cifar10`` asks for it."""
    variant = dataclasses.replace(tiny, name="cifar10")
    monkeypatch.setattr(cifar, "VARIANTS", (variant,))
    monkeypatch.setattr(cifar, "CIFAR10", variant)
    return variant


def stop(*_arguments: object, **_options: object) -> None:
    raise AssertionError("decoded again although it was in the cache")


# --- by path


def test_a_folder_of_parquet_files(folder, train, test):
    data = catalog.load_dataset(folder)
    assert (data.name, data.source) == ("animals", str(folder))
    assert data.class_names == ("0", "1", "2")
    assert (len(data.train), len(data.validation), len(data.test)) == (27, 3, 12)
    np.testing.assert_array_equal(data.test.images, test.images)
    assert inspection.train_fingerprint(data) == fingerprint(train)
    assert sorted(data.train.names + data.validation.names) == sorted(f"{i}.png" for i in range(30))


def test_the_second_load_decodes_nothing(folder, monkeypatch):
    first = catalog.load_dataset(folder)
    monkeypatch.setattr(decoding, "_decode_one", stop)
    second = catalog.load_dataset(str(folder))
    np.testing.assert_array_equal(first.train.images, second.train.images)
    assert isinstance(second.test.images, np.memmap)


def test_validation_is_stratified_and_seeded_and_test_is_never_touched(folder):
    one, same, other = (catalog.load_dataset(folder, split_seed=seed) for seed in (0, 0, 1))
    third = catalog.load_dataset(folder, validation_fraction=1 / 3)
    assert np.bincount(one.validation.labels).tolist() == [1, 1, 1]
    assert np.bincount(third.validation.labels).tolist() == [3, 3, 3]
    assert one.validation.names == same.validation.names != other.validation.names
    for data in (other, third):
        np.testing.assert_array_equal(data.test.images, one.test.images)
        assert inspection.train_fingerprint(data) == inspection.train_fingerprint(one)


def test_a_single_file_gives_a_tenth_of_each_class_for_testing(
    tmp_path, some_images, write_parquet
):
    path = write_parquet(tmp_path / "photos.parquet", some_images(60))
    data = catalog.load_dataset(path)
    assert data.name == "photos"
    assert np.bincount(data.test.labels).tolist() == [2, 2, 2]
    names = {*data.train.names, *data.validation.names, *data.test.names}
    assert len(names) == 60


def test_the_seed_decides_which_tenth_that_is(
    tmp_path, some_images, write_parquet, own_cache, monkeypatch
):
    path = write_parquet(tmp_path / "photos.parquet", some_images(60))
    first = catalog.load_dataset(path)
    monkeypatch.setattr(decoding, "_decode_one", stop)
    again, other = (catalog.load_dataset(path, split_seed=seed) for seed in (0, 5))
    for part in ("train", "validation", "test"):
        assert getattr(again, part).names == getattr(first, part).names
        assert getattr(other, part).names != getattr(first, part).names
    assert np.bincount(other.test.labels).tolist() == [2, 2, 2]
    assert len([entry for entry in own_cache.iterdir() if entry.is_dir()]) == 1


def test_a_test_part_without_good_images_is_not_replaced(tmp_path, train, test, write_parquet):
    write_parquet(tmp_path / "train.parquet", train)
    write_parquet(tmp_path / "test.parquet", test, damage=dict.fromkeys(range(len(test))))
    with pytest.raises(InputError, match=r"\(test\): holds no images that can be read: 12 images"):
        catalog.load_dataset(tmp_path, skip_bad=True)


def test_other_content_is_never_called_cifar10(folder):
    path = folder.rename(folder.parent / "cifar10")
    assert catalog.load_dataset(path).name == "local-cifar10"


@pytest.mark.usefixtures("tiny_is_known")
def test_the_right_content_is_called_by_its_name(folder):
    data = catalog.load_dataset(folder)
    assert data.name == "cifar10"
    assert data.class_names == ("a", "b", "c")


@pytest.mark.usefixtures("tiny_is_known")
def test_torontos_files_packed_and_unpacked(tmp_path, train, test):
    unpacked = write_binary(tmp_path / "here" / "cifar-10-batches-bin", train, test)
    (tmp_path / "packed").mkdir()
    packed = pack(unpacked, tmp_path / "packed" / "cifar-10-binary.tar.gz")
    for path in (unpacked, unpacked.parent, packed, packed.parent):
        data = catalog.load_dataset(path)
        assert data.name == "cifar10"
        np.testing.assert_array_equal(data.test.images, test.images)


def test_torontos_format_with_other_content_is_refused(tmp_path, train, test):
    path = write_binary(tmp_path / "cifar-10-batches-bin", train, test)
    with pytest.raises(InputError, match="are not cifar10") as caught:
        catalog.load_dataset(path)
    assert caught.value.exit_code == 3


def test_a_missing_batch_is_named(tmp_path, train, test):
    path = write_binary(tmp_path / "cifar-10-batches-bin", train, test)
    (path / "data_batch_1.bin").unlink()
    with pytest.raises(InputError, match=r"data_batch_1\.bin"):
        catalog.load_dataset(path)


def test_a_gadget_in_an_archive_is_refused(tmp_path):
    canary = tmp_path / "canary"
    path = tmp_path / "cifar-10-batches-py"
    path.mkdir()
    for name in cifar.CIFAR10.layouts[1].train + cifar.CIFAR10.layouts[1].test:
        (path / name).write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(canary).encode())
    for gadget in (path, pack(path, tmp_path / "cifar-10-python.tar.gz")):
        with pytest.raises(UnsafeError, match=r"os\.system") as caught:
            catalog.load_dataset(gadget)
        assert caught.value.exit_code == 4
    assert not canary.exists()


def test_a_folder_of_images(tmp_path, some_images):
    from PIL import Image

    for i, (image, label) in enumerate(
        zip(some_images(60).images, some_images(60).labels, strict=True)
    ):
        path = tmp_path / "cifar10" / "abc"[label]
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path / f"{i}.png")
    (tmp_path / "cifar10" / "a" / "bad.png").write_bytes(b"not an image")
    with pytest.raises(InputError):
        catalog.load_dataset(tmp_path / "cifar10")
    with pytest.warns(UserWarning, match="1 bad image left out"):
        data = catalog.load_dataset(tmp_path / "cifar10", skip_bad=True, image_size=16)
    assert data.name == "local-cifar10"
    assert data.class_names == ("a", "b", "c")
    assert data.train.images.shape[1:] == (16, 16, 3)
    result = inspection.check(inspection.load_with_notes(tmp_path / "cifar10")[0])
    assert len(result["bad_files"]) == 1
    assert "bad.png" in result["bad_files"][0]
    assert not result["ok"]


@pytest.mark.parametrize("spec", ["cifar11", "no/such/path", "", "x" * 5000, "nul\0byte"])
def test_an_unknown_name_lists_the_known_ones(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="cifar10, cifar100, shapes10"):
        catalog.load_dataset(spec)


def test_a_file_that_is_no_dataset(tmp_path):
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(InputError, match="not a dataset"):
        catalog.load_dataset(tmp_path / "notes.md")


def test_an_error_says_what_its_options_are_called_in_python(tmp_path):
    made(tmp_path, "a/1.png", "a/2.png", t_csv="file,a,b\n1,x,k\n2,y,k\n1,x,l\n2,y,l\n")
    with pytest.raises(InputError, match="--label-column") as caught:
        catalog.load_dataset(tmp_path, labels="t.csv")
    assert caught.value.__notes__ == [
        "In Python: labels=, label_column= of load_dataset or of LoadOptions"
    ]


@pytest.mark.parametrize(
    ("dtype", "highest", "bits"), [("uint16", 255, 8), ("uint16", 4000, 12), ("int32", 255, 8)]
)
def test_values_of_more_than_8_bits_and_what_is_taken_for_white(tmp_path, dtype, highest, bits):
    folder = tmp_path / "photos"
    values = np.random.default_rng(0).integers(0, highest + 1, (40, 8, 8)).astype(dtype)
    values[:, 0, 0] = highest
    for number, image in enumerate(values):
        path = folder / "ab"[number % 2] / f"{number}.tiff"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    with pytest.warns(UserWarning, match=rf"above {2**bits - 1:,}, which is taken .* bits {bits}"):
        data = catalog.load_dataset(folder)
    assert int(data.train.images.max()) == (highest >> (bits - 8))
    # Said, it is said no more.
    again = catalog.load_dataset(folder, bits=bits)
    np.testing.assert_array_equal(again.train.images, data.train.images)


def test_32_bit_values_that_need_more_than_16_bits_have_no_white(tmp_path):
    for name in ("a/1.tiff", "b/1.tiff"):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(tmp_path / name)
    with pytest.raises(InputError, match="70000, which have no agreed white"):
        catalog.load_dataset(tmp_path)


def test_a_path_of_two_lines_is_shown_in_one(tmp_path, train, test, write_parquet, monkeypatch):
    path = tmp_path / "two\nlines"
    toronto = write_binary(path / "cifar-10-batches-bin", train, test)
    packed = pack(toronto, path / "cifar-10-binary.tar.gz")
    (toronto / "data_batch_1.bin").unlink()
    cut_off = path / "cut\noff.tar.gz"
    cut_off.write_bytes(packed.read_bytes()[:1000])
    (path / "notes.txt").write_text("hello")
    (path / "no.parquet").write_text("hello")
    (path / "none").mkdir()
    bad = write_parquet(path / "bad\n.parquet", train, damage={3: None})
    few = write_parquet(path / "few" / "train.parquet", train.subset(np.arange(1)))
    shard = write_parquet(path / "shard" / "train-00000-of-00002.parquet", train).parent
    files = [toronto, packed, cut_off, bad, few, shard, path / "absent"]
    files += [path / "notes.txt", path / "no.parquet", path / "none"]
    for file in files:
        refused(file)
        monkeypatch.setenv("CIFARLAB_DATA", str(file))
        refused("cifar10")
    monkeypatch.delenv("CIFARLAB_DATA")
    monkeypatch.setenv("CIFARLAB_CACHE", str(path))
    refused("cifar10", offline=True)
    monkeypatch.setenv("CIFARLAB_CACHE", str(path / "notes.txt"))
    refused("cifar10")
    said: list[str] = []
    write_parquet(path / "good\n.parquet", train)
    catalog.load_dataset(path / "good\n.parquet", progress=said.append)
    assert len(said) == 1
    assert not any("\n" in line for line in said)


def refused(spec: object, **options: object) -> None:
    with pytest.raises(CifarlabError) as caught:
        catalog.load_dataset(spec, **options)
    assert "\n" not in str(caught.value)
    # The path is there all the same, with its line break escaped.
    assert r"\n" in str(caught.value)


def test_bad_rows_are_an_error_or_a_warning_each_time(tmp_path, train, test, write_parquet):
    write_parquet(tmp_path / "train.parquet", train, damage={3: b"?"})
    write_parquet(tmp_path / "test.parquet", test)
    with pytest.raises(InputError, match=r"1 of 42 images are bad: 3\.png"):
        catalog.load_dataset(tmp_path)
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 bad image left out"):
            data = catalog.load_dataset(tmp_path, skip_bad=True)
        assert len(data.train) == 26
        assert len(data.skipped) == 1


def test_an_image_whose_label_is_below_zero_is_unlabelled(tmp_path, train, write_parquet):
    write_parquet(tmp_path / "train.parquet", train, labels=[-1, *train.labels[1:].tolist()])
    with pytest.warns(UserWarning, match="left out 1 images without a label"):
        data = catalog.load_dataset(tmp_path)
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == 29


def test_an_unwritable_cache_costs_a_warning_only(folder, tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("")
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "plain" / "cache"))
    said: list[str] = []
    assert len(catalog.load_dataset(folder, progress=said.append).train) == 27
    assert any(line.startswith("warning: cache") for line in said)


# --- by name


def test_shapes10():
    data = catalog.load_dataset("shapes10")
    assert (data.name, data.class_names) == ("shapes10", shapes.CLASSES)
    assert (len(data.train), len(data.validation), len(data.test)) == (4500, 500, 1000)


def test_named_datasets_come_in_other_sizes_and_in_grey():
    data = catalog.load_dataset("shapes10", image_size=(16, 24), channels="grey")
    assert data.train.images.shape == (4500, 16, 24, 1)
    assert data.class_names == shapes.CLASSES
    assert data.loading["image_size"] == [16, 24]
    assert data.loading["channels"] == "grey"


@pytest.mark.usefixtures("tiny_is_known")
def test_nothing_named_means_cifar10(folder, monkeypatch):
    monkeypatch.setenv("CIFARLAB_DATA", str(folder))
    assert catalog.load_dataset(None).name == catalog.load_dataset().name == "cifar10"


def test_the_variable_must_name_cifar10(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("CIFARLAB_DATA", str(folder))
    with pytest.raises(InputError, match=r"CIFARLAB_DATA=.* are not cifar10"):
        catalog.load_dataset("cifar10")
    monkeypatch.setenv("CIFARLAB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"CIFARLAB_DATA=.*no such path"):
        catalog.load_dataset("cifar10")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CIFARLAB_DATA", str(tmp_path / "empty"))
    with pytest.raises(InputError, match="holds no cifar10"):
        catalog.load_dataset("cifar10")


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_offline_with_an_empty_cache(name):
    with pytest.raises(NetworkError, match="downloads are off") as caught:
        catalog.load_dataset(name, offline=True)
    assert caught.value.exit_code == 5
    assert ("CIFARLAB_DATA" if name == "cifar10" else "CIFARLAB_CACHE") in str(caught.value)


def test_importing_the_catalog_imports_no_large_library():
    code = (
        "import sys, cifarlab.data.catalog;"
        "print(*{'pyarrow', 'PIL', 'requests', 'keras', 'torch', 'sklearn'} & set(sys.modules))"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == ""


# --- the real one


@pytest.mark.real
def test_the_real_cifar10(real_cifar10, monkeypatch):
    monkeypatch.setenv("CIFARLAB_DATA", str(real_cifar10))
    data = catalog.load_dataset("cifar10")
    assert data.name == "cifar10"
    assert data.class_names == cifar.CIFAR10_CLASSES
    result = inspection.describe(data)
    assert result["train_fingerprint"] == cifar.CIFAR10_TRAIN_FINGERPRINT
    assert result["splits"]["test"]["fingerprint"] == cifar.CIFAR10_TEST_FINGERPRINT
    assert set(result["splits"]["validation"]["per_class"].values()) == {500}
    assert set(result["splits"]["train"]["per_class"].values()) == {4500}
    monkeypatch.setattr(decoding, "_decode_one", stop)
    assert catalog.load_dataset("cifar10").validation.names == data.validation.names


@pytest.mark.slow
@pytest.mark.real
def test_the_real_cifar10_in_torontos_formats(real_cifar10, tmp_path):
    content, _ = catalog.read(real_cifar10, LoadOptions())
    path = write_binary(tmp_path / "cifar-10-batches-bin", content.train, content.test)
    data = catalog.load_dataset(tmp_path)
    assert data.name == "cifar10"
    assert inspection.train_fingerprint(data) == cifar.CIFAR10_TRAIN_FINGERPRINT
    # One swapped byte in 150 million is result.
    raw = bytearray((path / "data_batch_3.bin").read_bytes())
    raw[1_000_000] ^= 1
    (path / "data_batch_3.bin").write_bytes(raw)
    with pytest.raises(InputError, match=cifar.CIFAR10_TRAIN_FINGERPRINT):
        catalog.load_dataset(path)


def test_the_reasons_of_nothing_but_bad_images_are_said_once(tmp_path, recwarn):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"?")
    with pytest.raises(InputError, match="no image can be read"):
        catalog.load_dataset(tmp_path, skip_bad=True)
    assert not [warning for warning in recwarn if "bad" in str(warning.message)]


def test_a_warning_names_the_line_that_called(folder, recwarn):
    (folder / "notes.txt").write_text("?")
    (folder / "cat.png").write_bytes(b"?")
    catalog.load_dataset(folder)
    assert recwarn
    assert {warning.filename for warning in recwarn} == {__file__}
