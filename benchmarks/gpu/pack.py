"""Pack what a bare GPU machine lacks: wheels, CIFAR-10 in shards, the published records' code.

Such a machine has Python, PyTorch and usual libraries, no network, and takes a folder of limited
size at a time. Every step that fails says why in one line; the others still run.

Command: ``python -m benchmarks.gpu.pack``, on a machine with network; see docs/gpu.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.command import end_in_order_on_sigterm, say
from benchmarks.gpu.shards import check_shards, runs, write_shards
from benchmarks.published import RECORDS, obtain
from benchmarks.workers import ROOT
from cifarlab.data import catalog
from cifarlab.data.dataset import Dataset
from cifarlab.errors import CifarlabError, InputError, NetworkError, UsageError
from cifarlab.runtime.environment import describe_environment

MEBIBYTE = 2**20
# A call carries 64 MiB, the checkout's ten among them.
FOLDER_BYTES = 45 * MEBIBYTE

# What cifarlab needs and the machine lacks, and why. PyTorch, NumPy, h5py, Pillow, PyArrow, SciPy,
# Matplotlib, filelock, Jinja2, safetensors and Typer are there, in versions of its own, and so is
# what the packages below need beside each other.
WHEELS: Mapping[str, str] = {
    "keras": "what is trained and compared",
    "namex": "Keras imports it",
    "optree": "Keras imports it",
    "rich": "Keras and the progress bars import it",
    "requests": "cifarlab.data.named.download imports it",
}
PLATFORMS = tuple(
    f"{name}_x86_64"
    for name in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
)
PIP = (sys.executable, "-m", "pip")
Step = Callable[[], Sequence[Path]]


def pack_wheels(folder: Path, python: str, pip: Sequence[str] = PIP) -> list[Path]:
    """Download ``WHEELS`` for CPython ``python`` on Linux, in the versions of constraints.txt.

    Args:
        pip: the command that is pip.

    Raises:
        InputError: a version is not in constraints.txt.
        NetworkError: pip fails.
    """
    versions = _pinned(ROOT / "constraints.txt")
    missing = [name for name in WHEELS if name not in versions]
    if missing:
        raise InputError(f"constraints.txt has no version of {missing[0]}; add NAME==VERSION there")
    _make_anew(folder)
    where = [part for platform in PLATFORMS for part in ("--platform", platform)]
    done = subprocess.run(
        [
            *(*pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
            *("--only-binary=:all:", "--python-version", python, "--implementation", "cp"),
            *(*where, "-d", str(folder)),
            *(f"{name}=={versions[name]}" for name in WHEELS),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise NetworkError(
            f"pip download failed: {last}; check the network, the Python version {python} and "
            "constraints.txt"
        )
    return [folder]


def _pinned(constraints: Path) -> dict[str, str]:
    """Return the version of each package, by its normalised name."""
    lines = (line.partition("#")[0].strip() for line in constraints.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def pack_data(data: Dataset, out: Path, limit: int = FOLDER_BYTES) -> list[Path]:
    """Write the dataset into the folders ``shard-0``, ``shard-1``, ... of ``out``.

    All their files in one folder are a dataset that ``catalog.load`` takes.

    Args:
        limit: bytes that a folder holds at most.

    Raises:
        InputError: an image does not fit into a folder, or what was written is not the dataset.
    """
    for old in out.glob("shard-*"):
        shutil.rmtree(old)
    with tempfile.TemporaryDirectory(dir=out) as whole:
        # So that four files fill a folder to the brim, or nearly.
        files = write_shards(data, Path(whole), limit // 4)
        check_shards(data, Path(whole))
        return _move_into_folders(files, out, limit)


def _move_into_folders(files: Sequence[Path], out: Path, limit: int) -> list[Path]:
    folders: list[Path] = []
    for run in runs([file.stat().st_size for file in files], limit):
        folders.append(_make_anew(out / f"shard-{len(folders)}"))
        for file in files[run]:
            file.rename(folders[-1] / file.name)
    return folders


def pack_repository(names: Sequence[str], folder: Path, published: Path | None) -> list[Path]:
    """Copy one repository of published records, without its history, into ``folder``.

    Args:
        names: those records in ``RECORDS`` that are in it.
        published: the folder that has a copy already; by default it is cloned.

    Raises:
        InputError: the copy lacks a record's script.
        NetworkError: it cannot be cloned.
    """
    with tempfile.TemporaryDirectory() as cloned:
        scripts = [obtain(RECORDS[name], published or Path(cloned)) for name in names]
        copy = folder / scripts[0].parent.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(scripts[0].parent, copy, ignore=shutil.ignore_patterns(".git"))
    return [copy]


def pack_commit(file: Path) -> list[Path]:
    """Write which commit this checkout is at, for one that travels without its history."""
    commit = describe_environment(torch.device("cpu"), torch.float32)["git"]
    if commit is None:
        raise InputError(f"{ROOT} is no git checkout, or there is no git; clone it")
    file.write_text(f"{commit}\n")
    return [file]


def _make_anew(folder: Path) -> Path:
    """Return ``folder``, empty."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def steps(data: str, out: Path, python: str, published: Path | None) -> dict[str, Step]:
    """Return what packs each thing, by its name."""
    packing: dict[str, Step] = {
        "wheels": partial(pack_wheels, out / "wheels", python),
        "commit": partial(pack_commit, out / "commit.txt"),
        "data": lambda: pack_data(catalog.load_dataset(data, progress=say), out),
    }
    repositories: dict[str, list[str]] = {}
    for name, record in RECORDS.items():
        repositories.setdefault(record.repository, []).append(name)
    for repository, names in repositories.items():
        packing[repository] = partial(pack_repository, names, out / "published", published)
    return packing


def run(chosen: Mapping[str, Step]) -> list[str]:
    """Do every step, print what each one packed, and return the names of those that failed."""
    failed = []
    for name, step in chosen.items():
        try:
            paths = step()
        except (CifarlabError, OSError) as error:
            say(f"error: {name}: {' '.join(str(error).split())}")
            failed.append(name)
            continue
        for path in paths:
            files = [file for file in (path, *path.rglob("*")) if file.is_file()]
            size = sum(file.stat().st_size for file in files) / MEBIBYTE
            print(f"{name}: {path}, {len(files)} files, {size:.1f} MiB", flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 1 when a step failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.pack", description=__doc__)
    add = parser.add_argument
    add("--data", default="cifar10", help="a dataset's name or path (%(default)s)")
    add("--out", type=Path, default=Path(".gpu"), help="the folder to fill (%(default)s)")
    add("--python", default="3.12", metavar="X.Y", help="the machine's Python (%(default)s)")
    add("--published", type=Path, metavar="DIR", help="copies of the records' repositories")
    chosen = parser.parse_args(arguments)
    copies = chosen.out / "published"
    if chosen.published and chosen.published.resolve() == copies.resolve():
        error = UsageError(f"--published {copies}: it is where the copies go; name another folder")
        say(f"error: {error}")
        return error.exit_code
    chosen.out.mkdir(parents=True, exist_ok=True)
    return int(bool(run(steps(chosen.data, chosen.out, chosen.python, chosen.published))))


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
