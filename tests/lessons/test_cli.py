"""``cifarlab lesson`` on a command line of its own."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from cifarlab.cli.lesson import lesson
from cifarlab.data import catalog
from cifarlab.errors import ResourceError, UsageError
from cifarlab.lessons import LESSONS
from lessons.made_up import shapes

SMALL = ("--images", "40", "--epochs", "1", "--seeds", "1", "--device", "cpu")


@pytest.fixture
def run(monkeypatch, tmp_path):
    app = typer.Typer()
    app.command()(lesson)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(catalog, "load_dataset", lambda *_, **__: shapes())

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_without_a_name_the_lessons_are_listed(run):
    shown = run().stdout
    assert all(name in shown for name in LESSONS)
    assert max(map(len, shown.splitlines())) <= 80
    assert list(json.loads(run("--json").stdout)) == list(LESSONS)


def test_an_unknown_name_lists_the_lessons(run):
    with pytest.raises(UsageError, match="scaling, early-stopping"):
        run("magic")


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_prints_and_draws(name, run, tmp_path):
    shown = run(name, *SMALL).stdout
    image = tmp_path / f"lesson_{name}.png"
    assert image.read_bytes().startswith(b"\x89PNG")
    lines = shown.splitlines()
    assert lines[-1] == f"image: {image}"
    assert f"{name} on shapes10: 40 images to train on, 40 to measure on," in lines
    assert max(map(len, lines[:-1])) <= 80


def test_json_has_every_number_and_nothing_else(run, tmp_path):
    result = run("early-stopping", *SMALL, "--json", "-o", tmp_path / "a.png")
    document = json.loads(result.stdout)
    assert document["setup"]["images"] == 40
    assert len(document["variants"]["to the end"][0]["history"]) == 1
    assert document["image"] == str(tmp_path / "a.png")
    assert document["found"]


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [("a.jpg", UsageError, "ends in .png"), ("no/such/a.png", ResourceError, "no/such")],
)
def test_an_image_that_cannot_be_written_is_noticed_before_the_work(output, kind, message, run):
    with pytest.raises(kind, match=message):
        run("scaling", "-o", output)


@pytest.mark.parametrize("option", ["--seeds", "--epochs", "--images"])
def test_a_number_below_one_is_a_usage_error(option, run):
    with pytest.raises(UsageError, match=f"{option} is 0"):
        run("scaling", option, "0")
