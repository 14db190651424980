"""What is packed for a GPU machine is whole, of limited size, and says what is missing."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import pack
from benchmarks.gpu.pack import main, pack_data, pack_repository, pack_wheels, run
from benchmarks.gpu.shards import check_shards, write_shards
from benchmarks.published import RECORDS
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset, Split
from cifarlab.data.inspection import train_fingerprint
from cifarlab.data.split import fingerprint, stratified_split
from cifarlab.errors import InputError, NetworkError

LIMIT = 100_000
CLASSES = ("cat", "dog", "frog")

# A pip that writes down what it was called with, makes a file, and may fail.
PIP = """
import json, pathlib, sys
arguments = sys.argv[2:]
pathlib.Path(sys.argv[1]).write_text(json.dumps(arguments))
if "3.99" in arguments:
    sys.exit("WARNING: old\\nERROR: No matching distribution found for keras")
pathlib.Path(arguments[arguments.index("-d") + 1], "keras.whl").write_text("wheel")
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFARLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def data() -> Dataset:
    """Noise, which PNG cannot make smaller: some 3 kB an image."""
    draws = np.random.default_rng(0)

    def split(count: int, name: str) -> Split:
        images = draws.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        labels = draws.integers(0, len(CLASSES), count)
        return Split(
            images=images, labels=labels, names=tuple(f"{name}_{i}.png" for i in range(count))
        )

    whole = split(120, "train")
    kept, held = stratified_split(whole.labels, 0.1, 0)
    train, validation = whole.subset(kept), whole.subset(held)
    return Dataset(
        name="noise",
        source="here",
        class_names=CLASSES,
        train=train,
        validation=validation,
        test=split(40, "test"),
    )


def gathered(folders: list[Path], into: Path) -> Path:
    into.mkdir()
    for folder in folders:
        for file in folder.iterdir():
            shutil.copy(file, into)
    return into


def test_all_shards_together_are_the_dataset_divided_the_same_way(
    tmp_path: Path, data: Dataset
) -> None:
    again = load_dataset(gathered(pack_data(data, tmp_path, LIMIT), tmp_path / "data"))

    assert again.class_names == CLASSES
    assert train_fingerprint(again) == train_fingerprint(data)
    for part in ("train", "validation", "test"):
        packed, read = getattr(data, part), getattr(again, part)
        assert fingerprint(read) == fingerprint(packed)
        assert sorted(read.names) == sorted(packed.names)
    np.testing.assert_array_equal(again.test.images, data.test.images)


def test_no_folder_is_larger_than_the_limit_and_none_could_be_spared(
    tmp_path: Path, data: Dataset
) -> None:
    (tmp_path / "shard-7").mkdir()
    folders = pack_data(data, tmp_path, LIMIT)

    sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in folders]
    assert max(sizes) <= LIMIT
    assert all(a + b > LIMIT for a, b in itertools.pairwise(sizes))
    assert [folder.name for folder in folders] == [f"shard-{i}" for i in range(len(folders))]
    # Nothing of an earlier run, and nothing half done, is left.
    assert sorted(tmp_path.glob("*")) == folders
    names = [file.name for folder in folders for file in folder.iterdir()]
    count = sum(name.startswith("train") for name in names)
    assert count > 1
    assert {f"train-{i:05d}-of-{count:05d}.parquet" for i in range(count)} <= set(names)


def test_without_validation_images_and_names_the_order_stays(tmp_path: Path, data: Dataset) -> None:
    none = data.validation.subset(np.arange(0))
    train = dataclasses.replace(data.train, names=())
    whole = dataclasses.replace(data, train=train, validation=none)
    write_shards(whole, tmp_path / "data", LIMIT)

    again = load_dataset(tmp_path / "data", validation_fraction=0.01)

    kept, _ = stratified_split(train.labels, 0.01, 0)
    np.testing.assert_array_equal(again.train.images, train.images[kept])


def test_an_image_that_does_not_fit_is_refused(tmp_path: Path, data: Dataset) -> None:
    with pytest.raises(InputError, match=r"train-00000-of-00\d+.parquet takes \d+ bytes; a file"):
        write_shards(data, tmp_path, 2000)


def test_shards_of_other_content_are_found_out(tmp_path: Path, data: Dataset) -> None:
    write_shards(data, tmp_path, LIMIT)
    renamed = dataclasses.replace(data, class_names=("a", "b", "c"))

    check_shards(data, tmp_path)
    with pytest.raises(InputError, match=r"class names: read back as \('cat'"):
        check_shards(renamed, tmp_path)


def test_wheels_are_those_of_constraints_for_the_machines_python(tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text(PIP)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "keras-old.whl").touch()
    pip = (sys.executable, str(tmp_path / "pip.py"), str(tmp_path / "called.json"))

    (folder,) = pack_wheels(tmp_path / "wheels", "3.12", pip)

    assert [file.name for file in folder.iterdir()] == ["keras.whl"]
    called = json.loads((tmp_path / "called.json").read_text())
    assert called[0] == "download"
    assert {"--no-deps", "--only-binary=:all:"} <= set(called)
    options = dict(itertools.pairwise(called))
    assert (options["--python-version"], options["--implementation"]) == ("3.12", "cp")
    platforms = [b for a, b in itertools.pairwise(called) if a == "--platform"]
    assert "manylinux_2_28_x86_64" in platforms
    pinned = (pack.ROOT / "constraints.txt").read_text().splitlines()
    wanted = [part for part in called if "==" in part]
    assert {part.split("==")[0] for part in wanted} == set(pack.WHEELS)
    assert set(wanted) <= set(pinned)


def test_what_pip_says_last_is_the_reason(tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text(PIP)
    pip = (sys.executable, str(tmp_path / "pip.py"), str(tmp_path / "called.json"))
    with pytest.raises(NetworkError, match=r"failed: ERROR: No matching distribution .*3\.99"):
        pack_wheels(tmp_path / "wheels", "3.99", pip)


def test_a_package_without_a_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "WHEELS", {"never-heard-of": "nothing"})
    with pytest.raises(InputError, match="has no version of never-heard-of; add"):
        pack_wheels(tmp_path / "wheels", "3.12")


def test_published_code_travels_without_its_history(tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "cifar10-airbench"
    names = ("airbench94_muon", "airbench96_faster")
    (copy / ".git").mkdir(parents=True)
    (copy / ".git" / "HEAD").touch()
    for name in names:
        (copy / RECORDS[name].script).write_text("train()")

    (packed,) = pack_repository(names, tmp_path / "out", tmp_path / "copies")

    files = sorted(file.relative_to(tmp_path / "out") for file in packed.rglob("*"))
    assert files == [Path("cifar10-airbench", RECORDS[name].script) for name in names]


def test_a_step_that_fails_says_why_and_the_others_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wheel").write_bytes(b"x" * 2**20)

    def fail(error: Exception) -> Any:
        def step() -> list[Path]:
            raise error

        return step

    failed = run(
        {
            "one": fail(InputError("two\nlines")),
            "two": fail(OSError(28, "No space left on device")),
            "three": lambda: [tmp_path],
        }
    )

    assert failed == ["one", "two"]
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "error: one: two lines",
        "error: two: [Errno 28] No space left on device",
    ]
    assert said.out == f"three: {tmp_path}, 1 files, 1.0 MiB\n"


def test_the_command_packs_what_it_can_and_fails_at_the_end(
    tmp_path: Path,
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_shards(data, tmp_path / "noise", LIMIT)
    (tmp_path / "copies" / "cifar10-airbench").mkdir(parents=True)
    monkeypatch.setattr(pack, "WHEELS", {"never-heard-of": "nothing"})
    monkeypatch.setattr("benchmarks.published.HOST", str(tmp_path / "nowhere"))
    out = tmp_path / "out"

    code = main(
        [
            *("--data", str(tmp_path / "noise"), "--out", str(out)),
            *("--published", str(tmp_path / "copies")),
        ]
    )

    assert code == 1
    said = capsys.readouterr()
    failures = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in failures if "commit" not in line] == [
        "wheels",
        "KellerJordan/cifar10-airbench",
        "hiverge/cifar10-speedrun",
    ]
    assert "airbench94_muon.py" in failures[-2]
    assert f"data: {out / 'shard-0'}, " in said.out
    assert len(load_dataset(gathered([out / "shard-0"], tmp_path / "again")).test) == 40


def test_copies_are_not_taken_from_where_they_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path), "--published", str(tmp_path / "published")]) == 2
    assert "it is where the copies go; name another folder" in capsys.readouterr().err
