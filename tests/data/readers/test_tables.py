"""Labels from a table beside image files: guessed where it is clear, else the reason is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError, UsageError
from data.readers.places import DEFAULTS, classes, found, made, write

IMAGES = ("img/1.png", "img/2.png", "img/3.png", "img/4.png")
EXPECTED = {
    "train": {"img/1.png": "cat", "img/2.png": "dog", "img/3.png": "cat", "img/4.png": "dog"}
}
ROWS = "1.png,cat\n2.png,dog\n3.png,cat\n4.png,dog\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", "file,label\n" + ROWS),
        ("labels.csv", "label,file\ncat,1.png\ndog,2.png\ncat,3.png\ndog,4.png\n"),
        ("labels.csv", "id,breed\n1,cat\n2,dog\n3,cat\n4,dog\n"),
        ("labels.csv", "file,label\n" + ROWS.replace(".png", ".PNG")),
        ("labels.csv", "photo,Class\n" + ROWS.replace("\n", "\r\n")),
        ("labels.csv", "\ufefffile,label\n" + ROWS),
        ("labels.csv", ROWS),
        ("labels.csv", "file;label\n" + ROWS.replace(",", ";")),
        ("labels.csv", "sep=;\r\nfile;label\r\n" + ROWS.replace(",", ";")),
        ("labels.csv", "id,label\n0001,cat\n0002,dog\n03.png,cat\n04,dog\n"),
        (
            "labels.json",
            '{"images": [{"file": "1", "label": "cat"}, {"file": "2", "label": "dog"},'
            '{"file": "3", "label": "cat"}, {"file": "4", "label": "dog"}]}',
        ),
        ("labels.csv", "file\tlabel\n" + ROWS.replace(",", "\t")),
        ("labels.csv", 'file,label\n"img/1.png","cat"\n"img\\2.png",dog\n./img/3.png,cat\n4,dog'),
        ("labels.csv", "file,age,label\n1.png,0.1,cat\n2.png,0.2,dog\n3.png,,cat\n4.png,1,dog"),
        ("labels.csv", "file,what,age\n1.png,cat,7\n2.png,dog,8\n3.png,cat,9\n4.png,dog,10\n"),
        ("labels.tsv", "file\tlabel\n" + ROWS.replace(",", "\t")),
        ("img/metadata.csv", "file_name,label\n" + ROWS),
        ("img/metadata.csv", "file_name,label\n" + ROWS.replace("1.png", "../img/1.png")),
        ("labels.json", '{"1.png": "cat", "2.png": "dog", "3.png": "cat", "4.png": "dog"}'),
        ("labels.json", '{"cat": ["1.png", "3.png"], "dog": ["2.png", "4.png"]}'),
        ("labels.json", '{"1.png": ["cat"], "2.png": ["dog"], "3.png": ["cat"], "4.png": ["dog"]}'),
        ("labels.json", '{"labels": [["1", "cat"], ["2", "dog"], ["3", "cat"], ["4", "dog"]]}'),
        (
            "labels.json",
            '{"file": {"0": "1", "1": "2", "2": "3", "3": "4"},'
            ' "label": {"0": "cat", "1": "dog", "2": "cat", "3": "dog"}}',
        ),
        (
            "metadata.jsonl",
            '{"file_name": "1.png", "label": "cat"}\n{"file_name": "2.png", "label": "dog"}\n\n'
            '{"label": "cat", "file_name": "3.png"}\n{"file_name": "4.png", "label": "dog"}\n',
        ),
        (
            "list.json",
            '[{"id": 1, "label": "cat"}, {"id": 2, "label": "dog"}, {"id": 3, "label": "cat"},'
            ' {"id": 4, "label": "dog"}]',
        ),
    ],
)
def test_a_table_of_any_usual_form_is_found_and_its_columns_are_guessed(
    tmp_path: Path, name: str, text: str
) -> None:
    write(made(tmp_path, *IMAGES) / name, text)
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert classes(answer) == EXPECTED
    assert any(f"labels from {Path(name).name}" in note for note in answer.notes)
    # With the options that the guess stands for, the same is read again.
    explicit = LoadOptions(**answer.options)
    assert classes(folder.find(tmp_path, explicit)) == EXPECTED
    by_table = classes(folder.find(tmp_path / name, DEFAULTS))["train"]
    assert list(by_table.values()) == ["cat", "dog", "cat", "dog"]


def test_a_parquet_file_of_labels_is_a_table_too(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    table = pa.table({"file_name": ["1.png", "2.png", "3.png", "4.png"], "label": [7, 3, 7, 3]})
    pq.write_table(table, tmp_path / "metadata.parquet")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("3", "7")
    assert classes(answer)["train"]["img/1.png"] == "7"


def test_a_table_in_latin_1_is_read_and_said(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", ("file,label\n" + ROWS.replace("cat", "pâté")).encode("latin-1"))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("dog", "pâté")
    assert any("Latin-1" in note for note in answer.notes)


def test_kaggle_train_csv_beside_train_and_test_folders(tmp_path: Path) -> None:
    made(tmp_path, *(f"{s}/{i}.png" for s in ("train", "test") for i in (1, 2, 3, 4)))
    write(tmp_path / "trainLabels.csv", "id,label\n1,frog\n2,truck\n3,frog\n4,truck\n")
    write(tmp_path / "sampleSubmission.csv", "id,label\n1,cat\n2,cat\n3,cat\n4,cat\n")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert classes(answer) == {
        "train": {f"train/{i}.png": ("truck", "frog")[i % 2] for i in (1, 2, 3, 4)}
    }
    assert any("left out 4 images that no row names" in note for note in answer.notes)


def test_tables_of_each_split_are_its_labels(tmp_path: Path) -> None:
    made(tmp_path, *(f"all/{i}.png" for i in range(8)))
    for split, numbers in (("train", range(4)), ("val", (4, 5)), ("test", (6, 7))):
        rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in numbers)
        write(tmp_path / f"{split}.csv", f"image,label\n{rows}")
    answer = classes(folder.find(tmp_path, DEFAULTS))
    assert {split: sorted(images) for split, images in answer.items()} == {
        "train": [f"all/{i}.png" for i in range(4)],
        "validation": ["all/4.png", "all/5.png"],
        "test": ["all/6.png", "all/7.png"],
    }


def test_metadata_in_each_split_folder_labels_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        made(tmp_path / split, "1.png", "2.png")
        write(tmp_path / split / "metadata.csv", "file_name,label\n1.png,a\n2.png,b\n")
    assert classes(folder.find(tmp_path, DEFAULTS)) == {
        split: {f"{split}/1.png": "a", f"{split}/2.png": "b"} for split in ("train", "test")
    }


def test_a_test_table_without_labels_is_left_out_and_said(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES, "img/5.png")
    write(tmp_path / "train.csv", "file,label\n" + ROWS)
    write(tmp_path / "test.csv", "file\n5.png\n")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert classes(answer) == EXPECTED
    assert any("test.csv: has no labels" in note for note in answer.notes)


@pytest.mark.parametrize("name", ["split", "Set", "data set", "Usage"])
def test_a_split_column_is_obeyed(tmp_path: Path, name: str) -> None:
    made(tmp_path, *IMAGES)
    rows = "1.png,a,Training\n2.png,b,Training\n3.png,a,test\n4.png,b,test\n"
    write(tmp_path / "labels.csv", f"file,label,{name}\n{rows}")
    answer = classes(folder.find(tmp_path, DEFAULTS))
    assert {split: len(images) for split, images in answer.items()} == {"train": 2, "test": 2}


@pytest.mark.parametrize(
    "text",
    [
        '{"train": {"1.png": "cat", "2.png": "dog"}, "test": {"3.png": "cat", "4.png": "dog"}}',
        '{"train": [["1", "cat"], ["2", "dog"]], "val": [["3", "cat"], ["4", "dog"]]}',
        '{"train": {"cat": ["1"], "dog": ["2"]}, "test": {"cat": ["3"], "dog": ["4"]}}',
        '{"train": [{"file": "1", "label": "cat"}, {"file": "2", "label": "dog"}],'
        ' "test": [{"file": "3", "label": "cat"}, {"file": "4", "label": "dog"}]}',
    ],
)
def test_json_divided_into_splits(tmp_path: Path, text: str) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "data.json", text)
    held = "validation" if "val" in text else "test"
    assert classes(folder.find(tmp_path, DEFAULTS)) == {
        "train": {"img/1.png": "cat", "img/2.png": "dog"},
        held: {"img/3.png": "cat", "img/4.png": "dog"},
    }


def test_a_list_of_files_for_each_split_is_no_table_of_classes(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "splits.json", '{"train": ["1.png", "2.png"], "test": ["3.png", "4.png"]}')
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "splits.json has no column of labels" in answer.reason


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_table_in_any_form_of_unicode(tmp_path: Path, encoding: str) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", ("file,label\n" + ROWS).encode(encoding))
    assert classes(folder.find(tmp_path, DEFAULTS)) == EXPECTED


@pytest.mark.parametrize(("name", "train"), [("is_test", "0"), ("is_train", "1")])
def test_a_flag_divides_the_images(tmp_path: Path, name: str, train: str) -> None:
    flags = (train, train, str(1 - int(train)), str(1 - int(train)))
    lines = [f"{i + 1}.png,{'cat' if i % 2 else 'dog'},{flags[i]}\n" for i in range(4)]
    root = made(tmp_path, *IMAGES, labels_csv=f"file,label,{name}\n" + "".join(lines))
    answer = classes(folder.find(root, DEFAULTS))
    assert {split: len(images) for split, images in answer.items()} == {"train": 2, "test": 2}


def test_the_folders_of_the_images_tell_the_splits_where_the_table_does_not(tmp_path: Path) -> None:
    made(tmp_path, "train/1.png", "train/2.png", "test/3.png", "test/4.png")
    write(tmp_path / "labels.csv", "file,label\n" + ROWS)
    assert set(classes(folder.find(tmp_path, DEFAULTS))) == {"train", "test"}


def test_labels_of_numbers_are_the_values_that_occur_in_numeric_order(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", "file,label\n1.png,9\n2.png,1.0\n3.png,10\n4.png,9\n")
    assert found(folder.find(tmp_path, DEFAULTS)).class_names == ("1", "9", "10")


def test_one_hot_columns_are_classes(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    rows = "1,1.0,0.0,0.0\n2,0,1,0\n3,0,0,1\n4,1,0,0\n"
    write(tmp_path / "truth.csv", f"image,MEL,NV,BCC\n{rows}")
    answer = classes(folder.find(tmp_path, DEFAULTS))["train"]
    assert list(answer.values()) == ["MEL", "NV", "BCC", "MEL"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image,haze,road\n1,0,0\n2,0,1\n3,1,0\n4,1,0\n", "0 of the columns haze, road are 1"),
        ("image,haze,road\n1,1,1\n2,0,1\n3,0,0\n4,1,0\n", "1 of 4 images have several labels"),
        ("image,tags\n1,a|b\n2,a\n3,b\n4,a|b\n", "2 of 4 images have several labels"),
        ("file,label\n1.png,cat\n9.png,dog\n8.png,dog\n2.png,dog\n", "2 of 4 rows name no image"),
        ("file,label\n" + ROWS + "1.png,dog\n", "1 of 4 images have several labels"),
        ("file,label\n1.png,0.5\n2.png,0.7\n3.png,1\n4.png,2\n", "holds numbers such as 0.5"),
        ("file,label\n1.png,cat\n2.png,cat\n3.png,cat\n4.png,cat\n", "at least 2 classes"),
        ("file,label\n1.png,cat,x\n2.png,dog\n", "has 3 cells and the first line 2"),
        ("file,a,b\n1,x,k\n2,y,k\n3,x,l\n4,y,k\n", "may be in column a, b; .*--label-column"),
        ("file,label,class\n1,x,k\n2,y,k\n3,x,l\n4,y,k\n", "may be in column label, class"),
        ("file,label\n../../1.png,cat\n2.png,dog\n3.png,cat\n4.png,dog\n", "leads out of the fol"),
        ("file,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n", "'1.jpg', and half of them or more are"),
        ("file,label\n", "no column names image files"),
        ("", "empty"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, text: str, complaint: str
) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "my.csv", text)
    with pytest.raises(InputError, match=complaint.replace("|", r"\|")) as caught:
        folder.find(tmp_path, LoadOptions(labels="my.csv"))
    assert "\n" not in str(caught.value)


def test_rows_without_a_file_are_left_out_on_request_and_listed(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", "file,label\n" + ROWS + "9.png,dog\n")
    answer = found(folder.find(tmp_path, LoadOptions(skip_bad=True)))
    assert classes(answer) == EXPECTED
    assert any("row 5, '9.png', is not there" in note for note in answer.notes)


def test_rows_without_a_label_and_images_without_a_row_are_counted(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES, "img/5.png", "img/6.png")
    write(tmp_path / "labels.csv", "file,label\n" + ROWS + "5.png,\n")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert classes(answer) == EXPECTED
    assert any("left out 1 images without a label" in note for note in answer.notes)
    assert any("left out 1 images that no row names" in note for note in answer.notes)


def test_the_same_row_twice_is_one_image(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", "file,label\n" + ROWS + ROWS)
    assert classes(folder.find(tmp_path, DEFAULTS)) == EXPECTED


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "train.csv", "file,label\n" + ROWS)
    write(tmp_path / "test.csv", "file,label\n1.png,cat\n2.png,dog\n")
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "is in train and test; an image may be in one split only" in answer.reason


def test_a_path_that_leads_out_never_opens_a_file(tmp_path: Path) -> None:
    made(tmp_path / "outside", "secret.png")
    root = made(tmp_path / "data", *IMAGES)
    write(root / "labels.csv", "file,label\n" + ROWS + "../outside/secret.png,cat\n")
    answer = found(folder.find(root, LoadOptions(skip_bad=True)))
    assert classes(answer) == EXPECTED


def test_absolute_paths_below_the_folder_are_read(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", "file,label\n" + ROWS.replace("1.png", f"{tmp_path}/img/1.png"))
    assert classes(folder.find(tmp_path, DEFAULTS)) == EXPECTED


@pytest.mark.parametrize(
    "path",
    ["/home/ann/data/img/{}.png", "C:\\data\\{}.png", "https://example.org/{}.png?w=8#a", "old/{}"],
)
def test_paths_of_another_place_are_matched_by_their_ends(tmp_path: Path, path: str) -> None:
    rows = "".join(f"{path.format(n)},{'cat' if n % 2 else 'dog'}\n" for n in range(1, 5))
    answer = folder.find(made(tmp_path, *IMAGES, labels_csv=f"file,label\n{rows}"), DEFAULTS)
    assert classes(answer) == EXPECTED
    said = "matched by their ends" in " ".join(found(answer).notes)
    assert said == (path != "old/{}")


def test_the_folders_at_the_end_of_a_path_decide(tmp_path: Path) -> None:
    made(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    rows = "/x/a/1.png,cat\n/x/b/1.png,dog\n/x/b/2.png,cat\n"
    write(tmp_path / "t.csv", f"file,label\n{rows}")
    answer = folder.find(tmp_path, LoadOptions(labels="t.csv"))
    assert classes(answer)["train"] == {"a/1.png": "cat", "b/1.png": "dog", "b/2.png": "cat"}


@pytest.mark.parametrize(
    ("there", "named", "reason"),
    [
        # The table's own image is missing: one of the same name elsewhere is another.
        (("a/1.png", "b/2.png"), "/x/b/1.png", "is not there"),
        (("test/1.png", "test/2.png"), "/x/train/1.png", "is not there"),
        (("a/1.png", "b/1.png", "b/2.png"), "/x/1.png", "may be .*a/1.png, .*b/1.png; write the"),
    ],
)
def test_an_image_of_the_same_name_is_not_taken_for_another(
    tmp_path: Path, there: tuple[str, ...], named: str, reason: str
) -> None:
    made(tmp_path, *there)
    write(tmp_path / "t.csv", f"file,label\n2.png,cat\n{named},dog\n")
    with pytest.raises(InputError, match=reason):
        folder.find(tmp_path, LoadOptions(labels="t.csv"))


def test_the_same_name_in_two_folders_asks_for_the_path(tmp_path: Path) -> None:
    made(tmp_path, "a/1.png", "b/1.png", "a/2.png", "b/2.png")
    write(tmp_path / "labels.csv", "file,label\n1.png,x\n2.png,y\n")
    with pytest.raises(InputError, match="write the path below the folder"):
        folder.find(tmp_path, LoadOptions(labels="labels.csv"))


def test_options_name_the_table_and_its_columns(tmp_path: Path) -> None:
    root = made(tmp_path / "data", "1.png", "2.png", "3.png", "4.png")
    text = "a,b,c\n1,x,k\n2,y,k\n3,x,l\n4,y,l\n"
    outside = write(tmp_path / "elsewhere" / "t.csv", text)
    options = LoadOptions(labels=str(outside), label_column="C")
    assert found(folder.find(root, options)).class_names == ("k", "l")
    with pytest.raises(InputError, match=r"has no column 'z' \(--label-column\); it has a, b, c"):
        folder.find(root, LoadOptions(labels=str(outside), label_column="z"))
    with pytest.raises(InputError, match="no such file"):
        folder.find(root, LoadOptions(labels="absent.csv"))
    with pytest.raises(UsageError, match="--labels and --label-pattern"):
        folder.find(root, LoadOptions(labels="t.csv", label_pattern="(.)"))


def test_two_tables_of_the_same_images_ask_which(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "labels.csv", "file,label\n" + ROWS)
    write(tmp_path / "labels2.csv", "file,label\n" + ROWS)
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "labels.csv" in answer.reason
    assert "say which with --labels FILE" in answer.reason


def test_a_table_that_says_what_the_folders_say_changes_nothing(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "cat/2.png", "dog/3.png")
    write(tmp_path / "labels.csv", "path,class id\ncat/1.png,0\ncat/2.png,0\ndog/3.png,1\n")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("cat", "dog")


def test_a_table_that_contradicts_the_folders_asks_which(tmp_path: Path) -> None:
    made(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/4.png")
    write(tmp_path / "labels.csv", "file,label\n" + ROWS)
    with pytest.raises(InputError, match="do not agree; say which with --class-folder"):
        folder.find(tmp_path, DEFAULTS)
    assert found(folder.find(tmp_path, LoadOptions(class_folder="first"))).class_names == ("a", "b")
    by_table = folder.find(tmp_path, LoadOptions(labels="labels.csv"))
    assert found(by_table).class_names == ("cat", "dog")


def test_other_tables_beside_class_folders_do_not_matter(tmp_path: Path) -> None:
    made(tmp_path, "cat/1.png", "dog/2.png")
    write(tmp_path / "results.csv", "epoch,loss\n1,0.5\n2,0.25\n")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("cat", "dog")
    assert any("not images, such as results.csv" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"images": [], "annotations": [], "categories": []}, "COCO"),
        ({"shapes": [], "imagePath": "1.png"}, "LabelMe"),
        ({"_via_img_metadata": {}}, "VIA"),
        ([{"image": "1.png", "annotations": []}], "Create ML"),
    ],
)
def test_known_annotations_are_named_with_what_to_do(
    tmp_path: Path, value: object, kind: str
) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "instances.json", json.dumps(value))
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert kind in answer.reason
    assert "--labels" in answer.reason


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_order_of_rows_and_columns_changes_nothing(tmp_path: Path, data: st.DataObject) -> None:
    names = [f"{i:02}.png" for i in range(12)]
    made(tmp_path, *(f"all/{name}" for name in names))
    columns = {
        "file": names,
        "label": [f"class {i % 3}" for i in range(12)],
        "weight": [str(i / 7) for i in range(12)],
        "split": ["train" if i < 9 else "test" for i in range(12)],
    }
    order = data.draw(st.permutations(range(12)))
    titles = data.draw(st.permutations(list(columns)))
    lines = [",".join(titles)] + [",".join(columns[t][i] for t in titles) for i in order]
    write(tmp_path / "labels.csv", "\n".join(lines))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == ("class 0", "class 1", "class 2")
    assert answer.splits["train"].names == tuple(f"all/{name}" for name in names[:9])
    np.testing.assert_array_equal(answer.splits["train"].labels, np.arange(9) % 3)
    np.testing.assert_array_equal(answer.splits["test"].labels, np.arange(3) % 3)


def test_a_table_without_images_below_its_folder_asks_for_their_folder(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    path = write(tmp_path / "tables" / "t.csv", "file,label\n" + ROWS)
    answer = folder.find(path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "give their folder, and the table with --labels" in answer.reason
    options = LoadOptions(labels="tables/t.csv")
    assert classes(folder.find(tmp_path, options)) == EXPECTED


def test_numbers_without_their_zeros_name_padded_files(tmp_path: Path) -> None:
    made(tmp_path, "i/0001.png", "i/0002.png", "i/0010.png", "i/0000.png")
    write(tmp_path / "labels.csv", "id,label\n1,a\n2,b\n10,a\n0,b\n")
    assert classes(folder.find(tmp_path, DEFAULTS)) == {
        "train": {"i/0000.png": "b", "i/0001.png": "a", "i/0002.png": "b", "i/0010.png": "a"}
    }


def test_a_table_of_boxes_is_named(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "a.csv", "filename,class,xmin,ymin,xmax,ymax\n1.png,cat,1,1,2,2\n")
    with pytest.raises(InputError, match="boxes of objects, which are not classes"):
        folder.find(tmp_path, LoadOptions(labels="a.csv"))


def test_one_table_that_is_asked_for_is_all_there_is_to_divide(tmp_path: Path) -> None:
    made(tmp_path, *(f"{s}/{i}.png" for s in ("train", "test") for i in (1, 2, 3, 4)))
    path = write(tmp_path / "test.csv", "file,label\n" + ROWS)
    for labels in ("test.csv", str(path)):
        answer = classes(folder.find(tmp_path, LoadOptions(labels=labels)))
        assert {split: sorted(images) for split, images in answer.items()} == {
            "train": [f"test/{i}.png" for i in (1, 2, 3, 4)]
        }


def test_folders_that_are_parts_of_what_an_unclear_table_names_are_no_classes(
    tmp_path: Path,
) -> None:
    images = [f"part_{1 + i // 4}/{i}.png" for i in range(8)]
    made(tmp_path, *images)
    rows = [f"{i},{'ab'[i % 2]},{'kl'[i // 2 % 2]}" for i in range(8)]
    write(tmp_path / "meta.csv", "\n".join(["image_id,dx,site", *rows]))
    with pytest.raises(InputError, match=r"first folders \(part_1, part_2\) or in .*meta\.csv"):
        folder.find(tmp_path, DEFAULTS)
    options = LoadOptions(labels="meta.csv", label_column="dx")
    assert found(folder.find(tmp_path, options)).class_names == ("a", "b")
    rows = [f"{row},{image[:6]}" for row, image in zip(rows, images, strict=True)]
    write(tmp_path / "meta.csv", "\n".join(["image_id,dx,site,folder", *rows]))
    assert found(folder.find(tmp_path, DEFAULTS)).class_names == ("part_1", "part_2")


def test_folders_of_images_and_of_annotations_are_no_classes(tmp_path: Path) -> None:
    made(tmp_path, "images/cat_1.png", "images/dog_2.png", "annotations/cat_1.png")
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "1 folders of annotations beside images" in answer.reason
    assert "if they are classes, --class-folder first" in answer.reason
    first = found(folder.find(tmp_path, LoadOptions(class_folder="first")))
    assert first.class_names == ("annotations", "images")


def test_columns_of_ids_and_captions_are_never_guessed_to_be_classes(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    write(tmp_path / "a.csv", "file,patient_id,text\n1.png,7,w\n2.png,7,x\n3.png,8,y\n4.png,8,z\n")
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "a.csv has no column of labels" in answer.reason


def test_a_folder_of_archives_asks_for_them(tmp_path: Path) -> None:
    made(tmp_path, **{"train.zip": b"PK"})
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert "train.zip; give that, or unpack it" in answer.reason


def test_a_row_never_means_the_image_of_that_name_in_another_split(tmp_path: Path) -> None:
    made(tmp_path, *(f"train/{i}.png" for i in (1, 2, 3, 4)), "test/1.png")
    write(tmp_path / "train.csv", "id,label\n1,a\n2,b\n3,a\n4,b\n")
    write(tmp_path / "test.csv", "id,label\n1,a\n2,b\n")
    refused = folder.find(tmp_path, DEFAULTS)
    assert isinstance(refused, Rejected)
    assert "test.csv: 1 of 2 rows name no image file: row 2" in refused.reason
    answer = found(folder.find(tmp_path, LoadOptions(skip_bad=True)))
    assert classes(answer)["test"] == {"test/1.png": "a"}


def test_tables_divide_the_images_of_one_folder(tmp_path: Path) -> None:
    made(tmp_path, *(f"train_images/{i}.png" for i in (1, 2, 3, 4)))
    write(tmp_path / "train.csv", "id,label\n1,a\n2,b\n")
    write(tmp_path / "val.csv", "id,label\n3,a\n4,b\n")
    answer = classes(folder.find(tmp_path, DEFAULTS))
    assert {split: len(images) for split, images in answer.items()} == {"train": 2, "validation": 2}


def test_rows_without_a_split_beside_others_are_left_out_and_counted(tmp_path: Path) -> None:
    made(tmp_path, *IMAGES)
    rows = "1.png,a,train\n2.png,b,train\n3.png,a,test\n4.png,b,\n"
    write(tmp_path / "labels.csv", f"file,label,split\n{rows}")
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert {s: len(v) for s, v in answer.splits.items()} == {"train": 2, "test": 1}
    assert any("left out 1 rows without a split" in note for note in answer.notes)


def test_a_table_that_labels_more_than_the_folders_keeps_their_names(tmp_path: Path) -> None:
    made(tmp_path, "train/cat/1.png", "train/dog/2.png", "test/3.png", "test/4.png")
    for split, rows in (("train", "1,1\n2,0\n"), ("test", "3,1\n4,0\n")):
        write(tmp_path / f"{split}.csv", f"id,label\n{rows}")
    assert classes(folder.find(tmp_path, DEFAULTS)) == {
        "train": {"train/cat/1.png": "cat", "train/dog/2.png": "dog"},
        "test": {"test/3.png": "cat", "test/4.png": "dog"},
    }


def test_few_images_with_two_labels_are_rather_mistakes(tmp_path: Path) -> None:
    names = [f"img/{n}.png" for n in range(40)]
    made(tmp_path, *names)
    rows = [f"{name},{('cat', 'dog')[n % 2]}" for n, name in enumerate(names)]
    write(tmp_path / "labels.csv", "\n".join(["file,label", *rows, "img/0.png,dog"]))
    with pytest.raises(InputError, match=r"img/0\.png is labelled 'cat' and 'dog'; keep one"):
        folder.find(tmp_path, LoadOptions(labels="labels.csv"))
