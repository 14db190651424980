"""Named datasets: downloaded once, checked, from whichever source has them; files that are read."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import struct
import threading
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.named.cifar import Source
from cifarlab.data.named.dataset import NamedDataset, labelled
from cifarlab.data.named.download import DownloadOptions
from cifarlab.data.named.fetching import NAMED, fetch, fetch_named
from cifarlab.data.readers import idx, npz, svhn, tiny_imagenet
from cifarlab.data.samples import Found
from cifarlab.errors import InputError, NetworkError, ResourceError, UsageError

QUIET = LoadOptions(progress=lambda _: None)
QUICK = DownloadOptions(attempts=1, silent_seconds=20, pause_seconds=0.01, allow_loopback_http=True)
EMNIST = [name for name in NAMED if name.startswith("emnist")]
MEDICAL = [name for name in NAMED if "medmnist" in NAMED[name].home]


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def idx_gz(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes(), 1)


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def classes(dataset: NamedDataset) -> int:
    return len(dataset.class_names) or 3


def content(dataset: NamedDataset, name: str) -> bytes:
    """Return a small file of the same name and format as the published one."""
    count = classes(dataset)
    labels = np.arange(2 * count) % count
    if dataset.name.startswith("emnist") and name.endswith(".zip"):
        return zipped({m: content(dataset, m.rpartition("/")[2]) for m in dataset.members})
    if name.endswith(".gz"):
        first = 1 if dataset.name == "emnist-letters" else 0
        return idx_gz(pixels(2 * count, 28, 28) if "images" in name else labels + first)
    if name.endswith(".mat"):
        from scipy.io import savemat

        file = io.BytesIO()
        x = pixels(2 * count, 32, 32, 3).transpose(1, 2, 3, 0)
        savemat(file, {"X": x, "y": np.where(labels == 0, 10, labels)[:, None]})
        return file.getvalue()
    if name.endswith(".npz"):
        file = io.BytesIO()
        images = pixels(2 * count, *dataset.shape).reshape(
            -1, *dataset.shape[: 2 if dataset.shape[2] == 1 else 3]
        )
        parts = ("train", "val", "test") if len(dataset.counts) == 3 else ("train", "test")
        arrays = {f"{part}_images": images for part in parts}
        arrays |= {f"{part}_labels": labels[:, None] for part in parts}
        np.savez_compressed(file, **arrays)
        return file.getvalue()
    file = io.BytesIO()
    Image.fromarray(pixels(64, 64, 3)).save(file, "JPEG")
    jpeg = file.getvalue()
    if name == "EuroSAT.zip":
        return zipped({f"2750/{c}/{c}_{i}.jpg": jpeg for c in dataset.class_names for i in (1, 2)})
    ids = ("n01", "n02", "n03")
    files = {f"train/{i}/images/{i}_{k}.JPEG": jpeg for i in ids for k in (0, 1)}
    files |= {f"val/images/val_{k}.JPEG": jpeg for k in range(6)}
    rows = "".join(f"val_{k}.JPEG\t{ids[k % 3]}\t0\t0\t9\t9\n" for k in range(6))
    files |= {"val/val_annotations.txt": rows.encode(), "words.txt": b"n01\ta\nn02\tb\nn03\tc\n"}
    return zipped({f"tiny-imagenet-200/{name}": data for name, data in files.items()})


@pytest.fixture
def small(server):
    """Return a dataset with small files of its own formats on the server, and their checksums."""

    def make(name: str) -> NamedDataset:
        dataset = NAMED[name]
        size = 2 * classes(dataset)
        sources = []
        for number, source in enumerate(dataset.sources):
            files = []
            for remote in source.files:
                body, path = content(dataset, remote.name), f"/{number}/{remote.name}"
                server.serve(path, body)
                digest = "sha256:" + hashlib.sha256(body).hexdigest()
                files.append(dataclasses.replace(remote, url=f"{server.url}{path}", digest=digest))
            sources.append(Source(name=source.name, files=tuple(files)))
        counts = dict.fromkeys(dataset.counts, size)
        return dataclasses.replace(dataset, sources=tuple(sources), counts=counts)

    return make


def read(path: Path) -> Found:
    for reader in (idx, npz, svhn, tiny_imagenet):
        result = reader.find(path, QUIET)
        if isinstance(result, Found):
            return result
    raise AssertionError(f"no reader for {path}")


def first_source(dataset: NamedDataset) -> NamedDataset:
    return dataclasses.replace(dataset, sources=dataset.sources[:1])


@pytest.mark.parametrize("name", [name for name in NAMED if name != "eurosat"])
def test_what_is_fetched_is_read_with_its_own_class_names(small, name):
    dataset = first_source(small(name))
    found = labelled(read(fetch(dataset, QUIET, download_options=QUICK)), dataset)
    assert found.name == name
    assert found.class_names == (dataset.class_names or ("a", "b", "c"))
    assert {split: len(part) for split, part in found.splits.items()} == dict(dataset.counts)
    for part in found.splits.values():
        assert (np.bincount(part.labels) == 2).all()
        stored = next(iter(part.contents()))
        if isinstance(stored, np.ndarray):
            assert stored.reshape(*stored.shape[:2], -1).shape == dataset.shape


def test_eurosat_is_its_archive(small):
    path = fetch(small("eurosat"), QUIET, download_options=QUICK)
    assert path.name == "EuroSAT.zip"
    assert zipfile.is_zipfile(path)


def test_a_copy_of_keras_is_read_too(small):
    dataset = small("mnist")
    dataset = dataclasses.replace(dataset, sources=dataset.sources[2:])
    path = fetch(dataset, QUIET, download_options=QUICK)
    assert path.name == "mnist.npz"
    assert labelled(read(path), dataset).class_names == tuple("0123456789")


def test_it_is_fetched_once(small, server):
    dataset = small("mnist")
    path = fetch(dataset, QUIET, download_options=QUICK)
    seen = len(server.seen)
    assert fetch(dataset, QUIET, download_options=QUICK) == path
    assert fetch(dataset, LoadOptions(offline=True), download_options=QUICK) == path
    assert len(server.seen) == seen == 4


def test_of_several_that_ask_at_once_one_fetches(small, server):
    dataset = small("mnist")
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(dataset, QUIET, download_options=QUICK)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 3
    assert len(server.seen) == 4


def test_a_wrong_checksum_leads_to_the_next_mirror(small, server):
    dataset = small("mnist")
    name = dataset.sources[0].files[1].name
    server.serve(f"/0/{name}", idx_gz(np.arange(20) % 9))
    said: list[str] = []
    path = fetch(dataset, LoadOptions(progress=said.append), download_options=QUICK)
    assert any(line.startswith("warning: ") and "wrong content" in line for line in said)
    assert any("Google's mirror" in line and "CC BY-SA 3.0" in line for line in said)
    assert read(path).splits["train"].labels.tolist() == [*range(10)] * 2
    assert ("/1/" + name, None) in server.seen


def test_all_failures_are_listed_with_one_remedy(small, server, own_cache):
    dataset = small("mnist")
    server.pages.clear()
    for number, source in enumerate(dataset.sources):
        for remote in source.files:
            server.pages[f"/{number}/{remote.name}"] = lambda request: server.send(
                request, b"", status=404
            )
    with pytest.raises(NetworkError) as caught:
        fetch(dataset, QUIET, download_options=QUICK)
    assert str(caught.value).count("answered 404") == 3
    assert str(caught.value).count("; ") == 1
    assert "http://yann.lecun.com" in str(caught.value)
    assert "CIFARLAB_CACHE" in str(caught.value)
    assert not (own_cache / "named").exists() or not list((own_cache / "named").iterdir())


def test_offline_says_what_to_do():
    with pytest.raises(NetworkError, match=r"downloads are off; .*CIFARLAB_CACHE"):
        fetch_named("kmnist", LoadOptions(offline=True))


def test_emnist_is_downloaded_once_for_all_its_parts(small, server):
    one = small("emnist-letters")
    body = zipped(
        {m: content(NAMED[n], m.rpartition("/")[2]) for n in EMNIST for m in NAMED[n].members}
    )
    server.serve("/0/emnist-gzip.zip", body)
    digest = "md5:" + hashlib.md5(body, usedforsecurity=False).hexdigest()
    remote = dataclasses.replace(one.sources[0].files[0], digest=digest)
    for name in EMNIST:
        sources = (Source(name="NIST", files=(remote,)),)
        dataset = dataclasses.replace(NAMED[name], sources=sources)
        folder = fetch(dataset, QUIET, download_options=QUICK)
        assert {path.name for path in folder.iterdir()} == {
            member.rpartition("/")[2] for member in dataset.members
        }
    assert len(server.seen) == 1


def test_an_archive_without_its_members_is_not_kept(small, server, own_cache):
    dataset = small("emnist-digits")
    body = zipped({"gzip/other": b"x"})
    server.serve("/0/emnist-gzip.zip", body)
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    remote = dataclasses.replace(dataset.sources[0].files[0], digest=digest)
    dataset = dataclasses.replace(dataset, sources=(Source(name="NIST", files=(remote,)),))
    with pytest.raises(NetworkError, match="not the archive"):
        fetch(dataset, QUIET, download_options=QUICK)
    assert not list((own_cache / "named").glob("*"))


def test_a_cache_that_cannot_be_written(small, tmp_path, monkeypatch):
    (tmp_path / "plain").write_text("a file")
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "plain"))
    with pytest.raises(ResourceError, match="set CIFARLAB_CACHE"):
        fetch(small("mnist"), QUIET, download_options=QUICK)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"mnist, fashion_mnist, .*hf:OWNER/NAME"):
        fetch_named("imagenet", QUIET)


def test_other_numbers_of_images_or_classes_are_refused(small):
    dataset = small("mnist")
    found = read(fetch(dataset, QUIET, download_options=QUICK))
    with pytest.raises(InputError, match="20 train images, mnist has 60,000; remove"):
        labelled(found, NAMED["mnist"])
    with pytest.raises(InputError, match="10 classes, mnist has 9"):
        labelled(found, dataclasses.replace(dataset, class_names=tuple("123456789")))


def test_grades_are_said(small):
    dataset = small("retinamnist")
    found = labelled(read(fetch(dataset, QUIET, download_options=QUICK)), dataset)
    assert "grades" in found.notes[-1]


# The values themselves


@pytest.mark.parametrize("name", NAMED)
def test_every_value_is_complete(name):
    dataset = NAMED[name]
    assert dataset.name == name
    assert all((dataset.title, dataset.home, dataset.licence, dataset.citation))
    assert len(set(dataset.class_names)) == len(dataset.class_names)
    assert name == "tiny_imagenet" or len(dataset.class_names) >= 2
    assert all(count > 0 for count in dataset.counts.values())
    assert "train" in dataset.counts
    assert dataset.shape[2] in (1, 3)
    for source in dataset.sources:
        for remote in source.files:
            parts = urlsplit(remote.url)
            assert parts.scheme == "https"
            assert parts.hostname
            assert remote.magic
            assert remote.max_bytes < 10**9
            assert not remote.digest or re.fullmatch(
                r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", remote.digest
            )
    # The first source is checked whole; only a mirror may have no published checksum.
    assert all(remote.digest for remote in dataset.sources[0].files)


def test_the_names_that_are_promised_exist():
    promised = "mnist fashion_mnist kmnist emnist-letters svhn eurosat tiny_imagenet pathmnist"
    assert set(promised.split()) < set(NAMED)
    assert len(MEDICAL) == 11
    assert "chestmnist" not in NAMED
