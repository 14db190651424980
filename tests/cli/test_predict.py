"""``cifarlab predict``: from files of any size, folders and stdin to classes."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data import cifar
from cifarlab.data.image import read_image
from cifarlab.saving.model_file import save_model


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
    monkeypatch.setattr(sys.modules["cifarlab.cli.predict"], "CHUNK", 7)
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
        pixels = read_image(tmp_path / "wide.png", resize_mode=mode)
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
    by_array = dict(classifier.predict(read_image(path)).top(3)[0])
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
