"""Images with several labels: every form of table and folder gives the same arrays."""

from __future__ import annotations

import csv
import io
import json
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cifarlab.data.catalog import load_dataset
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.multi_label.dataset import MultiLabelDataset
from cifarlab.data.multi_label.loading import load_multi_label
from cifarlab.errors import InputError, UsageError
from data.readers.places import png, write

Labels = Mapping[str, Sequence[str]]
CLASSES = ("bird", "cat", "dog")


def ignoring_warnings(function: Callable[..., Any], *arguments: object, **named: object) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **named)


def quiet(path: Path, **options: Any) -> MultiLabelDataset:
    data = ignoring_warnings(load_multi_label, path, load=LoadOptions(**options))
    assert isinstance(data, MultiLabelDataset)
    return data


def warned(path: Path) -> tuple[MultiLabelDataset, str]:
    """The data, and all that is said about them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load_multi_label(path)
    return data, "\n".join(str(warning.message) for warning in caught)


def with_images(root: Path, labels: Labels) -> Path:
    for number, name in enumerate(labels):
        write(root / "images" / name, png(number))
    return root


def cells(root: Path, labels: Labels, cell: Callable[[Sequence[str]], str]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([("file", "labels"), *((f, cell(v)) for f, v in labels.items())])
    write(root / "labels.csv", text.getvalue())


def separated(mark: str) -> Callable[[Path, Labels], None]:
    # An image without any label has no text that says so but an empty list.
    return lambda root, labels: cells(root, labels, lambda v: mark.join(v) if v else "[]")


def json_lines(root: Path, labels: Labels) -> None:
    rows = [json.dumps({"file": file, "labels": list(v)}) for file, v in labels.items()]
    write(root / "labels.jsonl", "\n".join(rows))


def json_by_file(root: Path, labels: Labels) -> None:
    write(root / "labels.json", json.dumps({file: list(v) for file, v in labels.items()}))


def json_by_class(root: Path, labels: Labels) -> None:
    by_class = {c: [f for f, v in labels.items() if c in v] for c in CLASSES}
    write(root / "labels.json", json.dumps(by_class))


def one_hot(root: Path, labels: Labels) -> None:
    rows = [",".join([f, *(str(int(c in v)) for c in CLASSES)]) for f, v in labels.items()]
    write(root / "labels.csv", "\n".join([",".join(["file", *CLASSES]), *rows]))


def several_rows(root: Path, labels: Labels) -> None:
    rows = [f"{file},{one}" for file, v in labels.items() for one in v]
    write(root / "labels.csv", "\n".join(["file,labels", *rows]))


def parquet_beside(root: Path, labels: Labels) -> None:
    columns = {"file": list(labels), "labels": [list(v) for v in labels.values()]}
    pq.write_table(pa.table(columns), root / "labels.parquet")


def parquet_of_images(root: Path, labels: Labels) -> None:
    images = [{"bytes": (root / "images" / f).read_bytes(), "path": f} for f in labels]
    shutil.rmtree(root / "images")
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, kind), "label": [list(v) for v in labels.values()]})
    pq.write_table(table, root / "train.parquet")


def parquet_of_numbers(root: Path, labels: Labels) -> None:
    parquet_of_images(root, {f: [CLASSES.index(c) for c in v] for f, v in labels.items()})
    table = pq.read_table(root / "train.parquet")
    names = {"feature": {"names": list(CLASSES), "_type": "ClassLabel"}, "_type": "Sequence"}
    said = json.dumps({"info": {"features": {"label": names}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": said}), root / "train.parquet")


def text_files(root: Path, labels: Labels) -> None:
    for file, v in labels.items():
        write(root / "images" / file.replace(".png", ".cls"), ";".join(v) or "[]")


def folders(root: Path, labels: Labels) -> None:
    for file, v in labels.items():
        for name in v:
            write(root / name / file, (root / "images" / file).read_bytes())
    shutil.rmtree(root / "images")


FORMS = {
    "semicolons": separated(";"),
    "bars": separated("|"),
    "commas": separated(","),
    "blanks": separated(" "),
    "lists in text": lambda root, labels: cells(root, labels, lambda v: str(list(v))),
    "JSON lists": json_lines,
    "JSON by file": json_by_file,
    "JSON by class": json_by_class,
    "one-hot columns": one_hot,
    "several rows": several_rows,
    "Parquet": parquet_beside,
    "Parquet with images": parquet_of_images,
    "Parquet with numbers": parquet_of_numbers,
    "text files": text_files,
    "class folders": folders,
}
NO_EMPTY = (
    "several rows",
    "JSON by class",
    "class folders",
    "semicolons",
    "bars",
    "commas",
    "blanks",
    "text files",
)


@st.composite
def labelled(draw: st.DrawFn) -> dict[str, list[str]]:
    some = st.lists(st.sampled_from(CLASSES), unique=True, min_size=1, max_size=3)
    drawn = draw(st.lists(some, min_size=20, max_size=30))
    # Every class alone, so that blanks are told apart from names, and one image with two.
    fixed = [[c] for c in CLASSES] * 2 + [["cat", "dog"], ["dog", "bird"]]
    return {f"{n:03}.png": labels for n, labels in enumerate([*fixed, *drawn])}


def content(data: MultiLabelDataset) -> dict[bytes, list[str]]:
    """The class names of each image, whatever split it is in."""
    return {
        image.tobytes(): [n for n, v in zip(data.class_names, row, strict=True) if v]
        for split in (data.train, data.validation, data.test)
        for image, row in zip(split.images, split.labels, strict=True)
    }


@pytest.mark.parametrize("form", FORMS)
@settings(
    deadline=None, max_examples=2, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(labels=labelled(), empty=st.booleans())
def test_every_form_gives_the_same_labels(
    tmp_path: Path, form: str, labels: dict[str, list[str]], empty: bool
) -> None:
    if empty and form not in NO_EMPTY:
        labels["nothing.png"] = []
    root = tmp_path / "data"
    shutil.rmtree(root, ignore_errors=True)
    with_images(root, labels)
    expected = {}
    for number, (_, here) in enumerate(labels.items()):
        expected[pixels(png(number))] = sorted(here)
    FORMS[form](root, labels)
    data = quiet(root)
    assert data.class_names == CLASSES
    assert content(data) == expected
    for split in (data.train, data.validation, data.test):
        assert len(split) > 0
        assert split.images.dtype == split.labels.dtype == np.uint8
        assert len(split) == len(split.images) == len(split.names)
    assert data.train.labels.any(axis=0).all()


def pixels(encoded: bytes) -> bytes:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(encoded))).tobytes()


LABELS = {
    f"{n}.png": v
    for n, v in enumerate([["cat"], ["cat", "dog"], ["dog"], ["bird", "cat"], ["bird"]] * 8)
}


@pytest.mark.parametrize("form", FORMS)
def test_where_one_label_is_needed_one_line_says_what_to_do(tmp_path: Path, form: str) -> None:
    FORMS[form](with_images(tmp_path, LABELS), LABELS)
    with pytest.raises(InputError) as error:
        ignoring_warnings(load_dataset, tmp_path)
    message = str(error.value)
    assert "multi-label data, 16 of 40 images have several labels, such as " in message
    assert "cifarlab.load_multi_label" in message
    assert "keep one label an image" in message
    assert "\n" not in message


def test_the_same_seed_gives_the_same_splits_and_an_image_is_in_one(tmp_path: Path) -> None:
    folders(with_images(tmp_path, LABELS), LABELS)
    one, same, other = quiet(tmp_path), quiet(tmp_path), quiet(tmp_path, split_seed=1)
    np.testing.assert_array_equal(one.train.images, same.train.images)
    assert one.train.names != other.train.names
    parts = [{i.tobytes() for i in s.images} for s in (one.train, one.validation, one.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(LABELS)


def test_the_source_s_own_splits_stay(tmp_path: Path) -> None:
    rows = [f"{f},{';'.join(v)},{'test' if n % 5 == 1 else 'train'}" for n, (f, v) in enumerate(LABELS.items())]  # fmt: skip  # noqa: E501
    write(with_images(tmp_path, LABELS) / "labels.csv", "\n".join(["file,labels,split", *rows]))
    data = quiet(tmp_path)
    assert set(data.test.names) == {f"images/{n}.png" for n in range(1, 40, 5)}


def test_the_rarest_class_is_trained_on(tmp_path: Path) -> None:
    labels = {**LABELS, "rare.png": ["cat", "owl"]}
    separated(";")(with_images(tmp_path, labels), labels)
    for seed in range(10):
        data = quiet(tmp_path, split_seed=seed)
        assert data.train.labels[:, data.class_names.index("owl")].sum() == 1


def test_a_class_without_a_training_image_is_one_line(tmp_path: Path) -> None:
    rows = [f"{f},{';'.join(v)},train" for f, v in LABELS.items() if f != "0.png"]
    table = "\n".join(["file,labels,split", "0.png,cat;owl,test", *rows])
    write(with_images(tmp_path, LABELS) / "labels.csv", table)
    with pytest.raises(InputError, match="class 'owl' is in test and not among the training"):
        quiet(tmp_path)


def test_an_empty_cell_is_not_known_and_left_out(tmp_path: Path) -> None:
    labels = {**LABELS, "unknown.png": []}
    cells(with_images(tmp_path, labels), labels, ";".join)
    data, said = warned(tmp_path)
    assert "left out 1 images without a label; [] says" in said
    assert len(content(data)) == 40


def test_how_text_is_divided_is_said(tmp_path: Path) -> None:
    separated(",")(with_images(tmp_path, LABELS), LABELS)
    assert "labels such as 'cat,dog' are divided at ','" in warned(tmp_path)[1]


def test_data_of_one_label_an_image_load_too_and_it_is_said(tmp_path: Path) -> None:
    labels = {f: v[:1] for f, v in LABELS.items()}
    folders(with_images(tmp_path, labels), labels)
    data, said = warned(tmp_path)
    assert "no image has several labels; load_dataset" in said
    assert (data.train.labels.sum(axis=1) == 1).all()


def test_an_image_in_two_splits_is_refused(tmp_path: Path) -> None:
    with_images(tmp_path, LABELS)
    table = "file,labels,split\n0.png,cat,train\n0.png,dog,test\n1.png,cat;dog,train\n"
    write(tmp_path / "labels.csv", table)
    with pytest.raises(InputError, match="is in train and test; an image may be in one split"):
        quiet(tmp_path)


def test_no_such_path() -> None:
    with pytest.raises(UsageError, match="no such name or path"):
        load_multi_label("nowhere")


def test_a_few_images_in_two_folders_are_rather_mistakes(tmp_path: Path) -> None:
    labels = {f"{n}.png": [CLASSES[n % 3]] for n in range(60)}
    labels |= {"0.png": ["bird", "cat"], "1.png": ["cat", "dog"]}
    folders(with_images(tmp_path, labels), labels)
    data = ignoring_warnings(load_dataset, tmp_path)
    assert sum(map(len, (data.train, data.validation, data.test))) == 62


def test_an_empty_image_all_over_a_class_is_no_image_of_several_labels(tmp_path: Path) -> None:
    for n in range(20):
        write(tmp_path / CLASSES[n % 2] / f"{n}.png", png(7))
    assert len(ignoring_warnings(load_dataset, tmp_path).train) == 16
