"""The page of a dataset: what is counted, shown and warned of; nothing a name holds is run."""

from __future__ import annotations

import base64
import io
import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.dataset import Dataset, Split
from cifarlab.errors import ResourceError
from cifarlab.reporting import dataset_duplicates
from cifarlab.reporting.dataset_duplicates import find_twice
from cifarlab.reporting.dataset_page import MOST_PIXELS, show_dataset

EVIL = '<script>alert("x")</script>'


def split_of(counts: tuple[int, ...], seed: int, shape: tuple[int, ...] = (28, 28, 1)) -> Split:
    draws = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    images = draws.integers(0, 256, (len(labels), *shape), np.uint8)
    names = tuple(f"{seed}/{i}.png" for i in range(len(labels)))
    return Split(images=images, labels=labels, names=names)


def uneven(shape: tuple[int, ...] = (28, 28, 1)) -> Dataset:
    return Dataset(
        name="blobs",
        source="/data/blobs",
        class_names=("disc", "square", "ring"),
        train=split_of((60, 20, 4), 1, shape),
        validation=split_of((6, 2, 0), 2, shape),
        test=split_of((10, 5, 1), 3, shape),
        loading={"image_size": (28, 28), "channels": "grey"},
        skipped=("x/a.png: empty",),
    )


def text_of(page: Path) -> str:
    html = page.read_text(encoding="utf-8")
    html = re.sub(r"<style>.*?</style>", "", html, flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def images_of(page: Path) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', page.read_text(encoding="utf-8"))
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in found]


def test_counts_options_bad_files_and_warnings_are_there(tmp_path):
    text = text_of(show_dataset(uneven(), tmp_path / "page.html"))
    for said in (
        "108 images of 3 classes, 28x28 grey",
        "Source: /data/blobs",
        "train 84 validation 8 test 16",
        "disc 60 6 10 76",
        "ring 4 0 1 5",
        "Uneven classes: 60 images of disc, 4 of ring",
        "No validation images of ring",
        "Fewer than 10 training images of ring",
        "x/a.png: empty",
        "image size 28x28 channels grey",
        "train, 10 of 60",
        "validation, none",
    ):
        assert said in text


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (8, 256, 3), (200, 120, 1)])
def test_images_are_shown_without_loss_and_in_their_shape(tmp_path, shape):
    data = uneven(shape)
    page = show_dataset(data, tmp_path / "page.html")
    known = {
        image.tobytes() for s in (data.train, data.validation, data.test) for image in s.images
    }
    shown = images_of(page)
    assert len(shown) >= 10 + 10 + 4 + 6 + 2 + 10 + 5 + 1
    sizes = re.findall(r'width="(\d+)" height="(\d+)"', page.read_text(encoding="utf-8"))
    for pixels, (width, height) in zip(shown, sizes, strict=True):
        assert (pixels.ndim == 2) == (shape[2] == 1)
        if max(shape) <= 96:
            assert pixels.tobytes() in known
        assert int(width) % pixels.shape[1] == 0
        assert int(width) / pixels.shape[1] == int(height) / pixels.shape[0]
        assert max(int(width), int(height)) <= 96


def test_equal_images_across_splits_and_labels_are_found(tmp_path):
    data = uneven()
    data.test.images[0] = data.train.images[0]
    data.test.images[12] = data.train.images[5]
    data.train.images[21] = data.train.images[20]
    twice = find_twice(data)
    places = [(p.first, p.second, p.same_label) for p in twice.equal]
    assert places == [
        (("train", 5), ("test", 12), False),
        (("train", 0), ("test", 0), True),
        (("train", 20), ("train", 21), True),
    ]
    text = text_of(show_dataset(data, tmp_path / "page.html"))
    assert "Images with the same pixels as an earlier one: 3" in text
    assert "The same image in two splits: 2 times" in text
    assert "disc | square" in text


def test_near_duplicates_are_found_in_one_split_and_in_two():
    data = uneven((32, 32, 3))
    smooth = np.asarray(
        [
            Image.fromarray(image[:6, :6]).resize((32, 32), Image.Resampling.BICUBIC)
            for image in data.train.images
        ]
    )
    train = replace(data.train, images=smooth)
    train.images[7] = np.clip(train.images[3].astype(int) + 6, 0, 255)
    data.test.images[4] = train.images[9][:, ::-1] * 0.95
    found = {frozenset((p.first, p.second)) for p in find_twice(replace(data, train=train)).near}
    assert frozenset((("train", 3), ("train", 7))) in found
    assert frozenset((("train", 9), ("test", 4))) in found


@pytest.mark.parametrize("count", [1, 2, 3, 8, 37])
def test_every_two_images_of_a_split_are_compared(count):
    compared = {
        frozenset((int(a), int(b)))
        for one, other in dataset_duplicates._halves(count)
        for a, b in itertools.product(one, other)
    }
    assert compared == {frozenset(two) for two in itertools.combinations(range(count), 2)}


def test_of_large_splits_a_sample_is_searched_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_duplicates, "NEAR_SAMPLE", 50)
    monkeypatch.setattr(dataset_duplicates, "EXACT_SAMPLE", 70)
    text = text_of(show_dataset(uneven(), tmp_path / "page.html"))
    assert "Compared: a random 50 of 84 train images, all 8 validation images" in text
    assert "Compared: a random 70 of 84 train images" in text


def test_a_thousand_classes_make_a_page_to_send_by_mail(tmp_path):
    counts = (8,) * 1000
    split = split_of(counts, 0, (32, 32, 3))
    data = replace(
        uneven(),
        class_names=tuple(f"class {i}" for i in range(1000)),
        train=split,
        validation=split.subset(np.arange(0)),
        test=split.subset(np.arange(0, 8000, 8)),
    )
    page = show_dataset(data, tmp_path / "page.html")
    assert sum(image.shape[0] * image.shape[1] for image in images_of(page)) <= 1.1 * MOST_PIXELS
    assert page.stat().st_size < 30_000_000


def test_no_name_is_run(tmp_path):
    data = uneven()
    names = tuple(EVIL for _ in data.train.names)
    page = show_dataset(
        replace(
            data,
            name=EVIL,
            source=EVIL,
            class_names=(EVIL, "{{ 7 * 7 }}", "new\nline \udce9"),
            train=replace(data.train, names=names),
            skipped=(EVIL,),
            loading={EVIL: EVIL},
        ),
        tmp_path / "page.html",
    )
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html
    assert "{{ 7 * 7 }}" in html
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)


def test_the_same_seed_gives_the_same_page(tmp_path):
    pages = [show_dataset(uneven(), tmp_path / f"{n}.html", seed=n // 2) for n in range(4)]
    first, again, other, _ = [page.read_bytes() for page in pages]
    assert first == again != other


def test_a_folder_that_cannot_be_written_to_is_said_before_the_work(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written"):
        show_dataset("no such dataset", tmp_path / "no" / "page.html")
