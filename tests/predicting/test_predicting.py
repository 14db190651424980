"""Tables of predictions: whole after any interruption, read back exactly, in bounded memory."""

from __future__ import annotations

import csv
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_as
from cifarlab.errors import InputError, ResourceError, UsageError
from cifarlab.predicting import answers as answers_module
from cifarlab.predicting.answers import Answer, answers
from cifarlab.predicting.copies import copy_into, folder_names
from cifarlab.predicting.files import predict_files
from cifarlab.predicting.lines import CSV, JSON_LINES, LineTable, read_rows
from cifarlab.predicting.parquet import partial_file
from cifarlab.predicting.rows import Columns, model_id, original_text, plain_text, row_of
from cifarlab.predicting.sources import Source, check_names, find_images, listed_names

NAMES = ("cat", "a,b", 'say "x"', "new\nline", "=1+1")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Five classes, images of 8x12 grey."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 12, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    made = Classifier.from_keras(model, NAMES, "cpu")
    return replace(made, resize_mode="crop", not_sure_below=0.3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    draws = np.random.default_rng(0)
    for number in range(30):
        path = tmp_path / "photos" / str(number % 3) / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (20, 30), np.uint8)).save(path)
    return tmp_path / "photos"


def read(path: Path) -> list[dict]:
    """Return the rows as another program reads them."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return pq.read_table(path).to_pylist()


def same_rows(some: list[dict], others: list[dict]) -> bool:
    """Whether rows are the same, but for what the size of a batch changes in the last digits."""
    numbers = ("confidence", "probability_2")
    texts = [[{k: v for k, v in r.items() if k not in numbers} for r in t] for t in (some, others)]
    values = [[float(r[k] or -1) for r in t for k in numbers] for t in (some, others)]
    return texts[0] == texts[1] and values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_row_holds_what_the_model_says(classifier, photos, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    summary = predict_files(classifier, [photos], out, top=2, probabilities=True)
    rows = read(out)
    assert summary.output == out
    assert sum(summary.classified.values()) == len(rows) == 30
    for row in rows:
        (expected,) = classifier.predict(row["path"]).probabilities
        first, second = np.argsort(-expected)[:2]
        assert original_text(row["class"]) == NAMES[first]
        assert original_text(row["class_2"]) == NAMES[second]
        every = [np.float32(row[f"p_{plain_text(name)}"]) for name in NAMES]
        np.testing.assert_allclose(every, expected, atol=1e-6)
        assert np.float32(row["confidence"]) == max(every)
        assert np.float32(row["probability_2"]) == sorted(every)[-2]
        sure = str(row["sure"]).lower() == "true"
        assert sure == (np.float32(row["confidence"]) >= 0.3)
    assert list(rows[0])[:6] == ["path", "class", "confidence", "sure", "error", "model"]


def test_the_format_is_the_models_own_channels_crop_and_shape(classifier, photos, tmp_path):
    image = next(photos.rglob("*.png"))
    predict_files(classifier, [image], tmp_path / "out.jsonl", probabilities=True)
    pixels = decode_as(classifier.image_format, image.read_bytes(), name="x")
    assert pixels.shape == (8, 12, 1)
    expected = classifier.predict_proba(pixels[None])[0]
    (row,) = read(tmp_path / "out.jsonl")
    found = [row[f"p_{plain_text(name)}"] for name in NAMES]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_cut_anywhere_and_gone_on_with_the_table_is_whole(classifier, photos, tmp_path, suffix):
    whole = tmp_path / f"whole{suffix}"
    (photos / "bad.png").write_text("x")
    predict_files(classifier, [photos], whole, top=2)
    content = whole.read_bytes()
    out = tmp_path / f"out{suffix}"
    for length in [*range(0, 120, 7), *range(120, len(content) + 1, 61)]:
        # What a file system may leave after the last thing that was written.
        for rest in (b"", b"\0" * 100)[: 1 + (length > 100)]:
            out.write_bytes(content[:length] + rest)
            predict_files(classifier, [photos], out, top=2, append=True)
            assert same_rows(read(out), read(whole))


def test_parquet_goes_on_from_what_waits_beside_it(classifier, photos, tmp_path):
    out = tmp_path / "out.parquet"
    predict_files(classifier, [photos / "0"], out)
    columns = Columns(model=model_id(classifier, classifier.image_format), class_names=NAMES)
    rows = [{**dict.fromkeys(columns.names), **row} for row in read(out)]
    waiting = [{**rows[0], "path": str(photos / "1" / "01.png")}]
    with LineTable(partial_file(out), columns, JSON_LINES) as interrupted:
        interrupted.add(waiting)
    moved = out.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="partial: exists already"):
        predict_files(classifier, [photos], out)
    moved.rename(out)
    summary = predict_files(classifier, [photos], out, append=True)
    assert summary.skipped == 11
    assert not partial_file(out).exists()
    paths = [row["path"] for row in read(out)]
    assert sorted(paths) == sorted(map(str, photos.rglob("*.png")))


def test_parquet_rows_in_both_files_are_kept_once(classifier, photos, tmp_path):
    """The power failed between writing the one and removing the other."""
    out = tmp_path / "out.parquet"
    columns = Columns(model=model_id(classifier, classifier.image_format), class_names=NAMES)
    predict_files(classifier, [photos], out)
    before = read(out)
    with LineTable(partial_file(out), columns, JSON_LINES) as waiting:
        waiting.add([{**row} for row in before])
    predict_files(classifier, [photos], out, append=True)
    assert read(out) == before


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    "content",
    [b"name,age\nTom,3\n", b"Dear diary", b'{"a": 1}\n', b"\0\0\0", b"path,class\n", b"[1]\n"],
)
def test_a_foreign_file_is_left_alone(classifier, photos, tmp_path, suffix, content):
    out = tmp_path / f"out{suffix}"
    out.write_bytes(content)
    with pytest.raises(InputError, match="another file"):
        predict_files(classifier, [photos], out, append=True)
    assert out.read_bytes() == content


def test_the_model_of_a_row_changes_with_all_that_decides_the_answers(classifier):
    own = model_id(classifier, classifier.image_format)
    weights = classifier.model.get_weights()
    others = [
        model_id(replace(classifier, temperature=2.0), classifier.image_format),
        model_id(replace(classifier, class_names=NAMES[::-1]), classifier.image_format),
        model_id(replace(classifier, not_sure_below=None), classifier.image_format),
        model_id(classifier, replace(classifier.image_format, resize_mode="pad")),
    ]
    try:
        classifier.model.set_weights([w + 1e-6 for w in weights])
        others.append(model_id(classifier, classifier.image_format))
    finally:
        classifier.model.set_weights(weights)
    assert len({own, *others}) == 6
    assert model_id(classifier, classifier.image_format) == own


# --- names


texts = st.text(st.characters(exclude_categories=())) | st.binary().map(os.fsdecode)


@given(texts)
def test_a_name_reads_back_and_takes_one_line_of_utf_8(text):
    written = plain_text(text)
    assert original_text(written) == text
    assert len(written.encode().splitlines()) <= 1


@given(st.lists(texts, min_size=1, max_size=4, unique=True), st.sampled_from([CSV, JSON_LINES]))
def test_rows_read_back(tmp_path_factory, names, line_format):
    path = tmp_path_factory.mktemp("rows") / "out"
    columns = Columns(model="m", class_names=tuple(names), top=2, probabilities=True)
    rows = [
        {**dict.fromkeys(columns.names), "path": plain_text(name), "model": "m"} for name in names
    ]
    with LineTable(path, columns, line_format) as table:
        table.add(rows)
    found = [row["path"] for _, row in read_rows(path, columns, line_format) if row]
    assert list(map(original_text, found)) == names
    with LineTable(path, columns, line_format) as again:
        assert again.done == set(names)


@pytest.mark.parametrize("name", [b"new\nline.png", b"latin-\xe9.png", b'"quoted".png', b"a,b.png"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_odd_names_lead_back_to_their_files(classifier, photos, tmp_path, name, suffix):
    path = tmp_path / "odd" / os.fsdecode(name)
    path.parent.mkdir()
    path.write_bytes(next(photos.rglob("*.png")).read_bytes())
    out = tmp_path / f"out{suffix}"
    predict_files(classifier, [path.parent], out)
    (row,) = read(out)
    assert Path(original_text(row["path"])) == path
    assert predict_files(classifier, [path.parent], out, append=True).skipped == 1


def test_two_classes_of_one_name_have_no_columns():
    with pytest.raises(InputError, match="same name"):
        Columns(model="m", class_names=("a", "a"), probabilities=True)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_a_list_of_names_in_pieces_of_any_size(tmp_path, monkeypatch, end):
    names = [f"a folder/{n}.png" for n in range(40)]
    path = tmp_path / "list.txt"
    path.write_bytes(end.join(name.encode() for name in names))
    for size in (17, 1 << 16):
        monkeypatch.setattr("cifarlab.predicting.sources.LIST_PIECE", size)
        with path.open("rb") as file:
            assert list(listed_names(file)) == names


# --- searching


def found(*names: object, **options: bool) -> list[str]:
    return [source.name for source in find_images([str(name) for name in names], **options)]


def test_a_search_leaves_out_what_datasets_leave_out(tmp_path, recwarn):
    root = tmp_path / "all"
    kept = [root / "a.PNG", root / "b" / "c.jpg", root / "b" / "d" / "none"]
    for path in [
        *kept,
        root / ".hidden.png",
        root / "Thumbs.db",
        root / "@eaDir" / "a.png",
        root / "run" / "a.png",
        root / "notes.txt",
    ]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG")
    for name in ("recipe.json", "environment.json"):
        (root / "run" / name).write_text("{}")
    (root / "b" / "loop").symlink_to(root)
    os.mkfifo(root / "fifo.png")
    assert found(root) == list(map(str, kept))
    (warning,) = recwarn.list
    assert "and 4 more left out" in str(warning.message)


def test_links_out_of_a_folder_are_read_on_request(tmp_path):
    outside = tmp_path / "outside" / "a.png"
    outside.parent.mkdir()
    outside.write_bytes(b"\x89PNG")
    root = tmp_path / "root"
    root.mkdir()
    (root / "folder").symlink_to(outside.parent)
    (root / "b.png").write_bytes(b"\x89PNG")
    with pytest.warns(UserWarning, match="--follow-links"):
        assert found(root) == [str(root / "b.png")]
    assert found(root, follow_links=True) == [
        str(root / "b.png"),
        str(root / "folder" / "a.png"),
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a.png"]),
        ("**/*.png", ["a.png", "x/b.png", "x/y/c.png", "z[1]/d.png"]),
        ("**", ["a.png", "x/b.png", "x/y/c.png", "z[1]/d.png"]),
        ("x/*", ["x/b.png", "x/y/c.png"]),
        ("**/y", ["x/y/c.png"]),
        ("?/y/*.png", ["x/y/c.png"]),
        ("**/x/**/c.*", ["x/y/c.png"]),
        ("[xz]*", ["x/b.png", "x/y/c.png", "z[1]/d.png"]),
        ("z[1]", ["z[1]/d.png"]),
        ("z[1]/d.png", ["z[1]/d.png"]),
    ],
)
def test_a_pattern_finds_each_image_once(tmp_path, monkeypatch, pattern, expected):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "x/b.png", "x/y/c.png", "z[1]/d.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"\x89PNG")
    assert found(pattern) == expected
    assert found(tmp_path / pattern) == [str(tmp_path / name) for name in expected]
    check_names([pattern])


def test_a_pattern_searches_only_the_folders_that_may_fit(tmp_path, monkeypatch):
    for name in ("x/b.png", "far/deep/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"\x89PNG")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    assert (
        found(tmp_path / "x" / "*.png", tmp_path / "x*" / "*.png")
        == [str(tmp_path / "x" / "b.png")] * 2
    )
    assert not [path for path in listed if "far" in path]


def test_a_folder_that_cannot_be_listed_is_a_row_of_its_own(
    classifier, photos, tmp_path, monkeypatch
):
    scandir = os.scandir

    def failing(path):
        if str(path).endswith("/1"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    summary = predict_files(classifier, [photos], tmp_path / "out.csv")
    assert (summary.bad, sum(summary.classified.values())) == (1, 20)
    (bad,) = [row for row in read(tmp_path / "out.csv") if row["error"]]
    assert bad["path"] == str(photos / "1")
    assert bad["error"] == "cannot be listed (Permission denied); check its permissions"


# --- memory and order


def test_an_interruption_leaves_a_table_that_waits(classifier, photos, tmp_path, monkeypatch):
    """Ctrl-C while the second batch is predicted: the first is kept, in every format."""
    predict = Classifier.predict_proba
    for suffix, place in ((".csv", "out.csv"), (".parquet", "out.parquet.partial")):
        calls = []

        def interrupted(self, images, calls=calls):
            calls.append(len(images))
            if len(calls) == 2:
                raise KeyboardInterrupt
            return predict(self, images)

        out = tmp_path / f"out{suffix}"
        with monkeypatch.context() as patch:
            patch.setattr(Classifier, "predict_proba", interrupted)
            with pytest.raises(KeyboardInterrupt):
                predict_files(classifier, [photos], out, batch_size=10)
        lines = (tmp_path / place).read_text().splitlines()
        assert len([line for line in lines if ".png" in line]) == 10
        assert predict_files(classifier, [photos], out, append=True).skipped == 10
        assert len(read(out)) == 30


def test_few_images_are_held_and_the_order_stays(classifier, monkeypatch):
    """A stream of any length: it is read no further ahead than a few batches."""
    monkeypatch.setattr(answers_module, "DECODERS", 4)
    content = png(np.zeros((8, 12), np.uint8))
    started = 0

    def endless() -> Iterator[Source]:
        nonlocal started
        while True:
            started += 1
            yield Source(name=str(started), read=lambda: content)

    given_out = 0
    stream = answers(classifier, endless(), classifier.image_format, batch_size=10)
    for _ in range(20):
        batch = next(stream)
        assert [int(answer.source.name) for answer in batch] == list(
            range(given_out + 1, given_out + 11)
        )
        given_out += len(batch)
        assert started - given_out <= 20
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def png(pixels: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_two_processes_do_not_write_to_one_table(classifier, photos, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    columns = Columns(model=model_id(classifier, classifier.image_format), class_names=NAMES)
    place = out if suffix == ".csv" else partial_file(out)
    writer = LineTable(place, columns, CSV if suffix == ".csv" else JSON_LINES)
    with writer, pytest.raises(UsageError, match="another process writes to it"):
        predict_files(classifier, [photos], out, append=True)
    assert predict_files(classifier, [photos], out, append=True).skipped == 0
    assert {path.name for path in tmp_path.iterdir()} == {"photos", out.name}


def test_a_full_disk_says_so_and_keeps_the_rows_before(classifier, photos, tmp_path, monkeypatch):
    write = LineTable.add
    count = []

    def full(self, rows):
        count.append(len(rows))
        if len(count) == 2:
            monkeypatch.setattr(os, "fsync", partial(failed, 28))
        write(self, rows)

    def failed(number: int, *_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(LineTable, "add", full)
    with pytest.raises(ResourceError, match="no space is left"):
        predict_files(classifier, [photos], tmp_path / "out.csv", batch_size=10)
    monkeypatch.undo()
    assert len(read(tmp_path / "out.csv")) in (10, 20)
    predict_files(classifier, [photos], tmp_path / "out.csv", append=True)
    assert len(read(tmp_path / "out.csv")) == 30


# --- copies


@given(st.lists(st.text(max_size=8), unique=True, max_size=12))
def test_folder_names_are_possible_and_apart(names):
    folders = folder_names(names)
    assert list(folders) == names
    assert len({folder.casefold() for folder in folders.values()}) == len(names)
    for folder in folders.values():
        assert folder not in ("", ".", "..", "not sure")
        assert Path(folder).parts == (folder,)
        folder.encode()
        assert not set(folder) & set('<>:"/\\|?*\0\n')
        assert not folder.startswith(".")


def test_names_that_a_system_reserves_are_changed():
    assert folder_names(["con", "NUL.x", "console", "a.", "..", "not sure"]) == {
        "con": "_con",
        "NUL.x": "_NUL.x",
        "console": "console",
        "a.": "a",
        "..": "_",
        "not sure": "not sure-2",
    }


def test_a_copy_never_overwrites_and_is_made_once(tmp_path):
    contents = [b"first", b"second", b"third", b"second"]
    files = [tmp_path / str(n) / "same.png" for n in range(4)]
    for file, content in zip(files, contents, strict=True):
        file.parent.mkdir()
        file.write_bytes(content)
    folder = tmp_path / "sorted" / "cat"
    for _ in range(2):
        names = [copy_into(folder, file).name for file in files]
        assert names == ["same.png", "same-2.png", "same-3.png", "same-2.png"]
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"first", b"second", b"third"]


def test_copies_whose_disk_is_full_leave_nothing_half(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    file.write_bytes(b"x" * 100)

    def half(_, target):
        Path(target).write_bytes(b"x")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", half)
    with pytest.raises(ResourceError, match="no space is left"):
        copy_into(tmp_path / "sorted", file)
    assert list((tmp_path / "sorted").iterdir()) == []


def test_a_row_without_probabilities_says_why(classifier):
    columns = Columns(model="m", class_names=NAMES, top=3)
    source = Source(name="a.png", read=lambda: b"")
    row = row_of(Answer(source=source, error="empty"), columns, classifier)
    assert row == {
        **dict.fromkeys(columns.names),
        "path": "a.png",
        "model": "m",
        "error": "empty",
    }
