"""The cache holds complete entries or none, and loading works without it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data import cache
from cifarlab.data.dataset import Split
from cifarlab.errors import UsageError

CHILD = """
import sys, numpy as np
from pathlib import Path
from cifarlab.data import cache
from cifarlab.data.dataset import Split

def build(_=None):
    with Path(sys.argv[1]).open("a") as log:
        log.write("built\\n")
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), np.uint8)
    names = tuple(f"{i}.png" for i in range(30))
    split = Split(images=images, labels=np.arange(30) % 3, names=names)
    return cache.Decoded(
        name="toy", source="nowhere", class_names=("a", "b", "c"), train=split, test=split
    )
"""

KILLED_AT = """
import os, signal
calls = 0
def dying(real):
    def call(*arguments):
        global calls
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        return real(*arguments)
    return call
os.fsync = dying(os.fsync)
Path.replace = dying(Path.replace)
cache.get("toy", build)
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def decoded(some_images) -> cache.Decoded:
    train, test = some_images(30), some_images(12, seed=1)
    named = Split(
        images=train.images, labels=train.labels, names=tuple(f"bild-ä\n{i}" for i in range(30))
    )
    return cache.Decoded(
        name="toy",
        source="nowhere",
        class_names=("a", "b", "c"),
        train=named,
        test=test,
        skipped=("row 3 is bad",),
    )


def never(_: object = None) -> cache.Decoded:
    raise AssertionError("built although it was in the cache")


def same(one: cache.Decoded, other: cache.Decoded) -> bool:
    return all(
        np.array_equal(getattr(one, part).images, getattr(other, part).images)
        and np.array_equal(getattr(one, part).labels, getattr(other, part).labels)
        and getattr(one, part).names == getattr(other, part).names
        for part in ("train", "test")
    ) and (one.name, one.source, one.class_names, one.skipped) == (
        other.name,
        other.source,
        other.class_names,
        other.skipped,
    )


def test_the_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.directory() == tmp_path / "chosen"
    monkeypatch.delenv("CIFARLAB_CACHE")
    assert cache.directory() == tmp_path / "xdg" / "cifarlab"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert cache.directory() == tmp_path / "home" / ".cache" / "cifarlab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.directory() == tmp_path / "home" / ".cache" / "cifarlab"


def test_no_home_is_an_error_that_says_what_to_set(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CIFARLAB_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match="CIFARLAB_CACHE"):
        cache.directory()


def test_an_entry_is_read_back_memory_mapped(decoded):
    built = cache.get("toy", lambda _: decoded)
    again = cache.get("toy", never)
    assert same(built, decoded)
    assert same(again, decoded)
    assert isinstance(again.train.images, np.memmap)
    assert not again.train.images.flags.writeable


def test_names_and_skipped_survive_and_files_are_plain(decoded, own_cache):
    cache.get("toy", lambda _: decoded)
    (entry,) = [path for path in own_cache.iterdir() if path.is_dir()]
    assert {path.name for path in entry.iterdir()} == {
        "meta.json",
        "train_images.bin",
        "train_labels.npy",
        "test_images.bin",
        "test_labels.npy",
    }
    assert json.loads((entry / "meta.json").read_text("utf-8"))["skipped"] == ["row 3 is bad"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "meta.json").unlink(),
        lambda entry: (entry / "meta.json").write_text("{"),
        lambda entry: (entry / "meta.json").write_text("[]"),
        lambda entry: (entry / "test_images.bin").unlink(),
        lambda entry: os.truncate(entry / "train_images.bin", 5000),
        lambda entry: os.truncate(entry / "train_labels.npy", 20),
        lambda entry: (entry / "test_labels.npy").write_bytes(b""),
        lambda entry: np.save(entry / "test_labels.npy", np.arange(5)),
        lambda entry: np.save(entry / "test_labels.npy", np.array([{}]), allow_pickle=True),
    ],
)
def test_a_broken_entry_is_built_again(decoded, own_cache, damage):
    cache.get("toy", lambda _: decoded)
    (entry,) = [path for path in own_cache.iterdir() if path.is_dir()]
    damage(entry)
    assert cache.read("toy") is None
    assert same(cache.get("toy", lambda _: decoded), decoded)
    assert same(cache.get("toy", never), decoded)


@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_moment_of_a_write(tmp_path, own_cache, moment):
    """Five files, the entry's directory, the rename and the directory above it: eight moments."""
    log = tmp_path / "log"
    assert run(KILLED_AT, log, moment).returncode == -signal.SIGKILL
    entry = cache.read("toy")
    assert (entry is None) == (moment < 7)
    assert run('cache.get("toy", build)', log).returncode == 0
    entry = cache.read("toy")
    assert entry is not None
    assert len(entry.train) == 30
    assert not list(own_cache.glob("*.tmp-*"))


def test_the_moments_above_are_all_moments(tmp_path):
    assert run(KILLED_AT, tmp_path / "log", 8).returncode == 0


def test_four_processes_build_it_once(tmp_path):
    log = tmp_path / "log"
    code = CHILD + 'print(cache.get("toy", build).train.images.sum())'
    command = [sys.executable, "-c", code, str(log)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    sums = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(sums) == 1
    assert log.read_text() == "built\n"


def test_a_directory_that_cannot_be_written_gives_only_a_warning(monkeypatch, tmp_path, decoded):
    (tmp_path / "plain").write_text("a file, not a directory")
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "plain" / "cache"))
    said: list[str] = []
    assert same(cache.get("toy", lambda _: decoded, progress=said.append), decoded)
    assert len(said) == 1
    assert said[0].startswith("warning: ")
    assert "CIFARLAB_CACHE" in said[0]


def test_the_warning_goes_to_the_log_without_progress(monkeypatch, tmp_path, decoded, caplog):
    (tmp_path / "plain").write_text("")
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "plain" / "cache"))
    cache.get("toy", lambda _: decoded)
    assert "cannot be written" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="file size limits are POSIX")
def test_a_disk_that_fills_up_gives_only_a_warning(tmp_path, own_cache):
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
said = []
print(len(cache.get("toy", build, progress=said.append).train), len(said), "warning" in said[0])
"""
    result = run(code, tmp_path / "log")
    assert result.stdout.split() == ["30", "1", "True"], result.stderr
    assert not [path for path in own_cache.iterdir() if path.is_dir()]


def test_reading_a_filled_cache_writes_nothing(decoded, own_cache):
    cache.get("toy", lambda _: decoded)
    for file in own_cache.glob("*.lock"):
        file.unlink()
    before = {path: path.stat().st_mtime_ns for path in [own_cache, *own_cache.rglob("*")]}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert same(cache.get("toy", never), decoded)
        after = {path: path.stat().st_mtime_ns for path in [own_cache, *own_cache.rglob("*")]}
    finally:
        for path in before:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert after == before


def test_an_error_of_the_builder_is_not_reported_as_one_of_the_cache(own_cache):
    def fail(_: object) -> cache.Decoded:
        raise FileNotFoundError("the source went away")

    with pytest.raises(FileNotFoundError):
        cache.get("toy", fail)
    assert not [path for path in own_cache.iterdir() if path.is_dir()]


def test_an_edited_source_gets_a_new_entry_and_the_old_one_goes(tmp_path, decoded, own_cache):
    file = tmp_path / "source"
    file.write_text("one")
    first = cache.key_for(file, [file], (32,))
    assert cache.key_for(file, [file], (32,)) == first
    assert cache.key_for(file, [file], (64,)) != first
    cache.get(first, lambda _: decoded)
    file.write_text("another")
    second = cache.key_for(file, [file], (32,))
    assert second != first
    cache.get(second, lambda _: decoded)
    assert [path.name for path in own_cache.iterdir() if path.is_dir()] == [f"v2-{second}"]


def test_a_change_that_keeps_the_size_is_seen(tmp_path):
    file = tmp_path / "source"
    file.write_text("one")
    os.utime(file, ns=(1, 1))
    first = cache.key_for(file, [file])
    os.utime(file, ns=(2, 2))
    assert cache.key_for(file, [file]) != first


def test_images_are_decoded_straight_into_the_entry(own_cache, decoded):
    def build(allocate: cache.Allocate) -> cache.Decoded:
        images = allocate("train", (40, 32, 32, 3))
        assert isinstance(images, np.memmap)
        images[:30] = decoded.train.images
        train = Split(images=images[:30], labels=decoded.train.labels, names=decoded.train.names)
        return dataclasses.replace(decoded, train=train)

    # Ten of the forty turned out to be bad, so that the file is shorter than was allocated.
    assert same(cache.get("toy", build), decoded)
    (file,) = own_cache.rglob("train_images.bin")
    assert file.stat().st_size == decoded.train.images.size


def test_an_entry_of_version_0_1_is_still_read(own_cache, decoded):
    entry = own_cache / "v1-toy"
    entry.mkdir(parents=True)
    meta = {"name": "toy", "source": "nowhere", "class_names": ["a", "b", "c"], "skipped": []}
    for part in ("train", "test"):
        split = getattr(decoded, part)
        np.save(entry / f"{part}_images.npy", split.images)
        np.save(entry / f"{part}_labels.npy", split.labels)
        meta[part] = {"shape": split.images.shape, "names": split.names}
    (entry / "meta.json").write_text(json.dumps(meta))
    assert same(cache.get("toy", never), dataclasses.replace(decoded, skipped=()))
