"""``cifarlab data show``: one page about a dataset."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def test_the_page_is_written_and_named(cifarlab, photos):
    result = cifarlab("data", "show", photos)
    assert result.code == 0
    assert result.out.splitlines() == [str(Path("dataset.html").absolute())]
    html = Path("dataset.html").read_text(encoding="utf-8")
    assert all(f">{name}<" in html for name in ("red", "green", "blue"))


def test_bad_files_do_not_stop_it(cifarlab, broken):
    result = cifarlab("data", "show", broken(2), "-o", "page.html", "--json")
    assert result.code == 0
    assert json.loads(result.out) == {"page": str(Path("page.html").absolute())}


def test_it_is_opened_on_request(cifarlab, photos, monkeypatch):
    opened = []
    monkeypatch.setattr(typer, "launch", opened.append)
    assert cifarlab("data", "show", photos, "--open").code == 0
    assert opened == [Path("dataset.html").absolute().as_uri()]


def test_errors_take_one_line(cifarlab, photos):
    assert cifarlab("data", "show", "nowhere/").code == 2
    result = cifarlab("data", "show", photos, "-o", "nowhere/page.html")
    assert result.code == 6
    assert "nowhere" in result.failure()
