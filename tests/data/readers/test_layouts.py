"""What people's folders mean: each layout is read right, or refused with the reason.

Named after what was seen with real folders; a layout is a list of files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cifarlab.data.readers import layouts
from cifarlab.data.readers.labelling import Labelling, natural_order
from cifarlab.data.readers.split_names import split_of, splits_of
from cifarlab.data.readers.tree import Listing, list_tree
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError


def made(root: Path, *files: str) -> Path:
    """Make empty files; a name that ends in ``*3`` makes three of them."""
    for name in files:
        path, _, count = name.partition("*")
        for number in range(int(count or 1)):
            file = root / (path.replace("#", str(number)))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return root


def understand(listing: Listing, **options: Any) -> Labelling:
    """Understand a tree; a reason why it cannot be read is raised like other errors."""
    answer = layouts.understand(listing.root, **options)
    if isinstance(answer, Rejected):
        raise InputError(answer.reason)
    return answer


def read(root: Path, *files: str, **options: Any) -> Labelling:
    return understand(list_tree(made(root, *files)), **options)


def counts(layout: Labelling) -> dict[str, list[int]]:
    return {
        split: [labelled.labels.count(i) for i in range(len(layout.class_names))]
        for split, labelled in layout.splits.items()
    }


CLASSES = ("cat/#.jpg*3", "dog/#.jpg*2")


def below(*tops: str) -> list[str]:
    return [f"{top}/{name}" for top in tops for name in CLASSES]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("seg_train", "seg_test"),
        ("Train", "Test"),
        ("train_set", "test_set"),
        ("images_train", "images_test"),
        ("TRAIN", "TEST"),
        ("train2017", "test2017"),
        ("01 train", "02 test"),
        ("train", "eval"),
        ("train", "evaluation"),
        ("train", "holdout"),
    ],
)
def test_splits_are_known_by_their_words_above_the_same_classes(
    tmp_path: Path, train: str, test: str
) -> None:
    layout = read(tmp_path, *below(train, test))
    assert layout.class_names == ("cat", "dog")
    assert counts(layout) == {"train": [3, 2], "test": [3, 2]}


@pytest.mark.parametrize("name", ["dev", "Val", "validate", "valid", "validation_images"])
def test_a_validation_folder_of_any_usual_name_is_used(tmp_path: Path, name: str) -> None:
    assert counts(read(tmp_path, *below("train", name))) == {
        "train": [3, 2],
        "validation": [3, 2],
    }


def test_eval_beside_test_is_validation(tmp_path: Path) -> None:
    assert set(counts(read(tmp_path, *below("train", "test", "eval")))) == {
        "train",
        "validation",
        "test",
    }


@pytest.mark.parametrize(
    "files", [("test/#.png*4",), ("test/unknown/#.png*4",), ("test/images/#.png*4",)]
)
def test_a_test_folder_without_classes_is_named_and_left_out(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    layout = read(tmp_path, *below("train"), *files)
    assert counts(layout) == {"train": [3, 2]}
    assert len(layout.unlabelled) == 4
    assert any("test: 4 images without class folders" in note for note in layout.notes)


def test_run_directories_are_never_data(tmp_path: Path) -> None:
    run = "runs/baseline-1"
    files = (f"{run}/recipe.json", f"{run}/environment.json", f"{run}/samples.png")
    layout = read(tmp_path, *CLASSES, *files)
    assert layout.class_names == ("cat", "dog")
    assert any("a run directory" in note for note in list_tree(tmp_path).left_out)


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "__MACOSX", "lost+found", "$RECYCLE.BIN", ".ipynb_checkpoints", "__pycache__"],
)
def test_what_systems_leave_behind_is_no_class_and_no_image(tmp_path: Path, name: str) -> None:
    layout = read(tmp_path, *CLASSES, f"{name}/thumb.jpg", f"cat/{name}/0.jpg", "cat/Thumbs.db")
    assert layout.class_names == ("cat", "dog")
    assert counts(layout) == {"train": [3, 2]}


def test_folders_without_images_and_environments_are_no_classes(tmp_path: Path) -> None:
    layout = read(tmp_path, *CLASSES, "annotations/a.xml", "venv/pyvenv.cfg", "venv/logo.png")
    assert layout.class_names == ("cat", "dog")


@pytest.mark.parametrize("wrapper", ["photos-main", "archive/data"])
def test_a_wrapper_folder_is_entered_and_said(tmp_path: Path, wrapper: str) -> None:
    layout = read(tmp_path, *below(f"{wrapper}/train", f"{wrapper}/test"))
    assert counts(layout) == {"train": [3, 2], "test": [3, 2]}
    assert any("the only folder with images" in note for note in layout.notes)


def test_splits_below_the_classes_are_splits(tmp_path: Path) -> None:
    files = [f"{c}/{s}/#.jpg*{n}" for c in ("cat", "dog") for s, n in (("train", 3), ("test", 2))]
    assert counts(read(tmp_path, *files)) == {"train": [3, 3], "test": [2, 2]}


@pytest.mark.parametrize(
    "files",
    [
        ("2024/site1/cat/#.jpg*2", "2025/site2/dog/#.jpg*2"),
        ("cat/2021/#.jpg*2", "dog/2020/#.jpg*2"),
        ("siteA/cat/#.jpg*2", "siteA/dog/#.jpg*2", "siteB/cat/#.jpg*2", "siteB/dog/#.jpg*2"),
    ],
)
def test_nested_folders_that_can_be_read_two_ways_stop_and_name_both(
    tmp_path: Path, files: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, *files)
    assert "--class-folder first or last" in str(caught.value)
    first = read(tmp_path, class_folder="first")
    last = read(tmp_path, class_folder="last")
    assert first.class_names != last.class_names
    assert sorted(p.name for p in first.splits["train"].paths) == sorted(
        p.name for p in last.splits["train"].paths
    )


def test_one_more_folder_of_the_same_name_in_each_class_is_entered(tmp_path: Path) -> None:
    layout = read(tmp_path, "n01/images/#.jpg*3", "n02/images/#.jpg*2")
    assert layout.class_names == ("n01", "n02")


@pytest.mark.parametrize("twin", ["Cat", "cat ", " CAT"])
def test_names_that_differ_in_case_or_blanks_only_are_refused(tmp_path: Path, twin: str) -> None:
    with pytest.raises(InputError, match="differ in case or blanks only"):
        read(tmp_path, *CLASSES, f"{twin}/#.jpg*2")


def test_classes_of_another_spelling_in_test_are_aligned(tmp_path: Path) -> None:
    layout = read(tmp_path, *below("train"), "test/Cat/#.jpg*4", "test/DOG /#.jpg*5")
    assert layout.class_names == ("cat", "dog")
    assert counts(layout)["test"] == [4, 5]


def test_a_class_that_test_does_not_have_keeps_its_label(tmp_path: Path) -> None:
    # That it is not measured is said where the splits are checked, once for all formats.
    layout = read(tmp_path, *below("train"), "val/cat/#.jpg*2", "val/dog/notes.txt")
    assert counts(layout)["validation"] == [2, 0]


def test_a_class_that_only_test_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'fox' is not among the training classes"):
        read(tmp_path, *below("train", "test"), "test/fox/1.jpg")


def test_links_inside_the_tree_add_nothing(tmp_path: Path) -> None:
    root = made(tmp_path, *CLASSES)
    (root / "kitten").symlink_to(root / "cat")
    (root / "dog" / "again").symlink_to(root)
    (root / "dog" / "same.jpg").symlink_to(root / "cat" / "0.jpg")
    layout = understand(list_tree(root))
    assert layout.class_names == ("cat", "dog")
    assert counts(layout) == {"train": [3, 2]}
    assert sum("read already" in note for note in list_tree(root).left_out) == 3


@pytest.mark.parametrize("kind", ["folders", "files"])
def test_links_out_of_the_tree_are_followed_on_request_only(tmp_path: Path, kind: str) -> None:
    store = made(tmp_path / "store", *CLASSES)
    root = tmp_path / "data"
    for name in ("cat", "dog"):
        if kind == "folders":
            root.mkdir(exist_ok=True)
            (root / name).symlink_to(store / name)
        else:
            (root / name).mkdir(parents=True)
            for file in (store / name).iterdir():
                (root / name / file.name).symlink_to(file)
    with pytest.raises(InputError):
        understand(list_tree(root))
    assert any("--follow-links" in line for line in list_tree(root).left_out)
    assert counts(understand(list_tree(root, follow_links=True))) == {"train": [3, 2]}


def test_a_link_loop_out_of_the_tree_ends(tmp_path: Path) -> None:
    outside = made(tmp_path / "outside", "more/#.jpg*2")
    root = made(tmp_path / "data", *CLASSES)
    (root / "dog" / "out").symlink_to(outside)
    (outside / "back").symlink_to(root)
    assert counts(understand(list_tree(root, follow_links=True))) == {"train": [3, 4]}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_never_opened(tmp_path: Path) -> None:
    root = made(tmp_path, *CLASSES)
    os.mkfifo(root / "cat" / "pipe.jpg")
    listing = list_tree(root)
    assert any("not an ordinary file" in line for line in listing.left_out)
    assert counts(understand(listing)) == {"train": [3, 2]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([str(i) for i in range(12)], [str(i) for i in range(12)]),
        (["class10", "class1", "class2"], ["class1", "class2", "class10"]),
        (["b", "a"], ["a", "b"]),
    ],
)
def test_numbered_classes_are_in_numeric_order(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    assert list(read(tmp_path, *(f"{n}/1.jpg" for n in names)).class_names) == expected
    assert sorted(names, key=natural_order) == expected


@pytest.mark.parametrize("name", ["train", "test", "dev"])
def test_a_class_called_after_a_split_is_a_class_and_said(tmp_path: Path, name: str) -> None:
    layout = read(tmp_path, "car/#.jpg*2", "plane/#.jpg*2", f"{name}/#.jpg*2")
    assert sorted(layout.class_names) == sorted(("car", "plane", name))
    assert any(f"read as a class: {name}; if it is a split" in note for note in layout.notes)


def test_of_two_test_folders_the_one_with_classes_is_read(tmp_path: Path) -> None:
    """Fruits-360."""
    layout = read(tmp_path, *below("Training", "Test"), "test-multiple_fruits/#.jpg*4")
    assert counts(layout) == {"train": [3, 2], "test": [3, 2]}
    assert "only the splits are read; left out: test-multiple_fruits" in layout.notes


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("val/cat/1.jpg", "val/dog/1.jpg", "test/cat/1.jpg"), "and no train"),
        (("1.jpg", "2.jpg"), "holds 0 class folders"),
        (("cat/1.jpg",), "holds 1 class folders"),
        ((*below("train"), *below("training")), "keep one of them"),
        (("cat/train/1.jpg", "cat/test/1.jpg", "dog/1.jpg"), "every class must, or none"),
    ],
)
def test_what_cannot_be_read_says_every_reason(
    tmp_path: Path, files: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        read(tmp_path, *files)


def test_names_that_speak_of_no_split_or_of_several() -> None:
    assert [split_of(n) for n in ("trainer", "latest", "train_test", "contest", "")] == [None] * 5
    assert splits_of(["train", "val", "eval"]) == {
        "train": "train",
        "val": "validation",
        "eval": "test",
    }


def test_listing_what_is_no_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        list_tree(tmp_path / "absent")


def test_nesting_below_splits_stops_and_the_option_decides(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for year in ("2024", "2025"):
            made(tmp_path, *(f"{split}/{year}/{name}/#.png*3" for name in ("cat", "dog")))
    answer = layouts.understand(list_tree(tmp_path).root)
    assert isinstance(answer, Rejected)
    assert "2024, 2025" in answer.reason
    assert "cat, dog" in answer.reason
    last = layouts.understand(list_tree(tmp_path).root, class_folder="last")
    assert isinstance(last, Labelling)
    assert last.class_names == ("cat", "dog")
    assert {split: len(part.paths) for split, part in last.splits.items()} == {
        "train": 12,
        "test": 12,
    }


def test_nesting_above_and_below_splits_stops(tmp_path: Path) -> None:
    for year in ("2024", "2025"):
        for split in ("train", "test"):
            made(tmp_path, *(f"{year}/{split}/{name}/#.png*3" for name in ("cat", "dog")))
    answer = layouts.understand(list_tree(tmp_path).root)
    assert isinstance(answer, Rejected)
    assert "above the splits" in answer.reason


def test_a_split_in_a_folder_of_its_own_name_is_read(tmp_path: Path) -> None:
    for split in ("seg_train", "seg_test"):
        made(tmp_path, *(f"{split}/{split}/{name}/#.png*3" for name in ("sea", "street")))
    made(tmp_path, "seg_pred/seg_pred/#.png*5")
    found = layouts.understand(list_tree(tmp_path).root)
    assert isinstance(found, Labelling)
    assert found.class_names == ("sea", "street")
    assert set(found.splits) == {"train", "test"}
    assert any("seg_pred" in note for note in found.notes)


def test_splits_that_do_not_fit_are_never_read_across(tmp_path: Path) -> None:
    made(tmp_path, "train/good/#.png*4", "test/good/#.png*2", "test/broken/#.png*2")
    made(tmp_path, "ground_truth/broken/#.png*2")
    assert isinstance(layouts.understand(list_tree(tmp_path).root), Rejected)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    made(tmp_path, *(f"{name}/#.png*3" for name in ("bus", "car", "train")))
    found = layouts.understand(list_tree(tmp_path).root)
    assert isinstance(found, Labelling)
    assert found.class_names == ("bus", "car", "train")


def test_one_class_folder_that_links_out_stops_with_the_remedy(tmp_path: Path) -> None:
    made(tmp_path / "photos", "cat/#.png*3", "dog/#.png*3")
    made(tmp_path / "elsewhere", "#.png*3")
    (tmp_path / "photos" / "fox").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"fox: a class folder that is a link .*--follow-links"):
        layouts.understand(list_tree(tmp_path / "photos").root)
    followed = layouts.understand(list_tree(tmp_path / "photos", follow_links=True).root)
    assert isinstance(followed, Labelling)
    assert followed.class_names == ("cat", "dog", "fox")


def test_folders_of_images_and_masks_in_splits_are_no_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        made(tmp_path, f"{split}/images/#.png*3", f"{split}/masks/#.png*3")
    answer = layouts.understand(list_tree(tmp_path).root)
    assert isinstance(answer, Rejected)
    assert "hardly classes" in answer.reason


def test_versions_of_the_same_images_are_named_by_their_paths(tmp_path: Path) -> None:
    for version in ("color", "grayscale", "segmented"):
        made(tmp_path, f"{version}/apple/#.png*3", f"{version}/grape/#.png*3")
    answer = layouts.understand(list_tree(tmp_path).root)
    assert isinstance(answer, Rejected)
    assert f"give the path of one: {tmp_path}/color, {tmp_path}/grayscale" in answer.reason


def test_a_class_folder_of_images_that_are_not_read_is_refused(tmp_path: Path) -> None:
    made(tmp_path, *CLASSES, "fox/#.tga*2")
    with pytest.raises(InputError, match=r"fox: holds 2 \.tga files, which are not read; convert"):
        layouts.understand(list_tree(tmp_path).root)


def test_blanks_around_a_folder_name_are_no_part_of_the_class(tmp_path: Path) -> None:
    assert read(tmp_path, "cat /#.jpg*2", "dog/#.jpg*2").class_names == ("cat", "dog")
