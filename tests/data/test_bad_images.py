"""Many bad images are told in few words, and all of them are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.bad_images import by_reason, in_one_line
from cifarlab.data.catalog import load_dataset
from cifarlab.errors import InputError


def test_each_reason_is_told_once_with_its_count_and_two_names() -> None:
    bad = [f"{i}.png: empty file; replace it" for i in range(12)] + ["x.png: a text"]
    assert by_reason(bad) == [
        "12 images (0.png, 1.png and 10 more): empty file; replace it",
        "x.png: a text",
    ]


def test_many_reasons_are_cut() -> None:
    line = in_one_line([f"{i}.png: reason {i}" for i in range(12)])
    assert line.count("reason ") == 5
    assert line.endswith(" | and 7 more reasons")


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("skip_bad", [True, False])
def test_where_all_are_bad_they_are_named(tmp_path: Path, skip_bad: bool) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(12):
            (tmp_path / name / f"{number}.png").write_text("not an image")
    with pytest.raises(InputError) as raised:
        load_dataset(tmp_path, skip_bad=skip_bad)
    message = str(raised.value)
    assert "24 images (" in message
    assert "cat/0.png" in message.replace("\\", "/")
    assert message.count("not an image that can be read") == 1


@pytest.mark.filterwarnings("ignore:.*left out")
def test_where_a_class_is_all_bad_its_images_are_named(tmp_path: Path, some_files) -> None:
    (tmp_path / "fox").mkdir()
    (tmp_path / "fox" / "1.png").write_text("not an image")
    some_files(tmp_path, ("cat", "dog"))
    with pytest.raises(InputError, match=r"class 'fox' has no good images .*1\.png: not an image"):
        load_dataset(tmp_path, skip_bad=True)


@pytest.fixture
def some_files():
    from PIL import Image

    def make(root: Path, names: tuple[str, ...]) -> None:
        for level, name in enumerate(names):
            (root / name).mkdir()
            for number in range(4):
                Image.new("RGB", (16, 16), (level, number, 9)).save(root / name / f"{number}.png")

    return make
