"""Every image below a folder is listed, in one order."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from cifarlab.data.listing import list_images
from cifarlab.errors import InputError


@pytest.fixture(autouse=True)
def _no_unexpected_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_images_are_listed_in_one_order_below_any_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a/z.jpg", "a.PNG", "c/d/e.gif", ".hidden.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in list_images(tmp_path)] == [
        "a/z.jpg",
        "a.PNG",
        "b.png",
        "c/d/e.gif",
    ]
    assert list_images(str(tmp_path)) == list_images(tmp_path)


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    assert list_images(tmp_path) == ()


def test_listing_what_is_no_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "absent")
