"""Folders for object detection are said to be that, and what is needed instead; nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.catalog import find
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, made, write

COCO = '{"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [], "categories": []}'
BOX = "0 0.5 0.5 0.1 0.1\n"


@pytest.mark.parametrize(
    ("images", "others", "words"),
    [
        (["train2017/1.jpg"], {"annotations/instances_train2017.json": COCO}, "COCO"),
        (["images/train/1.jpg"], {"annotations/train.json": COCO}, "COCO"),
        (["train/1.jpg"], {"train/_annotations.coco.json": COCO}, "COCO"),
        (["images/1.jpg"], {"labels/1.txt": BOX, "data.yaml": ""}, "YOLO"),
        (["images/train/1.jpg"], {"labels/train/1.txt": BOX}, "YOLO"),
        (["train/images/1.jpg"], {"train/labels/1.txt": BOX}, "YOLO"),
        (["obj_train_data/1.jpg"], {"obj_train_data/1.txt": BOX}, "YOLO"),
        (["JPEGImages/1.jpg"], {"Annotations/1.xml": "<annotation/>"}, "Pascal VOC"),
        ([], {"VOCdevkit/VOC2012/Annotations/1.xml": "<annotation/>"}, "Pascal VOC"),
    ],
)
def test_object_detection_is_named(
    tmp_path: Path, images: list[str], others: dict[str, str], words: str
) -> None:
    made(tmp_path, *images)
    for name, content in others.items():
        write(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        find(tmp_path, DEFAULTS)
    said = str(caught.value)
    assert words in said
    assert "object detection" in said
    assert "one class for each image" in said
    assert "--label-pattern" not in said
    assert "class folders" not in said


def test_class_folders_with_annotations_are_class_folders(tmp_path: Path) -> None:
    images = [f"photos/{c}/{i}.jpg" for c in ("cat", "dog") for i in range(2)]
    made(tmp_path, *images, **{"Annotations/cat/0.xml": "<annotation/>"})
    assert find(tmp_path, DEFAULTS).class_names == ("cat", "dog")
    (tmp_path / "photos" / "eel").mkdir()
    with pytest.raises(InputError, match="eel: holds no images"):
        find(tmp_path, DEFAULTS)
