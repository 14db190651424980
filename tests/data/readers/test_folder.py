"""A folder of images is understood without being decoded, complete and the same every time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, classes, contents, found, made, png, write


def refused(path: Path, *reasons: str, options: LoadOptions = DEFAULTS) -> None:
    answer = folder.find(path, options)
    assert isinstance(answer, Rejected)
    assert "\n" not in answer.reason
    for reason in reasons:
        assert reason in answer.reason


def test_class_folders_become_labelled_images(tmp_path: Path) -> None:
    names = [f"{c}/{i}.png" for c in ("bird", "cat", "dog") for i in range(3)]
    root = made(tmp_path / "pets", *names, "cat/deeper/still/x.png")
    answer = found(folder.find(root, DEFAULTS))
    assert (answer.name, answer.source) == ("pets", str(root))
    assert answer.class_names == ("bird", "cat", "dog")
    assert set(answer.splits) == {"train"}
    samples = answer.splits["train"]
    assert samples.names == tuple(sorted([*names, "cat/deeper/still/x.png"]))
    assert samples.labels.dtype == np.int64
    for name, label, stored in zip(samples.names, samples.labels, samples.contents(), strict=True):
        assert name.startswith(answer.class_names[label])
        assert stored == root / name
    assert list(samples.contents()) == list(samples.contents())
    assert set(answer.files) == {root / name for name in samples.names}
    assert contents(answer)["train"]["bird/1.png"] == png(1)
    assert classes(folder.find(root, LoadOptions(**answer.options))) == classes(answer)


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "dev"])
def test_split_folders_are_kept_as_they_are(tmp_path: Path, validation: str) -> None:
    tops = {"train": 3, validation: 2, "test": 1}
    made(tmp_path, *(f"{t}/{c}/{i}.png" for t, n in tops.items() for c in "ab" for i in range(n)))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert {s: len(v) for s, v in answer.splits.items()} == {"train": 6, "validation": 4, "test": 2}


def test_a_class_that_a_test_folder_lacks_keeps_its_label(tmp_path: Path) -> None:
    made(tmp_path, "train/a/1.png", "train/b/1.png", "test/b/2.png")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert classes(answer)["test"] == {"test/b/2.png": "b"}


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_of_one_or_two_images_is_found(tmp_path: Path, count: int) -> None:
    made(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(count)))
    assert len(found(folder.find(tmp_path, DEFAULTS)).splits["train"]) == 2 * count


def test_what_is_no_folder_or_holds_no_images_is_not_this_format(tmp_path: Path) -> None:
    assert folder.find(tmp_path / "absent", DEFAULTS) == Rejected(reason="")
    assert folder.find(write(tmp_path / "a.png", b"x"), DEFAULTS) == Rejected(reason="")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no image files")


def test_images_that_are_all_links_name_the_option(tmp_path: Path) -> None:
    store = made(tmp_path / "store", "1.png", "2.png")
    for number, name in ((1, "cat"), (2, "dog")):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").symlink_to(store / f"{number}.png")
    refused(tmp_path / "data", "holds no image files (2 left out", "--follow-links")
    answer = found(folder.find(tmp_path / "data", LoadOptions(follow_links=True)))
    assert contents(answer) == {"train": {"cat/1.png": png(0), "dog/1.png": png(1)}}


def test_one_class_folder_is_refused_with_every_way_out(tmp_path: Path) -> None:
    refused(made(tmp_path, "a/1.png"), "holds 1 class folders", "--labels FILE", "--label-pattern")


def test_a_class_without_images_is_refused(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "eel").mkdir()
    refused(tmp_path, "eel: holds no images")


def test_splits_that_disagree_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "train/a/1.png", "train/b/1.png", "test/wolf/2.png", "test/a/1.png")
    refused(tmp_path, "class 'wolf' is not among the training classes")


def test_nested_folders_name_the_option_and_obey_it(tmp_path: Path) -> None:
    made(tmp_path, "2024/cat/1.png", "2024/dog/1.png", "2025/cat/1.png", "2025/dog/1.png")
    refused(tmp_path, "say which with --class-folder first or last")
    last = found(folder.find(tmp_path, LoadOptions(class_folder="last")))
    assert last.class_names == ("cat", "dog")


def test_a_class_name_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    refused(made(tmp_path, "cat/1.png", "do\ng/1.png"), r"'do\ng' has no printable name; rename")


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    names = [f"train/{c}/{i}.png" for c in ("cat", "dog") for i in range(2)]
    made(tmp_path, *names, "raw/1.png", "__MACOSX/1.png", **{"train/cat/notes.txt": "hello"})
    notes = found(folder.find(tmp_path, DEFAULTS)).notes
    assert notes == (
        f"{tmp_path}/__MACOSX: left out, a system folder",
        "left out 1 files that are not images, such as notes.txt",
        "only the splits are read; left out: raw",
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_special_files_are_not_opened(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    os.mkfifo(tmp_path / "labels.csv")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert set(classes(answer)["train"]) == {"cat/1.png", "dog/1.png"}
    assert sum("not an ordinary file" in note for note in answer.notes) == 2
    with pytest.raises(InputError, match="no such file"):
        folder.find(tmp_path, LoadOptions(labels="labels.csv"))


def test_unusual_names_are_kept(tmp_path: Path) -> None:
    names = ("Ärger", "наука", "猫 🐈")
    made(tmp_path, *(f"{name}/1.png" for name in names), "猫 🐈/new\nline.png")
    odd = os.fsdecode(os.fsencode(tmp_path / "猫 🐈") + b"/\xff\xfe.png")
    write(Path(odd), png(9))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == tuple(sorted(names))
    read = contents(answer)["train"]
    assert read["猫 🐈/\\xff\\xfe.png"] == png(9)
    assert "猫 🐈/new\nline.png" in read
    "".join(read).encode()


@pytest.mark.parametrize(("depth", "count"), [(300, 3), (420, 2)])
def test_very_deep_folders_are_read_or_left_out_and_said(
    tmp_path: Path, depth: int, count: int
) -> None:
    made(tmp_path, "cat/1.png", "dog/1.png", "/".join(["cat", *["d"] * depth, "deep.png"]))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert len(answer.splits["train"]) == count
    assert any("400 folders deep" in note for note in answer.notes) == (count == 2)


def test_folders_without_images_are_no_classes_and_said_once(tmp_path: Path) -> None:
    """Caltech-101 as it is unpacked."""
    images = [f"101_ObjectCategories/{c}/{i}.jpg" for c in ("ant", "cup") for i in range(2)]
    made(tmp_path, *images, **{f"Annotations/{c}/1.mat": "x" for c in ("ant", "cup")})
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("ant", "cup")
    assert "folders without images are no classes: Annotations" in answer.notes


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("a/1.tga", "b/2.tga"), "holds 2 .tga files, which are not read; convert"),
        (("a/1.dcm", "readme.txt"), "holds 1 .dcm file, which is not read; write"),
        (("train.zip", "test.zip"), "the archives of splits, test.zip, train.zip; unpack each"),
        (("one.zip", "two.zip"), "one.zip, two.zip; give the path of one"),
    ],
)
def test_files_that_are_not_read_are_counted_with_the_remedy(
    tmp_path: Path, files: tuple[str, ...], reason: str
) -> None:
    for name in files:
        write(tmp_path / name, b"x")
    refused(tmp_path, reason)
