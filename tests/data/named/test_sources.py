"""A named dataset is loaded completely from the first source that has it, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data import cache
from cifarlab.data.named import download, sources
from cifarlab.data.split import fingerprint
from cifarlab.errors import NetworkError
from data.published import PARTS, pack, write_binary

QUICK = download.DownloadOptions(pause_seconds=0.01, silent_seconds=20, allow_loopback_http=True)

CHILD = """
import dataclasses, sys
from cifarlab.data.named import cifar, download, sources
url, train, test = sys.argv[1:]
files = tuple(
    download.RemoteFile(url=f"{url}/{part}-00000-of-00001.parquet",
                        name=f"{part}-00000-of-00001.parquet", magic=b"PAR1", max_bytes=10**7)
    for part in ("train", "test"))
variant = dataclasses.replace(
    cifar.CIFAR10, name="tiny", class_names=("a", "b", "c"), train_count=30, test_count=12,
    train_fingerprint=train, test_fingerprint=test,
    sources=(cifar.Source(name="there", files=files),))
options = download.DownloadOptions(pause_seconds=0.01, allow_loopback_http=True)
print(len(sources.obtain(variant, options=options).train))
"""


def test_a_cache_that_cannot_be_created(tmp_path, monkeypatch, tiny, server):
    (tmp_path / "plain").write_text("")
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "plain" / "cache"))
    with pytest.raises(NetworkError, match="CIFARLAB_CACHE"):
        sources.obtain(tiny, options=QUICK)
    assert server.seen == []


def serve_parquet(server, folder: Path) -> None:
    for name in PARTS:
        server.serve(f"/{name}", (folder / name).read_bytes())


def test_the_first_source_that_answers_is_used_and_kept(server, folder, tiny, own_cache, test):
    serve_parquet(server, folder)
    decoded = sources.obtain(tiny, options=QUICK)
    assert (decoded.name, decoded.class_names) == ("tiny", ("a", "b", "c"))
    assert decoded.source.startswith(server.url)
    np.testing.assert_array_equal(decoded.test.images, test.images)
    assert len(server.seen) == 2
    again = sources.obtain(tiny, offline=True, options=QUICK)
    np.testing.assert_array_equal(again.test.images, test.images)
    assert len(server.seen) == 2
    assert not list((own_cache / "downloads").iterdir())


def test_the_next_source_is_used_when_the_first_is_gone(server, tmp_path, tiny, train, test):
    for name in PARTS:
        server.pages[f"/{name}"] = lambda request: server.send(request, b"", status=404)
    unpacked = write_binary(tmp_path / "cifar-10-batches-bin", train, test)
    server.serve("/a.tar.gz", pack(unpacked, tmp_path / "made.tar.gz").read_bytes())
    assert sources.obtain(tiny, options=QUICK).source.endswith("a.tar.gz")


def test_wrong_content_is_never_used_and_not_kept(
    server, tmp_path, tiny, train, some_images, write_parquet, own_cache
):
    other = some_images(12, seed=9)
    for name, split in zip(PARTS, (train, other), strict=True):
        server.serve(f"/{name}", write_parquet(tmp_path / name, split).read_bytes())
    server.pages["/a.tar.gz"] = lambda request: server.send(request, b"", status=404)
    with pytest.raises(NetworkError) as caught:
        sources.obtain(tiny, options=QUICK)
    assert caught.value.exit_code == 5
    assert fingerprint(other) in str(caught.value)
    assert tiny.test_fingerprint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path for path in own_cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("body", [b"PAR1 and then nonsense", b"<html>Sign in</html>"])
def test_content_that_is_not_a_parquet_file(server, tiny, body):
    for path in (*PARTS, "a.tar.gz"):
        server.serve(f"/{path}", body)
    with pytest.raises(NetworkError, match="no source has it"):
        sources.obtain(tiny, options=QUICK)


def test_a_gadget_from_a_mirror_is_a_network_error(server, tmp_path, tiny):
    canary = tmp_path / "canary"
    unpacked = tmp_path / "cifar-10-batches-py"
    unpacked.mkdir()
    for name in tiny.layouts[1].train + tiny.layouts[1].test:
        (unpacked / name).write_bytes(b"cos\nsystem\n(S'touch %s'\ntR." % str(canary).encode())
    for name in PARTS:
        server.pages[f"/{name}"] = lambda request: server.send(request, b"", status=404)
    server.serve("/a.tar.gz", pack(unpacked, tmp_path / "made.tar.gz").read_bytes())
    with pytest.raises(NetworkError, match=r"os\.system"):
        sources.obtain(tiny, options=QUICK)
    assert not canary.exists()


def test_four_first_runs_at_once(server, folder, tiny):
    serve_parquet(server, folder)
    command = [sys.executable, "-c", CHILD, server.url]
    command += [tiny.train_fingerprint, tiny.test_fingerprint]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    results = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert [out.strip() for out, _ in results] == ["30"] * 4
    assert sorted(path for path, _ in server.seen) == sorted(f"/{name}" for name in PARTS)
    assert cache.read("tiny") is not None
