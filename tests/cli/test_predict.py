"""``cifarlab predict``: from files of any size, folders and stdin to classes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.image import read_as
from cifarlab.data.named import cifar
from cifarlab.predicting import answers, files
from cifarlab.saving.model_file import save_model
from support import contents, posix_only


def predicted(result) -> list[dict]:
    return json.loads(result.out)["predictions"]


def classes(result) -> list[str]:
    return [row["top"][0]["class"] for row in predicted(result)]


def test_names_stand_beside_every_prediction_in_the_order_given(cifarlab, trained, photos):
    wanted = [photos / "red" / "03.png", photos / "blue" / "01.png", photos / "green" / "02.png"]
    result = cifarlab("predict", *wanted, "--model", trained, "--json")
    assert result.code == 0
    assert [row["image"] for row in predicted(result)] == [str(path) for path in wanted]
    assert classes(result) == ["red", "blue", "green"]


def test_folders_are_opened_where_they_stand(cifarlab, trained, photos):
    first, last = photos / "red" / "00.png", photos / "green" / "00.png"
    result = cifarlab("predict", first, photos / "blue", last, "--model", trained, "--json")
    inside = [str(photos / "blue" / f"{i:02d}.png") for i in range(20)]
    assert [row["image"] for row in predicted(result)] == [str(first), *inside, str(last)]


def test_chunks_leave_the_order_alone(cifarlab, trained, photos, monkeypatch):
    whole = cifarlab("predict", photos, "--model", trained, "--json")
    batched = partial(answers.answers, batch_size=7)
    monkeypatch.setattr(files, "answers", lambda *given: batched(*given[:3]))
    pieces = cifarlab("predict", photos, "--model", trained, "--json")
    assert [row["image"] for row in predicted(pieces)] == [row["image"] for row in predicted(whole)]
    assert classes(pieces) == classes(whole)


def test_stdin(cifarlab, trained, photos, monkeypatch):
    path = photos / "red" / "05.png"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    (piped,) = predicted(cifarlab("predict", "-", "--model", trained, "--json"))
    (named,) = predicted(cifarlab("predict", path, "--model", trained, "--json"))
    assert piped == {**named, "image": "-"}


@pytest.mark.parametrize(("below", "sure"), [(0.0, True), (2.0, False), (None, None)])
def test_not_sure_is_said(cifarlab, trained, photos, tmp_path, below, sure):
    whole, path = Classifier.load(trained), tmp_path / "some.keras"
    save_model(whole.model, path, class_names=whole.class_names, recipe={}, not_sure_below=below)
    image = photos / "red" / "05.png"
    (row,) = predicted(cifarlab("predict", image, "--model", path, "--json"))
    assert row["sure"] is sure
    shown = cifarlab("predict", image, "--model", path).out
    assert ("(not sure)" in shown) == (sure is False)


@pytest.mark.parametrize(("top", "shown"), [(1, 1), (2, 2), (3, 3), (50, 3)])
def test_top_shows_that_many_classes_best_first(cifarlab, trained, photos, top, shown):
    image = photos / "red" / "00.png"
    arguments = ("predict", image, "--model", trained, "--top", top)
    (row,) = predicted(cifarlab(*arguments, "--json"))
    values = [choice["probability"] for choice in row["top"]]
    assert len(values) == shown
    assert values == sorted(values, reverse=True)
    text = cifarlab(*arguments).out
    assert sum(f"{name} " in text for name in ("blue", "green", "red")) >= 1


def test_the_table_names_image_class_and_probability(cifarlab, trained, photos, monkeypatch):
    monkeypatch.chdir(photos)
    result = cifarlab("predict", "red/00.png", "blue/00.png", "--model", trained)
    assert result.err == ""
    rows = [line.split() for line in result.out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["red/00.png", "red"], ["blue/00.png", "blue"]]
    assert all(row[2].endswith("%") for row in rows)


def test_resize_modes_reach_the_images(cifarlab, trained, tmp_path):
    halves = np.zeros((20, 60, 3), np.uint8)
    halves[:, :20, 0] = halves[:, 40:, 0] = 255
    halves[:, 20:40, 2] = 255
    Image.fromarray(halves).save(tmp_path / "wide.png")
    classifier = Classifier.load(trained)
    for mode in ("squash", "crop", "pad"):
        arguments = ("predict", "wide.png", "--model", trained, "--resize-mode", mode, "--json")
        (row,) = predicted(cifarlab(*arguments))
        wanted = classifier.image_format.resized_by(mode)
        pixels = read_as(wanted, tmp_path / "wide.png")
        expected = dict(classifier.predict(pixels).top(3)[0])
        found = {choice["class"]: choice["probability"] for choice in row["top"]}
        assert found == pytest.approx(expected, abs=1e-6)
    wrong = cifarlab("predict", "wide.png", "--model", trained, "--resize-mode", "melt")
    assert wrong.code == 2
    assert "squash, crop, pad" in wrong.failure()


def test_library_command_and_array_agree(cifarlab, trained, photos):
    path = photos / "green" / "07.png"
    (row,) = predicted(cifarlab("predict", path, "--model", trained, "--json"))
    classifier = Classifier.load(trained)
    by_path = dict(classifier.predict(path).top(3)[0])
    by_array = dict(classifier.predict(read_as(classifier.image_format, path)).top(3)[0])
    by_command = {choice["class"]: choice["probability"] for choice in row["top"]}
    assert by_path == by_array == by_command


@pytest.mark.parametrize("name", ["best.keras", "best.h5"])
def test_a_model_file_serves_as_well_as_its_run(cifarlab, trained, photos, name):
    image = photos / "red" / "00.png"
    of_run = predicted(cifarlab("predict", image, "--model", trained, "--json"))
    assert predicted(cifarlab("predict", image, "--model", trained / name, "--json")) == of_run


def test_without_a_model_the_newest_run_answers(cifarlab, trained, photos, monkeypatch):
    monkeypatch.chdir(trained.parents[1])
    assert classes(cifarlab("predict", photos / "red" / "00.png", "--json")) == ["red"]


def test_bad_images_are_listed_and_the_others_classified(cifarlab, trained, photos, tmp_path):
    whole = (photos / "red" / "00.png").read_bytes()
    bad = {
        "half.png": whole[: len(whole) // 2],
        "page.png": b"<!DOCTYPE html><html><body>404</body></html>",
        "empty.jpg": b"",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    good = photos / "red" / "00.png"
    arguments = ("predict", "half.png", good, *bad, "missing.png", "--model", trained)
    result = cifarlab(*arguments, "--json")
    assert result.code == 3
    assert classes(result) == ["red"]
    listed = json.loads(result.out)["bad"]
    assert [line.split(":")[0] for line in listed] == ["half.png", *bad, "missing.png"]
    lines = result.err.splitlines()
    assert [line for line in lines[:-1] if not line.startswith("cifarlab: bad image: ")] == []
    assert len(lines) == 6
    assert "5 of 6 images" in lines[-1]
    assert "--skip-bad" in lines[-1]
    assert "PNG, JPEG, WEBP, GIF, BMP" in next(line for line in lines if "page.png" in line)
    accepted = cifarlab(*arguments, "--json", "--skip-bad")
    assert (accepted.code, accepted.out) == (0, result.out)


def test_only_bad_images_make_no_table(cifarlab, trained, tmp_path):
    (tmp_path / "page.png").write_text("<html>")
    result = cifarlab("predict", "page.png", "--model", trained)
    assert (result.code, result.out) == (3, "")


def test_an_empty_folder_exits_3(cifarlab, trained, tmp_path):
    (tmp_path / "empty").mkdir()
    result = cifarlab("predict", "empty", "--model", trained)
    assert result.code == 3
    assert "empty: no images" in result.failure()


def test_a_nul_in_a_name_is_a_bad_image(cifarlab, trained):
    result = cifarlab("predict", "a\0b.png", "--model", trained)
    assert result.code == 3
    assert "\0" not in result.err
    assert len(result.err.splitlines()) == 2


@pytest.mark.parametrize("name", [b"new\nline.png", b"esc\x1b[31m.png", b"latin-\xe9.png"])
def test_odd_names_break_no_line_and_no_output(cifarlab, trained, photos, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    try:
        path.write_bytes((photos / "red" / "00.png").read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    table = cifarlab("predict", path.name, "--model", trained)
    assert table.code == 0
    assert len(table.out.splitlines()) == 3
    assert "\x1b" not in table.out
    table.out.encode("utf-8")
    as_json = cifarlab("predict", path.name, "--model", trained, "--json")
    assert as_json.out.isascii()
    assert predicted(as_json)[0]["image"] == path.name


def test_without_any_run_the_model_in_the_package_answers(cifarlab, photos):
    result = cifarlab("predict", photos / "red" / "00.png", "--json")
    assert result.code == 0
    assert result.err.splitlines() == ["model: cifar10"]
    assert classes(result)[0] in cifar.CIFAR10_CLASSES


def test_with_runs_the_newest_one_answers(cifarlab, trained, photos, tmp_path):
    shutil.copytree(trained, tmp_path / "runs" / "mine-1")
    result = cifarlab("predict", photos / "red" / "00.png", "--json")
    assert result.err.splitlines() == ["model: runs/mine-1"]
    assert classes(result) == ["red"]


def test_a_folder_called_like_the_model_in_the_package_does_not_hide_it(cifarlab, photos):
    Path("cifar10").mkdir()
    assert cifarlab("predict", photos / "red" / "00.png").code == 0


def written(path: str = "out.csv") -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_has_a_row_for_each_file_bad_ones_included(cifarlab, trained, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "mine")
    Path("mine/red/bad.png").write_text("<html>")
    result = cifarlab("predict", "mine", "--model", trained, "-o", "out.csv")
    assert result.code == 3
    assert "1 of 61 images" in result.err.splitlines()[-1]
    rows = written()
    assert len(rows) == 61
    (bad,) = [row for row in rows if row["error"]]
    assert bad["path"] == "mine/red/bad.png"
    assert bad["error"].startswith("not an image that can be read")
    assert bad["class"] == bad["confidence"] == bad["sure"] == ""
    good = [row for row in rows if not row["error"]]
    assert all(row["class"] == row["path"].split("/")[1] for row in good)
    shown = result.out.splitlines()
    assert shown[-1].endswith("out.csv")
    assert all(len(line) <= 80 for line in shown[:-1])
    accepted = cifarlab("predict", "mine", "--model", trained, "-o", "again.csv", "--skip-bad")
    assert accepted.code == 0


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_an_existing_table_is_refused_or_gone_on_with(cifarlab, trained, photos, name):
    call = ("predict", photos, "--model", trained, "-o", name)
    assert cifarlab("predict", photos / "red", *call[2:]).code == 0
    before = Path(name).read_bytes()
    refused = cifarlab(*call)
    assert refused.code == 2
    assert "--append" in refused.failure()
    assert Path(name).read_bytes() == before
    added = json.loads(cifarlab(*call, "--append", "--json").out)
    assert (added["skipped"], sum(added["classified"].values())) == (20, 40)
    nothing = json.loads(cifarlab(*call, "--append", "--json").out)
    assert (nothing["skipped"], nothing["classified"]) == (60, {})


def test_errors_come_before_the_work(cifarlab, trained, photos):
    good = ("predict", photos, "--model", trained)
    cases = {
        "a table ends in .csv, .jsonl, .parquet": ("-o", "out.xlsx"),
        "choose a directory that exists": ("-o", "nowhere/out.csv"),
        "name it with -o": ("--append",),
        "squash, crop, pad": ("-o", "out.csv", "--resize-mode", "melt"),
        "list.txt: cannot be read": ("-o", "out.csv", "--from-file", "list.txt"),
        "choose a folder outside": ("-o", "out.csv", "--move-to", photos / "sorted"),
        "stdin can be read once": ("-o", "out.csv", "--from-file", "-", "-"),
    }
    for message, arguments in cases.items():
        result = cifarlab(*good, *arguments)
        assert result.code in (2, 3, 6)
        assert message in result.failure()
        assert not Path("out.csv").exists()
    assert "--from-file" in cifarlab("predict").failure()
    assert "no such run" in cifarlab("predict", photos, "--model", "no", "-o", "out.csv").failure()


def test_another_model_or_other_columns_add_nothing(cifarlab, trained, photos):
    call = ("predict", photos / "red", "--model", trained, "-o", "out.csv")
    assert cifarlab(*call).code == 0
    before = Path("out.csv").read_bytes()
    changes = {
        "other columns": ("--top", "2"),
        "rows are of model": ("--resize-mode", "crop"),
        "rows are of model ": ("--model", "cifar10"),
    }
    for message, arguments in changes.items():
        result = cifarlab(*call, "--append", *arguments)
        assert result.code == 3
        assert message in result.failure()
        assert Path("out.csv").read_bytes() == before


def test_the_resize_mode_is_the_models_own_unless_given(cifarlab, trained, tmp_path):
    whole, path = Classifier.load(trained), tmp_path / "crop.keras"
    save_model(whole.model, path, class_names=whole.class_names, recipe={}, resize_mode="crop")
    halves = np.zeros((20, 60, 3), np.uint8)
    halves[:, 20:40, 2] = 255
    Image.fromarray(halves).save("wide.png")
    (own,) = predicted(cifarlab("predict", "wide.png", "--model", path, "--json"))
    (crop,) = predicted(
        cifarlab("predict", "wide.png", "--model", path, "--json", "--resize-mode", "crop")
    )
    (squash,) = predicted(
        cifarlab("predict", "wide.png", "--model", path, "--json", "--resize-mode", "squash")
    )
    assert own["top"] == crop["top"] != squash["top"]


def test_patterns_lists_and_folders_find_the_same_images(cifarlab, trained, photos, monkeypatch):
    monkeypatch.chdir(photos.parent)
    name = photos.name
    names = sorted(str(path) for path in Path(name).rglob("0*.png"))
    lines = photos.parent / "list.txt"
    lines.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*names, ""]).encode())
    ways = [
        (f"{name}/**/0*.png",),
        (f"{name}/*/0*.png",),
        ("--from-file", lines),
        ("--from-file", "-"),
        names,
    ]
    for way in ways:
        nuls = "\0".join(names).encode()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(nuls)))
        rows = predicted(cifarlab("predict", *way, "--model", trained, "--json"))
        assert [row["image"] for row in rows] == names
    missing = cifarlab("predict", f"{name}/**/*.gif", "--model", trained)
    assert missing.code == 3
    assert "fit this pattern" in missing.failure()


def test_copies_are_sorted_into_class_folders(cifarlab, trained, photos):
    call = ("predict", photos, "--model", trained, "--move-to", "sorted")
    before = contents(photos)
    assert cifarlab(*call).code == 0
    assert contents(photos) == before
    found = {Path(name).parts[0] for name in contents(Path("sorted"))}
    assert found == {"red", "green", "blue"}
    assert contents(Path("sorted")) == before
    assert cifarlab(*call).code == 0
    assert contents(Path("sorted")) == before


def test_what_the_model_is_not_sure_of_has_a_folder_of_its_own(cifarlab, trained, photos, tmp_path):
    whole, path = Classifier.load(trained), tmp_path / "some.keras"
    save_model(whole.model, path, class_names=whole.class_names, recipe={}, not_sure_below=2.0)
    assert cifarlab("predict", photos / "red", "--model", path, "--move-to", "sorted").code == 0
    assert [place.name for place in Path("sorted").iterdir()] == ["not sure"]


def test_an_interruption_keeps_what_was_done(cifarlab, trained, photos, monkeypatch):
    whole = [row["path"] for row in written_by(cifarlab, trained, photos, "whole.csv")]
    predict = Classifier.predict_proba
    calls = []

    def interrupted(self, images):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(self, images)

    monkeypatch.setattr(Classifier, "predict_proba", interrupted)
    batched = partial(answers.answers, batch_size=16)
    monkeypatch.setattr(files, "answers", lambda *given: batched(*given[:3]))
    call = ("predict", photos, "--model", trained, "-o", "out.csv")
    result = cifarlab(*call)
    assert result.code == 130
    assert "--append" in result.failure()
    assert [row["path"] for row in written()] == whole[:32]
    assert cifarlab(*call, "--append").code == 0
    assert [row["path"] for row in written()] == whole


def written_by(cifarlab, trained, photos, name: str) -> list[dict[str, str]]:
    assert cifarlab("predict", photos, "--model", trained, "-o", name).code == 0
    return written(name)


@posix_only
def test_after_a_kill_the_same_command_completes_the_table(trained, photos, tmp_path):
    for number in range(20):
        shutil.copytree(photos, tmp_path / "many" / str(number))
    call = ["predict", str(tmp_path / "many"), "--model", str(trained), "-o", "out.csv", "--append"]
    command = [sys.executable, "-m", "cifarlab", *call]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # As soon as there is one whole batch.
    while child.poll() is None and not (
        Path("out.csv").exists() and Path("out.csv").stat().st_size > 1000
    ):
        time.sleep(0.01)
    child.kill()
    child.wait()
    assert subprocess.run(command, check=True, capture_output=True).returncode == 0
    paths = [row["path"] for row in written()]
    assert len(paths) == len(set(paths)) == 1200
