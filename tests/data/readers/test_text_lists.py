"""Lists of an image and its class a line label flat images; texts that are no lists do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, classes, found, made, write

IMAGES = [f"img/a {i}.png" for i in range(8)]
WORDS = ("golden retriever", "cat")


def lines(pattern: str, numbers: range = range(8)) -> str:
    return "".join(
        pattern.format(i=i, label=i % 2, word=("dog", "cat")[i % 2], words=WORDS[i % 2]) + "\n"
        for i in numbers
    )


@pytest.mark.parametrize(
    ("name", "pattern", "names"),
    [
        ("train.txt", "img/a {i}.png {label}", ("0", "1")),
        ("train.txt", "a {i}.png {word}", ("cat", "dog")),
        ("labels.txt", "img/a {i}.png\t{label}", ("0", "1")),
        ("list.txt", "img/a {i}.png, {word}", ("cat", "dog")),
        ("list.txt", "img/a {i}.png;{words}", ("cat", "golden retriever")),
        ("gt.txt", "{label} a {i}.png", ("0", "1")),
        ("train.txt", "a {i} {word}", ("cat", "dog")),
        ("train.lst", "{i}\t{label}\timg/a {i}.png", ("0", "1")),
        ("train.list", "C:\\photos\\img\\a {i}.png {word}", ("cat", "dog")),
        ("lists/all.txt", "# comment\n../img/a {i}.png {word}", ("cat", "dog")),
    ],
)
def test_lines_of_image_and_class_are_read_and_found_again(
    tmp_path: Path, name: str, pattern: str, names: tuple[str, ...]
) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / name, lines(pattern))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == names
    assert set(classes(answer)["train"]) == set(IMAGES)
    assert len(set(answer.splits["train"].labels[::2])) == 1
    assert any("an image and its class a line" in note for note in answer.notes)
    assert classes(folder.find(tmp_path, LoadOptions(**answer.options))) == classes(answer)


def test_the_names_of_the_lists_divide_the_images(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "train.txt", lines("a {i} {label}", range(4)))
    write(tmp_path / "val.txt", lines("a {i} {label}", range(4, 6)))
    write(tmp_path / "trainval.txt", lines("a {i} {label}", range(6)))
    write(tmp_path / "test.txt", lines("a {i} {label}", range(6, 8)))
    write(tmp_path / "classes.txt", "dog\ncat\n")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert {split: len(samples) for split, samples in answer.splits.items()} == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    assert answer.class_names == ("dog", "cat")
    assert not any("not used" in note for note in answer.notes)


def test_parts_of_a_list_are_joined(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "a.txt", lines("a {i}.png {word}", range(3)))
    write(tmp_path / "b.txt", lines("a {i}.png {word}", range(3, 8)))
    assert len(found(folder.find(tmp_path, DEFAULTS)).splits["train"]) == 8


@pytest.mark.parametrize(
    "text",
    [
        "Photos of cats and dogs\n",
        "".join(f"img/a {i}.png {i + 1}\n" for i in range(8)),
        "".join(f"a {i}.png 1 2 {i % 2}\n" for i in range(8)),
        "".join(f"a {i}.png 1\n" for i in range(8)),
        "\0\1\2",
        "",
    ],
)
def test_other_texts_are_none(tmp_path: Path, text: str) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "train.txt", text)
    assert isinstance(folder.find(tmp_path, DEFAULTS), Rejected)


def test_class_names_whose_numbers_are_those_of_images_label_none(tmp_path: Path) -> None:
    made(tmp_path, *(f"{i}.png" for i in range(8)))
    write(tmp_path / "labels.txt", "0 cat\n1 dog\n")
    assert isinstance(folder.find(tmp_path, DEFAULTS), Rejected)


def test_a_list_that_contradicts_the_folders_is_asked_about(tmp_path: Path) -> None:
    paths = [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4)]
    made(tmp_path, *paths)
    write(tmp_path / "train.txt", "".join(f"{path} {i % 2}\n" for i, path in enumerate(paths)))
    with pytest.raises(InputError, match="which do not agree; say which with --class-folder"):
        folder.find(tmp_path, DEFAULTS)


def test_a_list_that_agrees_with_the_folders_keeps_their_words(tmp_path: Path) -> None:
    paths = [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4)]
    made(tmp_path, *paths)
    write(
        tmp_path / "train.txt", "".join(f"{p} {int(p[0] == 'd')}\n" for p in paths if "3" not in p)
    )
    write(tmp_path / "test.txt", "".join(f"{p} {int(p[0] == 'd')}\n" for p in paths if "3" in p))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("cat", "dog")
    assert len(answer.splits["test"]) == 2
    assert classes(folder.find(tmp_path, LoadOptions(**answer.options))) == classes(answer)


def test_labels_in_a_format_that_is_not_read_are_named_with_the_remedy(tmp_path: Path) -> None:
    made(tmp_path, *(f"jpg/image_{i}.png" for i in range(8)), **{"imagelabels.mat": b"MATLAB"})
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "imagelabels.mat may hold the classes, and cannot be read; write a CSV" in answer.reason
