"""A run directory: files are whole or absent, one writer at a time, nothing foreign is touched."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import InputError, ResourceError, UsageError
from cifarlab.files import TEMPORARY_PREFIX, write_json
from cifarlab.runs.directory import (
    RunDirectory,
    find_run,
    lock,
    new_run_directory,
    read_history,
    use_directory,
    write_history,
)
from support import contents, one_line, python

# History

HISTORY = [
    {"epoch": 1, "loss": 2.302585092994046, "val_loss": 0.1 + 0.2, "learning_rate": 1e-300},
    {"epoch": 2, "loss": math.inf, "val_loss": -0.0, "learning_rate": 5e-324},
]


def test_history_comes_back_as_it_was(tmp_path):
    path = RunDirectory(path=tmp_path).history
    write_history(path, HISTORY)
    assert read_history(path) == HISTORY
    assert [type(row["epoch"]) for row in read_history(path)] == [int, int]
    assert math.copysign(1, read_history(path)[1]["val_loss"]) == -1
    assert path.read_text().startswith("epoch,loss,val_loss,learning_rate\n1,2.302585092994046,")


@given(st.lists(st.floats(), max_size=5))
def test_floats_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("history") / "history.csv"
    write_history(path, [{"epoch": i, "loss": value} for i, value in enumerate(values)])
    assert [repr(row["loss"]) for row in read_history(path)] == [repr(value) for value in values]


def test_numpy_numbers_and_missing_cells(tmp_path):
    path = tmp_path / "history.csv"
    write_history(path, [{"epoch": np.int64(1)}, {"epoch": 2, "loss": np.float32(0.5)}])
    assert read_history(path) == [{"epoch": 1}, {"epoch": 2, "loss": 0.5}]


@pytest.mark.parametrize(
    "content",
    [b"epoch,loss\n1,much\n", b"epoch,loss\n1\n", b"epoch\n1,2\n", b"\xff\xfe", b'epoch\n"1\n'],
)
def test_a_damaged_history_is_bad_input(tmp_path, content):
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_history(path)
    assert str(path) in one_line(error)


def test_a_missing_history_is_bad_input_and_an_empty_one_has_no_epochs(tmp_path):
    path = tmp_path / "history.csv"
    with pytest.raises(InputError):
        read_history(path)
    write_history(path, [])
    assert read_history(path) == []


# Directories


def test_the_names_in_a_run_directory(tmp_path):
    run = RunDirectory(path=tmp_path)
    names = {path.name for path in (*run.results, run.checkpoint)}
    assert names == {
        *("recipe.json", "environment.json", "history.csv", "metrics.json", "best.keras"),
        *("best.h5", "checkpoint", "curves.png", "confusion_matrix.png", "samples.png"),
        *("report.html", "predictions.npz", "tracking.json"),
    }
    assert run.history == tmp_path / "history.csv"


def test_new_directories_are_numbered_from_one_and_fill_gaps(tmp_path):
    made = [new_run_directory(tmp_path / "runs", "tiny").path.name for _ in range(3)]
    assert made == ["tiny-1", "tiny-2", "tiny-3"]
    (tmp_path / "runs" / "tiny-2").rmdir()
    (tmp_path / "runs" / "other-1").write_text("a file in the way")
    assert new_run_directory(tmp_path / "runs", "tiny").path.name == "tiny-2"
    assert new_run_directory(tmp_path / "runs", "other").path.name == "other-2"


def test_the_path_of_a_run_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_run_directory(Path("runs"), "tiny").path == tmp_path / "runs" / "tiny-1"
    assert use_directory(Path("here"), overwrite=False).path == tmp_path / "here"


@pytest.mark.parametrize("name", ["", "a/b", "../up", "a\nb", "x" * 101])
def test_a_recipe_name_that_is_no_file_name_is_a_usage_error(tmp_path, name):
    with pytest.raises(UsageError) as error:
        new_run_directory(tmp_path / "runs", name)
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_together_get_different_directories(tmp_path):
    code = """
        import pathlib, sys
        from cifarlab.runs.directory import new_run_directory
        sys.stdin.readline()
        for _ in range(20):
            print(new_run_directory(pathlib.Path(sys.argv[1]), "tiny").path.name)
    """
    children = [python(code, tmp_path) for _ in range(4)]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    names = [name for child in children for name in child.communicate()[0].split()]
    assert sorted(names) == sorted(f"tiny-{number}" for number in range(1, 81))


def test_a_root_that_is_a_file_cannot_hold_runs(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ResourceError):
            new_run_directory(root, "tiny")
        with pytest.raises(ResourceError):
            use_directory(root, overwrite=True)
    assert contents(tmp_path) == {"file": b""}


def test_an_empty_or_missing_directory_is_used_as_it_is(tmp_path):
    for _ in range(2):
        assert use_directory(tmp_path / "a" / "b", overwrite=False).path == tmp_path / "a" / "b"
    assert contents(tmp_path) == {}


def fill(directory: Path) -> None:
    run = RunDirectory(path=directory)
    (run.checkpoint / "epoch-3").mkdir(parents=True)
    for path in (
        *run.results,
        run.checkpoint / "state.safetensors",
        run.checkpoint / "epoch-3" / "state.json",
        directory / f"{TEMPORARY_PREFIX}0123",
        run.checkpoint / f"{TEMPORARY_PREFIX}4567",
    ):
        path.write_text("ours")


def test_a_directory_that_is_not_empty_stays_as_it_is(tmp_path):
    fill(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="not empty") as error:
        use_directory(tmp_path, overwrite=False)
    one_line(error)
    assert contents(tmp_path) == before


def test_one_foreign_file_makes_it_not_empty(tmp_path):
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(UsageError):
        use_directory(tmp_path, overwrite=False)


def test_a_lock_and_remains_of_a_killed_process_are_no_content(tmp_path):
    with lock(RunDirectory(path=tmp_path)):
        pass
    (tmp_path / f"{TEMPORARY_PREFIX}0123").write_text("half")
    use_directory(tmp_path, overwrite=False)


def test_overwriting_removes_a_run_and_nothing_else(tmp_path):
    fill(tmp_path)
    foreign = ("notes.txt", "checkpoint/notes.txt", "photos/best.keras", "recipe.json.bak")
    (tmp_path / "photos").mkdir()
    for name in foreign:
        (tmp_path / name).write_text("mine")
    run = use_directory(tmp_path, overwrite=True)
    left = contents(tmp_path)
    left.pop(run.lock_file.name, None)
    assert left == dict.fromkeys(foreign, b"mine")


def test_overwriting_a_plain_run_removes_its_checkpoint_directory(tmp_path):
    fill(tmp_path)
    run = use_directory(tmp_path, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} <= {run.lock_file.name}


def test_overwriting_does_not_follow_links_out_of_the_directory(tmp_path):
    elsewhere, inside = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    inside.mkdir()
    (elsewhere / "state.json").write_text("mine")
    (inside / "checkpoint").symlink_to(elsewhere)
    (inside / "recipe.json").symlink_to(elsewhere / "state.json")
    use_directory(inside, overwrite=True)
    assert contents(elsewhere) == {"state.json": b"mine"}
    assert not (inside / "recipe.json").is_symlink()


def test_find_run_gives_the_run_or_names_one(tmp_path):
    run = new_run_directory(tmp_path, "tiny")
    with pytest.raises(InputError, match=r"no recipe\.json") as error:
        find_run(run.path)
    one_line(error)
    write_json(run.recipe, {})
    assert find_run(run.path) == run
    with pytest.raises(InputError, match=r"try .*tiny-1"):
        find_run(tmp_path)


def test_find_run_in_impossible_places_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing", tmp_path / "file", tmp_path / ("x" * 5000)):
        with pytest.raises(InputError):
            find_run(path)


# Locks

HOLDER = """
    import pathlib, sys
    from cifarlab.runs.directory import RunDirectory, lock
    with lock(RunDirectory(path=pathlib.Path(sys.argv[1]))):
        print("locked", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    child = python(HOLDER, tmp_path)
    assert child.stdout.readline() == "locked\n"
    yield child
    child.kill()
    child.communicate()


def test_a_second_writer_is_told_who_the_first_is(tmp_path, holder):
    for attempt in (
        lambda: lock(RunDirectory(path=tmp_path)).__enter__(),
        lambda: use_directory(tmp_path, overwrite=True),
    ):
        with pytest.raises(UsageError, match=rf"process {holder.pid} is writing") as error:
            attempt()
        one_line(error)


def test_overwriting_a_run_in_progress_removes_nothing(tmp_path, holder):
    fill(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UsageError):
        use_directory(tmp_path, overwrite=True)
    assert contents(tmp_path) == before
    assert holder.poll() is None


def test_the_lock_of_a_killed_holder_is_reclaimed(tmp_path, holder):
    run = RunDirectory(path=tmp_path)
    assert run.lock_holder.read_text() == f"{holder.pid}\n"
    holder.kill()
    holder.wait()
    assert run.lock_holder.exists()
    with lock(run):
        assert run.lock_holder.read_text() == f"{os.getpid()}\n"
    assert not run.lock_holder.exists()


def test_the_lock_of_a_holder_that_ended_is_free(tmp_path, holder):
    holder.communicate()
    with lock(RunDirectory(path=tmp_path)):
        pass


def test_one_process_cannot_take_a_lock_twice_and_keeps_it_when_it_tries(tmp_path):
    run = RunDirectory(path=tmp_path)
    with lock(run):
        for _ in range(2):
            with pytest.raises(UsageError, match=f"process {os.getpid()}"), lock(run):
                pass
    with lock(run):
        pass


def test_a_failure_within_the_lock_frees_it(tmp_path):
    run = RunDirectory(path=tmp_path)
    with pytest.raises(ZeroDivisionError), lock(run):
        raise ZeroDivisionError
    with lock(run):
        pass


def test_a_lock_in_a_place_that_cannot_be_written_is_a_resource_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ResourceError), lock(RunDirectory(path=path)):
            pass
