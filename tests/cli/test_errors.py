"""Every expected failure has its exit code and one line on stderr."""

from __future__ import annotations

import shutil
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from cifarlab.backend import keras
from cifarlab.cli import main as main_module
from cifarlab.cli.main import main
from cifarlab.runs.directory import RunDirectory
from support import contents, posix_only, python


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("frobnicate",), "frobnicate"),
        (("train", "--frobnicate"), "--frobnicate"),
        (("train", "--lr", "fast"), "--lr"),
        (("train", "--lr", "nan"), "Adam.lr"),
        (("train", "--epochs", "0"), "epochs is 0"),
        (("train", "--batch-size", "0"), "batch_size is 0"),
        (("train", "nosuch"), "nosuch"),
        (("train", "--data", "no/such/place"), "no/such/place"),
        (("train", "--data", "new\nline\0"), "dataset"),
        (("train", "--precision", "float8"), "float8"),
        (("train", "--resume", "x", "--overwrite"), "--overwrite"),
        (("train", "--resume", "x", "--seed", "3"), "--seed"),
        (("evaluate",), "model"),
        (("evaluate", "x.keras", "--split", "all"), "all"),
        (("predict",), "images"),
        (("predict", "x.png", "--top", "0"), "--top"),
        (("data", "info", "nosuch"), "nosuch"),
    ],
)
def test_misuse_exits_2_and_names_what_is_wrong(cifarlab, photos, arguments, named):
    if arguments[0] == "train" and "--data" not in arguments and "--resume" not in arguments:
        arguments = (*arguments, "--data", photos)
    result = cifarlab(*arguments)
    assert result.code == 2
    assert named in result.failure()


def test_an_unknown_recipe_lists_the_known_ones(cifarlab):
    assert "baseline, baseline_unscaled" in cifarlab("train", "nosuch").failure()


def test_misuse_names_the_help_of_its_verb(cifarlab):
    assert cifarlab("predict").failure().endswith("see cifarlab predict --help")


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", "x.png", "--model", "no/such.keras"),
        ("predict", "x.png", "--model", "no\nsuch\x1b.keras"),
        ("evaluate", "no/such/run"),
        ("evaluate", "."),
        ("train", "nosuch.keras"),
        ("train", "--resume", "no/such/run"),
    ],
)
def test_a_missing_model_or_run_exits_3(cifarlab, arguments):
    result = cifarlab(*arguments)
    assert result.code == 3
    assert "\x1b" not in result.failure()


def test_a_damaged_model_exits_3(cifarlab, trained, tmp_path):
    damaged = tmp_path / "half.keras"
    whole = (trained / "best.keras").read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    result = cifarlab("predict", "x.png", "--model", damaged)
    assert result.code == 3
    assert "half.keras" in result.failure()


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("verb", ["predict", "evaluate", "train"])
def test_a_model_with_a_lambda_exits_4_and_runs_nothing(cifarlab, photos, tmp_path, verb, suffix):
    canary = tmp_path / "canary"
    place = str(canary)
    spring = keras.layers.Lambda(lambda x: (__import__("os").mkdir(place), x)[1])
    model = keras.Sequential([keras.Input((32, 32, 3)), spring])
    path = tmp_path / f"evil{suffix}"
    model.save(path)
    # Building the model has called it: the trap works.
    canary.rmdir()
    arguments = {
        "predict": ("predict", "x.png", "--model", path),
        "evaluate": ("evaluate", path, "--data", photos),
        "train": ("train", path, "--data", photos),
    }
    result = cifarlab(*arguments[verb])
    assert result.code == 4
    assert "Lambda" in result.failure()
    assert not canary.exists()


def test_a_wrong_archive_exits_3(cifarlab, tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"<html>not found</html>")
    result = cifarlab("train", "--data", "cifar-10-python.tar.gz")
    assert result.code == 3
    assert "cifar-10-python.tar.gz" in result.failure()


def test_a_model_for_other_classes_exits_3(cifarlab, trained, tmp_path):
    for kind, name in enumerate(("cat", "dog", "eel")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.full((32, 32, 3), (10 * kind + i, 90, 200), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{i}.png")
    result = cifarlab("evaluate", trained, "--data", "pets")
    assert result.code == 3
    assert "blue, green, red" in result.failure()
    assert "cat, dog, eel" in result.err


@pytest.mark.parametrize("verb", [("train",), ("data", "info"), ("data", "download")])
def test_data_that_cannot_be_downloaded_exits_5_with_the_remedy(cifarlab, verb):
    result = cifarlab(*verb)
    assert result.code == 5
    last = result.err.splitlines()[-1]
    assert last.startswith("cifarlab: error: cifar10")
    assert "CIFARLAB_DATA" in last


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--data"),
        ("evaluate", "TRAINED", "--data"),
        ("data", "info"),
        ("data", "check"),
        ("data", "show"),
        ("lr-find", "baseline", "--data"),
        ("compare", "baseline", "fast94", "--data"),
        ("lesson", "augmentation", "--data"),
    ],
    ids="-".join,
)
def test_images_with_several_labels_exit_3_with_the_remedy(
    cifarlab, photos, trained, tmp_path, arguments
):
    several = tmp_path / "several"
    shutil.copytree(photos, several)
    for file in sorted((several / "red").iterdir())[::2]:
        shutil.copy(file, several / "blue" / f"red-{file.name}")
    result = cifarlab(*(trained if a == "TRAINED" else a for a in arguments), several)
    assert result.code == 3, result.err
    assert "multi-label data, 10 of 60 images have several labels, such as " in result.failure()
    assert "cifarlab.load_multi_label" in result.failure()


def test_an_output_that_cannot_be_written_exits_6(cifarlab, photos, tmp_path):
    (tmp_path / "file").write_text("")
    result = cifarlab("train", "--data", photos, "-o", "file/run")
    assert result.code == 6
    assert "file/run" in result.failure()


def test_an_output_that_is_not_empty_exits_2_and_changes_nothing(cifarlab, photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    before = contents(tmp_path / "run")
    result = cifarlab("train", "--data", photos, "-o", "run")
    assert result.code == 2
    assert "--overwrite" in result.failure()
    assert contents(tmp_path / "run") == before


def test_a_directory_in_use_exits_2_with_the_process(cifarlab, photos, tmp_path):
    holder = python(
        """
        import sys
        from pathlib import Path
        from cifarlab.runs.directory import RunDirectory, lock
        with lock(RunDirectory(path=Path(sys.argv[1]))):
            print("locked", flush=True)
            sys.stdin.read()
        """,
        tmp_path / "run",
    )
    (tmp_path / "run").mkdir()
    try:
        assert holder.stdout.readline() == "locked\n"
        result = cifarlab("train", "--data", photos, "-o", "run")
        assert result.code == 2
        assert f"process {holder.pid}" in result.failure()
    finally:
        holder.communicate()


def test_a_diverging_run_exits_7(cifarlab, photos):
    result = cifarlab("train", "--data", photos, "--lr", "1e30", "--epochs", "5")
    assert result.code == 7
    assert "learning rate 1e+30" in result.failure()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
@pytest.mark.parametrize("verb", ["train", "predict", "evaluate"])
def test_a_device_that_is_not_there_exits_2(cifarlab, photos, trained, verb):
    arguments = {
        "train": ("train", "--data", photos),
        "predict": ("predict", photos, "--model", trained),
        "evaluate": ("evaluate", trained),
    }
    result = cifarlab(*arguments[verb], "--device", "cuda")
    assert result.code == 2
    assert "cuda" in result.failure()


def raise_from_train(monkeypatch, error):
    def app(**_):
        raise error

    monkeypatch.setattr(main_module, "app", app)


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 128 + signal.SIGINT), (MemoryError(), 6)]
)
def test_what_stops_any_verb(cifarlab, monkeypatch, error, code):
    raise_from_train(monkeypatch, error)
    result = cifarlab("train")
    assert result.code == code
    result.failure()


def test_a_bug_is_not_dressed_up_as_a_users_mistake(monkeypatch):
    raise_from_train(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main(["train"])


def test_another_backend_exits_2():
    child = python(
        """
        import os, sys
        os.environ["KERAS_BACKEND"] = "jax"
        from cifarlab.cli.main import main
        sys.exit(main(["predict", "x.png", "--model", "x.keras"]))
        """
    )
    out, err = child.communicate()
    assert child.returncode == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "KERAS_BACKEND=torch" in err


@posix_only
@pytest.mark.parametrize("arguments", [["train", "--help"], ["data", "info", "{photos}", "--json"]])
def test_a_reader_that_leaves_gets_no_traceback(photos, arguments):
    child = python(
        """
        import sys
        from cifarlab.cli.main import main
        print("ready", flush=True)
        sys.stdin.read()
        sys.exit(main(sys.argv[1:]))
        """,
        *(argument.format(photos=photos) for argument in arguments),
    )
    child.stdout.readline()
    child.stdout.close()
    _, err = child.communicate()
    assert (child.returncode, err) == (128 + signal.SIGPIPE, "")


def test_the_trained_run_is_complete(trained):
    assert RunDirectory(path=trained).metrics.exists()
