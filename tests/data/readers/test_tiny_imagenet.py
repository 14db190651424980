"""Tiny ImageNet as it is published: a folder or a zip archive, validation labels in a table."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.tiny_imagenet import find
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError

OPTIONS = LoadOptions()
WORDS = "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane, lifting machine\nn09\tunused\n"


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def contents() -> dict[str, bytes]:
    files = {"words.txt": WORDS.encode(), "wnids.txt": b"n03\nn01\nn02\n"}
    for index, name in enumerate(("n01", "n02", "n03")):
        files[f"train/{name}/{name}_boxes.txt"] = b"x"
        for number in range(3):
            files[f"train/{name}/images/{name}_{number}.JPEG"] = jpeg(index * 10 + number)
    rows = []
    for index, name in enumerate(("n03", "n01")):
        files[f"val/images/val_{index}.JPEG"] = jpeg(100 + index)
        rows.append(f"val_{index}.JPEG\t{name}\t0\t32\t44\t62\n")
    files["val/val_annotations.txt"] = "".join(rows).encode()
    files["test/images/test_0.JPEG"] = jpeg(200)
    return files


@pytest.fixture(params=["folder", "around it", "archive"])
def place(request, tmp_path) -> Path:
    if request.param == "archive":
        return pack(tmp_path / "tiny-imagenet-200.zip", contents())
    for name, data in contents().items():
        path = tmp_path / "tiny-imagenet-200" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path if request.param == "around it" else tmp_path / "tiny-imagenet-200"


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", data)
    return path


def test_it_is_read_as_published(place):
    result = find(place, OPTIONS)
    assert isinstance(result, Found)
    # Two classes have the same first name.
    assert result.class_names == ("goldfish", "crane (n02)", "crane (n03)")
    assert result.splits["train"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert result.splits["validation"].labels.tolist() == [2, 0]
    assert result.splits["validation"].names == ("val/images/val_0.JPEG", "val/images/val_1.JPEG")
    assert set(result.splits) == {"train", "validation"}
    assert "left out 1 test images" in result.notes[0]
    for split, names in ((s, part.names) for s, part in result.splits.items()):
        stored = list(result.splits[split].contents())
        data = [s if isinstance(s, bytes) else s.read_bytes() for s in stored]
        assert data == [contents()[name] for name in names]


def test_other_places_give_no_reason(tmp_path):
    (tmp_path / "a").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("cat/1.png", b"x")
    for path in (tmp_path, tmp_path / "a.zip", tmp_path / "missing"):
        assert find(path, OPTIONS) == Rejected(reason="")


@pytest.mark.parametrize(
    "row", ["val_9.JPEG\tn01\t0\t0\t1\t1", "val_0.JPEG\tn77\t0\t0\t1\t1", "val_0.JPEG", "\0"]
)
def test_a_row_that_names_no_image_or_class_is_damage(tmp_path, row):
    files = contents()
    files["val/val_annotations.txt"] = row.encode()
    with pytest.raises(InputError, match=r"line 1 of val/val_annotations\.txt"):
        find(pack(tmp_path / "a.zip", files), OPTIONS)


def test_a_table_without_rows_or_no_training_images(tmp_path):
    files = contents()
    files["val/val_annotations.txt"] = b""
    with pytest.raises(InputError, match="names no images"):
        find(pack(tmp_path / "a.zip", files), OPTIONS)
    files = {name: data for name, data in contents().items() if not name.startswith("train/")}
    result = find(pack(tmp_path / "b.zip", files), OPTIONS)
    assert isinstance(result, Rejected)
    assert "without training images" in result.reason
