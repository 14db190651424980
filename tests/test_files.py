"""Files appear complete or not at all, and the error for a failing disk names it."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cifarlab.errors import ResourceError
from cifarlab.files import (
    TEMPORARY_PREFIX,
    atomic_write,
    cannot_write,
    check_writable,
    printable,
    replacing,
    sync_directory,
    write_csv,
    write_json,
    write_text,
)
from cifarlab.runs.directory import RunDirectory, lock, new_run_directory, use_directory
from support import contents, one_line, posix_only, python


def test_a_write_replaces_the_whole_content(tmp_path):
    path = tmp_path / "file.bin"
    for content in (b"a" * 1000, b"b"):
        atomic_write(path, lambda file, content=content: file.write(content))
        assert contents(tmp_path) == {"file.bin": content}


def test_the_stream_can_seek(tmp_path):
    def write(file: io.BytesIO) -> None:
        file.write(b"xxxx")
        file.seek(0)
        file.write(b"ab")

    atomic_write(tmp_path / "file", write)
    assert (tmp_path / "file").read_bytes() == b"abxx"


def interrupted(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_a_name_is_shown_unchanged_or_escaped_to_one_line(tmp_path):
    assert printable("Bäume 🐈.png") == "Bäume 🐈.png"
    assert printable("two\nlines") == r"'two\nlines'"
    assert printable(tmp_path / "two\nlines") == repr(str(tmp_path / "two\nlines"))
    for error in (OSError(errno.ENOSPC, ""), PermissionError(errno.EACCES, ""), ValueError("x")):
        assert "\n" not in str(cannot_write(tmp_path / "two\nlines", error))


@posix_only
def test_a_directory_is_flushed_to_the_disk(tmp_path, monkeypatch):
    synced: list[tuple[int, int]] = []

    def fsync(handle: int) -> None:
        synced.append((os.fstat(handle).st_dev, os.fstat(handle).st_ino))

    monkeypatch.setattr(os, "fsync", fsync)
    sync_directory(tmp_path)
    assert synced == [(tmp_path.stat().st_dev, tmp_path.stat().st_ino)]
    with pytest.raises(FileNotFoundError):
        sync_directory(tmp_path / "absent")


def test_a_failing_writer_leaves_the_old_content_and_no_temporary_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file: io.BytesIO) -> None:
        file.write(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic_write(path, fail)
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert contents(tmp_path) == {"file": b"old"}


def test_replacing_gives_a_path_beside_the_file_with_its_suffix(tmp_path):
    with replacing(tmp_path / "best.keras") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".keras"
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        temporary.write_text("new")
        assert not (tmp_path / "best.keras").exists()
    assert contents(tmp_path) == {"best.keras": b"new"}


def test_a_missing_input_is_not_reported_as_a_failed_write(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        (tmp_path / "no-such-input").read_text()
    assert contents(tmp_path) == {}


def test_json_keeps_order_and_every_character(tmp_path):
    value = {"b": "猫 <b>", "a": [1, 2.5, None], "name": os.fsdecode(b"bad-\xff.png")}
    write_json(tmp_path / "a.json", value)
    assert list(json.loads((tmp_path / "a.json").read_text("utf-8")).items()) == list(value.items())
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
    assert "猫" in (tmp_path / "a.json").read_text("utf-8")


def test_csv_quotes_what_needs_quotes(tmp_path):
    write_csv(tmp_path / "a.csv", [{"name": 'a,"b"\nc', "right": True}, {"score": np.float32(0.5)}])
    assert (tmp_path / "a.csv").read_text() == 'name,right,score\n"a,""b""\nc",True,\n,,0.5\n'


KILLED_WRITER = """
    import os, pathlib, signal, sys
    from cifarlab import files as run

    path, how, number, moment = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
    calls = 0

    def counted(function):
        def wrapper(*arguments, **options):
            global calls
            calls += 1
            die = calls == int(number)
            if die and moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **options)
            if die:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return wrapper

    new = b"new" * 200_000
    def halves(file):
        write = counted(file.write)
        write(new[: len(new) // 2])
        file.flush()
        write(new[len(new) // 2 :])

    for name in ("open", "fsync", "replace", "close", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    pathlib.Path.open = counted(pathlib.Path.open)
    if how == "atomic_write":
        run.atomic_write(path, lambda file: file.write(new))
    else:
        with run.replacing(path) as temporary, temporary.open("xb") as file:
            halves(file)
    sys.exit(10)
"""


@posix_only
@pytest.mark.parametrize("how", ["atomic_write", "replacing"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_file_operation_the_file_is_old_or_new(tmp_path, how, moment):
    old, new = b"old" * 1000, b"new" * 200_000
    seen, ended = [], 0
    while ended != 10:
        directory = tmp_path / str(len(seen))
        directory.mkdir()
        path = directory / "file.bin"
        path.write_bytes(old)
        child = python(KILLED_WRITER, path, how, len(seen) + 1, moment)
        _, problems = child.communicate()
        ended = child.returncode
        assert ended in (-signal.SIGKILL, 10), problems
        assert path.read_bytes() in (old, new)
        seen.append(path.read_bytes() == new)

        # What a killed writer left behind does not hinder the next one, which removes it.
        write_text(path, "next")
        with lock(RunDirectory(path=directory)):
            assert path.read_text() == "next"
        left = [name for name in contents(directory) if name.startswith(TEMPORARY_PREFIX)]
        assert left == []
    # Opening, two fsyncs, the replacement and the directory: the kills really spread over them.
    assert len(seen) > 7
    assert seen == sorted(seen)
    assert not seen[0]
    assert seen[-2]


FULL_DISK = """
    import os, pathlib, resource, sys
    os.environ["KERAS_BACKEND"] = "torch"
    from cifarlab import files as run
    from cifarlab.errors import ResourceError

    path, library = pathlib.Path(sys.argv[1]), sys.argv[2]
    if sys.argv[3] == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        if library == "plain":
            run.atomic_write(path, lambda file: file.write(bytes(300_000)))
        else:
            with run.replacing(path) as temporary:
                if library == "h5py":
                    import h5py, numpy
                    with h5py.File(temporary, "w") as file:
                        file["x"] = numpy.ones(300_000, numpy.uint8)
                else:
                    from safetensors.numpy import save_file
                    import numpy
                    save_file({"x": numpy.ones(300_000, numpy.uint8)}, temporary)
    except ResourceError as error:
        print(error)
        sys.exit(error.exit_code)
"""


def check_full_disk(directory: Path, library: str, how: str) -> str:
    path = directory / "file"
    path.write_text("old")
    child = python(FULL_DISK, path, library, how)
    message, problems = child.communicate()
    assert child.returncode == 6, problems
    assert contents(directory) == {"file": b"old"}
    assert message.startswith(f"{path}: ")
    assert message.count("\n") == 1
    return message


@posix_only
@pytest.mark.parametrize("library", ["plain", "h5py", "safetensors"])
def test_over_the_file_size_limit(tmp_path, library):
    message = check_full_disk(tmp_path, library, "limit")
    assert "file size limit" in message
    assert "ulimit -f" in message


@pytest.fixture
def tiny_disk(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a tiny file system takes root on Linux")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this system does not let us mount a tiny file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("library", ["plain", "h5py", "safetensors"])
def test_on_a_full_disk(tiny_disk, library):
    message = check_full_disk(tiny_disk, library, "no limit")
    assert "no space is left" in message
    assert "free some space" in message
    if library == "plain":
        assert " and 300,000 bytes are needed" in message
    if library == "h5py":
        assert re.search(r"more than [\d,]+ bytes are needed", message)


def test_a_full_disk_is_noticed_before_a_run_begins(tiny_disk):
    with pytest.raises(OSError, match="No space"), (tiny_disk / "foreign").open("wb") as file:
        file.write(bytes(200_000))
    with pytest.raises(ResourceError, match="no space is left"):
        check_writable(tiny_disk)
    assert list(contents(tiny_disk)) == ["foreign"]


def test_a_used_up_quota_is_told_from_a_full_disk(tmp_path):
    with (
        pytest.raises(ResourceError, match=r"quota is used up and 7 bytes are needed"),
        replacing(tmp_path / "file", 7),
    ):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    for path in (
        tmp_path / "file" / "below",
        tmp_path / "missing" / "below",
        tmp_path / "directory",
    ):
        with pytest.raises(ResourceError) as error:
            write_text(path, "x")
        assert str(path) in one_line(error)
    assert contents(tmp_path) == {"file": b""}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_a_file_system_that_takes_no_files():
    for attempt in (
        lambda: check_writable(Path("/proc")),
        lambda: new_run_directory(Path("/proc"), "tiny"),
        lambda: use_directory(Path("/proc/runs"), overwrite=True),
    ):
        with pytest.raises(ResourceError):
            attempt()


def test_check_writable_leaves_nothing(tmp_path):
    check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []
