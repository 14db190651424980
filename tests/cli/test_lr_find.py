"""``cifarlab lr-find``: what it prints and what it writes."""

from __future__ import annotations

import json

import pytest
from typer.models import CommandInfo

from cifarlab.cli import main
from cifarlab.cli.lr_find import lr_find


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The verb, also while the command line does not list it."""
    known = main.app.registered_commands
    if all(command.name != "lr-find" for command in known):
        verb = CommandInfo(name="lr-find", callback=lr_find)
        monkeypatch.setattr(main.app, "registered_commands", [*known, verb])


def test_it_says_what_to_do_next_within_80_columns(cifarlab, photos, tmp_path):
    result = cifarlab("lr-find", "baseline", "--data", photos, "--steps", "30")
    assert result.code == 0, result.err
    plot = tmp_path / "lr_find.png"
    assert plot.read_bytes().startswith(b"\x89PNG")
    lines = result.out.splitlines()
    assert [line for line in lines if len(line) > 80 and str(tmp_path) not in line] == []
    assert f"  plot              {plot}" in lines
    suggestion = next(line.split()[1] for line in lines if "suggestion  " in line)
    assert lines[-1] == f"  cifarlab train baseline --lr {suggestion}"
    assert 1e-6 <= float(suggestion) < 0.1


def test_json_is_one_document_and_the_same_for_a_seed(cifarlab, photos, tmp_path):
    arguments = ("lr-find", "baseline", "--data", photos, "--steps", "20", "--json")
    first = cifarlab(*arguments, "-o", "a.png", "-b", "8")
    found = json.loads(first.out)
    assert found["plot"] == str(tmp_path / "a.png")
    assert (found["recipe"], found["dataset"]) == ("baseline", "photos")
    assert len(found["rates"]) == len(found["losses"])
    assert found["tenth_of_minimum"] == found["at_minimum"] / 10
    assert cifarlab(*arguments, "-o", "a.png", "-b", "8").out == first.out


def test_a_model_file_is_tested_and_left_alone(cifarlab, photos, trained):
    before = (trained / "best.keras").read_bytes()
    model = trained / "best.keras"
    result = cifarlab("lr-find", model, "--data", photos, "--steps", "20", "--json")
    # A trained model has little left to learn: that its loss never falls is an answer too.
    assert result.code in (0, 2), result.err
    assert (trained / "best.keras").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--steps", "5"), 2),
        (("--low", "1", "--high", "0.1"), 2),
        (("-o", "plot.jpg"), 2),
        (("-o", "no/such/place.png"), 6),
    ],
)
def test_wrong_calls_take_one_line(cifarlab, photos, arguments, code, tmp_path):
    result = cifarlab("lr-find", "baseline", "--data", photos, *arguments)
    assert result.code == code
    result.failure()
    assert list(tmp_path.glob("*.png")) == []


def test_an_unknown_recipe_is_named(cifarlab, photos):
    result = cifarlab("lr-find", "nosuch", "--data", photos)
    assert result.code == 2
    assert "nosuch" in result.failure()
