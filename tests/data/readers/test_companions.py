"""Masks, annotations and copies are never trained on, and said to be left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder
from data.readers.places import DEFAULTS, classes, found, made

PAIRS = [(c, i) for c in ("cat", "dog") for i in range(3)]


@pytest.mark.parametrize(
    ("image", "other"),
    [
        ("images/{c}/{i}.png", "masks/{c}/{i}.png"),
        ("{c}/images/{i}.png", "{c}/masks/{i}.png"),
        ("train/{c}/images/{i}.png", "train/{c}/Annotations/{i}.png"),
        ("{c}/x ({i}).png", "{c}/x ({i})_mask.png"),
        ("{c}/x{i}.png", "{c}/x{i}_Segmentation.png"),
        ("{c}/{i}.png", "{c}/masks/{i}.png"),
        ("{c}/{i}.png", "again/{c}/{i}.png"),
        ("data/{c}/{i}.png", "data/data/{c}/{i}.png"),
    ],
)
def test_what_belongs_to_other_images_is_left_out_and_said(
    tmp_path: Path, image: str, other: str
) -> None:
    wanted = {image.format(c=c, i=i): c for c, i in PAIRS}
    made(tmp_path, *wanted, *(other.format(c=c, i=i) for c, i in PAIRS))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert classes(answer)["train"] == wanted
    assert sum("left out" in note and "such as" in note for note in answer.notes) == 1
    again = folder.find(tmp_path, LoadOptions(**answer.options))
    assert classes(again) == classes(answer)


def test_classes_may_be_called_like_annotations_on_request(tmp_path: Path) -> None:
    made(tmp_path, "images/1.png", "masks/1.png")
    answer = found(folder.find(tmp_path, LoadOptions(class_folder="first")))
    assert answer.class_names == ("images", "masks")


def test_persons_with_masks_are_images(tmp_path: Path) -> None:
    made(tmp_path, *(f"with_mask/{i}-with-mask.png" for i in range(3)), "without_mask/1.png")
    assert len(found(folder.find(tmp_path, DEFAULTS)).splits["train"]) == 4


def test_one_image_that_is_called_a_mask_is_an_image(tmp_path: Path) -> None:
    made(tmp_path, *(f"cat/{i}.png" for i in range(5)), "cat/1_mask.png", "dog/1.png")
    assert len(found(folder.find(tmp_path, DEFAULTS)).splits["train"]) == 7
