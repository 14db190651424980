"""``cifarlab.demo()``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from cifarlab.classifier import Classifier
from cifarlab.errors import InputError, UsageError
from cifarlab.serving.page.demo import demo
from serving.page.steps import connections
from support import one_line

pytest_plugins = ["serving.page.fixtures"]
LOCAL = {"127.0.0.1", "localhost", "0.0.0.0", "::1"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is printed; something that Gradio imports closes pytest's own capture."""
    lines: list[str] = []
    monkeypatch.setattr("cifarlab.serving.page.demo.print", lines.append, raising=False)
    return lines


def test_it_serves_the_page_of_a_run_and_can_be_closed(
    brightness_run: Path, said: list[str]
) -> None:
    httpx: Any = pytest.importorskip("httpx")
    with connections() as made:
        page = demo(brightness_run, inline=False)
        try:
            answer = httpx.get(page.local_url)
            assert answer.status_code == 200
            assert "What is in this image?" in answer.text
            assert page.share_url is None
            with pytest.raises(UsageError) as error:
                demo(brightness_run, inline=False, port=page.server_port)
            assert str(page.server_port) in one_line(error)
        finally:
            page.close(verbose=False)
    assert set(made) <= LOCAL
    assert page.local_url in said[0]
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.local_url)


def test_the_newest_run_comes_first_and_then_the_pretrained_model(
    brightness_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    demo(inline=False).close(verbose=False)
    assert said[0].startswith("cifar10: ")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "bright-1").symlink_to(brightness_run)
    demo(inline=False).close(verbose=False)
    assert said[1].startswith("bright-1: ")
    demo(Classifier.load(brightness_run), inline=False).close(verbose=False)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run or model file"):
        demo(tmp_path / "nothing.keras")


def test_without_gradio_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "gradio" else real(name)
    )
    with pytest.raises(UsageError) as error:
        demo()
    assert "gradio" in one_line(error)
    assert "the extra 'serve'" in one_line(error)
    assert "pip install 'cifarlab[serve]' (from a checkout: pip install '.[serve]')" in one_line(
        error
    )
