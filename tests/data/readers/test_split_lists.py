"""Lists of splits beside the images are used where they are clear, and never passed over."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from cifarlab.data.catalog import find
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.samples import Found
from data.readers.places import DEFAULTS, classes, found, made, png, write

CLASSES = ("cat", "dog")
PATHS = [f"{c}/{i}.png" for c in CLASSES for i in range(5)]
# What every list here says: the last of each class is tested on, the one before is chosen by.
SPLIT = {0: "train", 1: "train", 2: "train", 3: "val", 4: "test"}


def number(path: str) -> int:
    return int(path.partition("/")[2].removesuffix(".png"))


def lines(split: str, pattern: str = "{path}") -> str:
    return "".join(
        pattern.format(path=path, stem=path.removesuffix(".png"), label=path[0] == "d") + "\n"
        for path in PATHS
        if SPLIT[number(path)] == split
    )


def table(head: str, row: str) -> str:
    rows = (
        row.format(
            path=path,
            name=path.partition("/")[0],
            split=SPLIT[number(path)],
            valid=SPLIT[number(path)] == "val",
        )
        for path in PATHS
    )
    return "\n".join([head, *rows])


def numbers(found: Found) -> dict[str, set[int]]:
    """Return the numbers of the images in each split, where the same are of each class."""
    by_split = {s: set(map(number, samples.names)) for s, samples in found.splits.items()}
    assert all(len(samples) == 2 * len(by_split[s]) for s, samples in found.splits.items())
    return by_split


AS_LISTED = {"train": {0, 1, 2}, "validation": {3}, "test": {4}}


def names(*files: str, pattern: str = "{path}") -> dict[str, str]:
    return {file: lines(split, pattern) for file, split in zip(files, SPLITS, strict=True)}


SPLITS = ("train", "val", "test")


@pytest.mark.parametrize(
    "lists",
    [
        names("train.txt", "val.txt", "test.txt"),
        names("train.txt", "val.txt", "test.txt", pattern="{path} {label:d}"),
        names("train.txt", "val.txt", "test.txt", pattern="{path},{label:d}"),
        names("meta/train.txt", "meta/val.txt", "meta/test.txt", pattern="{stem}"),
        names("lists/train_list.txt", "lists/val_list.txt", "lists/test_list.txt"),
        names("TrainImages.txt", "ValImages.txt", "TestImages.txt"),
        names("trainlist01.txt", "vallist01.txt", "testlist01.txt", pattern="{path} 1"),
        names("train.txt", "val.txt", "test.txt", pattern="/home/me/photos/{path}"),
        names("train.txt", "val.txt", "test.txt", pattern="C:\\photos\\{path}"),
        names("train.csv", "val.csv", "test.csv"),
        {"validation_list.txt": lines("val"), "testing_list.txt": lines("test")},
        {"split.csv": table("path,split", "{path},{split}")},
        {"splits.csv": table("file;set", "{path};{split}")},
        {"labels/split.tsv": table("image\tsubset", "{path}\t{split}")},
        {
            "splits.json": "{"
            + ", ".join(f'"{s}": {str(lines(s).split()).replace(chr(39), chr(34))}' for s in SPLITS)
            + "}"
        },
        {
            **names("train.txt", "val.txt", "test.txt"),
            "trainval.txt": lines("train") + lines("val"),
        },
    ],
)
def test_lists_that_are_clear_are_used_said_and_found_again(
    tmp_path: Path, lists: dict[str, str]
) -> None:
    made(tmp_path, *PATHS)
    for name, content in lists.items():
        write(tmp_path / name, content)
    answer = find(tmp_path, DEFAULTS)
    assert answer.class_names == CLASSES
    assert numbers(answer) == AS_LISTED
    said = ("splits as listed in", "(test): an image and its class a line")
    assert any(words in note for note in answer.notes for words in said)
    # Another list must give another dataset in the cache.
    assert {tmp_path / name for name in lists} - {tmp_path / "trainval.txt"} <= set(answer.files)
    assert classes(find(tmp_path, LoadOptions(**answer.options))) == classes(answer)


def test_lists_in_an_archive_are_used(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for index, path in enumerate(PATHS):
            archive.writestr(f"photos/images/{path}", png(index))
        for split in SPLITS:
            archive.writestr(f"photos/meta/{split}.txt", lines(split, "{stem}"))
    answer = find(tmp_path / "photos.zip", DEFAULTS)
    assert {split: len(samples) for split, samples in answer.splits.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }


def test_a_pair_of_numbered_files_is_used(tmp_path: Path) -> None:
    """CUB-200 and NABirds."""
    made(tmp_path, *(f"images/{path}" for path in PATHS))
    write(tmp_path / "images.txt", "".join(f"{i} {path}\n" for i, path in enumerate(PATHS)))
    flags = "".join(f"{i} {int(number(path) < 3)}\n" for i, path in enumerate(PATHS))
    write(tmp_path / "train_test_split.txt", flags)
    answer = find(tmp_path, DEFAULTS)
    assert {split: len(samples) for split, samples in answer.splits.items()} == {
        "train": 6,
        "test": 4,
    }
    (tmp_path / "images.txt").unlink()
    answer = find(tmp_path, DEFAULTS)
    assert set(answer.splits) == {"train"}
    assert any("not used, since images.txt is not beside" in note for note in answer.notes)


def test_a_column_that_says_what_is_validated_on_is_used(tmp_path: Path) -> None:
    made(tmp_path, *PATHS)
    write(tmp_path / "list.csv", table("path,is_valid", "{path},{valid}"))
    assert numbers(find(tmp_path, DEFAULTS)) == {"train": {0, 1, 2, 4}, "validation": {3}}


def test_rows_of_no_known_split_are_left_out_and_counted(tmp_path: Path) -> None:
    made(tmp_path, *PATHS)
    rows = table("path,split", "{path},{split}").replace("val", "unlabeled")
    write(tmp_path / "split.csv", rows)
    answer = find(tmp_path, DEFAULTS)
    assert numbers(answer) == {"train": {0, 1, 2}, "test": {4}}
    assert any("left out 2 images that are listed in no split" in note for note in answer.notes)


def test_lists_of_files_whose_names_tell_the_class_are_used(tmp_path: Path) -> None:
    """Oxford-IIIT Pet, with masks beside the lists."""
    made(tmp_path, *(f"images/{c}_{i}.jpg" for c in CLASSES for i in range(4)))
    made(tmp_path, *(f"annotations/trimaps/{c}_{i}.png" for c in CLASSES for i in range(4)))
    for name, chosen in (("trainval", (0, 1, 2)), ("test", (3,))):
        rows = "".join(f"{c}_{i} {n} 1 1\n" for n, c in enumerate(CLASSES) for i in chosen)
        write(tmp_path / "annotations" / f"{name}.txt", rows)
    answer = find(tmp_path, DEFAULTS)
    assert classes(answer)["test"] == {"images/cat_3.jpg": "cat", "images/dog_3.jpg": "dog"}
    assert len(answer.splits["train"]) == 6
    assert classes(find(tmp_path, LoadOptions(**answer.options))) == classes(answer)


def test_a_table_of_most_images_divides_those_in_class_folders(tmp_path: Path) -> None:
    made(tmp_path, *PATHS, "cat/new.png", "dog/new.png")
    write(tmp_path / "meta.csv", table("path,label,split", "{path},{name},{split}"))
    answer = find(tmp_path, DEFAULTS)
    assert numbers(answer) == AS_LISTED
    assert any("left out 2 images that are listed in no split" in note for note in answer.notes)


def test_a_list_may_take_validation_images_out_of_a_train_folder(tmp_path: Path) -> None:
    made(
        tmp_path, *(f"{s}/{c}/{s}{i}.png" for s in ("train", "test") for c in CLASSES for i in "12")
    )
    write(tmp_path / "val.txt", "cat/train1.png\ndog/train1.png\n")
    answer = find(tmp_path, DEFAULTS)
    assert set(classes(answer)["validation"]) == {"train/cat/train1.png", "train/dog/train1.png"}
    assert {split: len(samples) for split, samples in answer.splits.items()} == {
        "train": 2,
        "validation": 2,
        "test": 4,
    }


@pytest.mark.parametrize(
    ("lists", "why"),
    [
        ({"train.txt": lines("train") + lines("test"), "test.txt": lines("test")}, "is in te"),
        ({"train1.txt": lines("train"), "train2.txt": lines("val")}, "say the same split"),
        ({"train.txt": "cat/0.png\ncat/1.png\n", "test.txt": "dog/0.png\n"}, "images of dog"),
        ({"test.txt": "cat/4.png\nfox/1.png\nfox/2.png\n"}, "'fox/1.png' may be"),
        ({"train.txt": "0.png\n1.png\n", "test.txt": "4.png\n"}, "may be"),
    ],
)
def test_lists_that_are_not_clear_are_said_not_to_be_used(
    tmp_path: Path, lists: dict[str, str], why: str
) -> None:
    made(tmp_path, *PATHS)
    for name, content in lists.items():
        write(tmp_path / name, content)
    answer = find(tmp_path, DEFAULTS)
    assert numbers(answer) == {"train": {0, 1, 2, 3, 4}}
    (note,) = [note for note in answer.notes if "not used" in note]
    assert why in note
    assert str(tmp_path / next(iter(lists))) in note


def test_lists_in_a_format_that_is_not_read_are_named(tmp_path: Path) -> None:
    """Stanford Dogs."""
    made(tmp_path, *PATHS, **{"lists/test_list.mat": "MATLAB 5.0"})
    (note,) = [note for note in find(tmp_path, DEFAULTS).notes if "cannot be read" in note]
    assert "test_list.mat may say which images are in which split" in note


@pytest.mark.parametrize(
    "text", ["How this was trained\n", "3 images were removed.\n", "", "\x00\xff", "#cat/1.png\n"]
)
def test_texts_that_are_no_lists_are_other_files(tmp_path: Path, text: str) -> None:
    made(tmp_path, *PATHS)
    write(tmp_path / "train.txt", text.encode("latin-1"))
    answer = find(tmp_path, DEFAULTS)
    assert set(answer.splits) == {"train"}
    assert "left out 1 files that are not images, such as train.txt" in answer.notes
    assert not any("not used" in note for note in answer.notes)


def test_numbers_of_epochs_are_no_names_of_images(tmp_path: Path) -> None:
    made(tmp_path, *(f"cat/{i}.png" for i in (1, 2, 3)), *(f"dog/{i}.png" for i in (4, 5, 6)))
    write(tmp_path / "train_loss.csv", "epoch,loss\n1,0.5\n2,0.4\n4,0.3\n")
    answer = find(tmp_path, DEFAULTS)
    assert len(answer.splits["train"]) == 6


def test_lists_that_contradict_the_folders_are_not_used(tmp_path: Path) -> None:
    made(
        tmp_path, *(f"{s}/{c}/{s}{i}.png" for s in ("train", "test") for c in CLASSES for i in "12")
    )
    write(tmp_path / "train.txt", "cat/test1.png\ncat/train1.png\ndog/train1.png\n")
    answer = found(find(tmp_path, DEFAULTS))
    assert {split: len(samples) for split, samples in answer.splits.items()} == {
        "train": 4,
        "test": 4,
    }
    assert any("is in test, and listed in train" in note for note in answer.notes)
