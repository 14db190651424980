"""CSV tables of pixels are read as square grey images, whatever way their columns are laid out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import folder, pixel_tables
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import InputError
from data.readers.places import DEFAULTS, classes, found

Array = np.ndarray[Any, Any]


def images(count: int, side: int = 28, seed: int = 0) -> Array:
    made = np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)
    # As in real ones, the corners never vary.
    made[:, 0, 0] = made[:, -1, -1] = 0
    return made


def rows(pixels: Array, labels: Sequence[Any] | None, *, last: bool = False) -> list[str]:
    lines = []
    for number, image in enumerate(pixels):
        cells = [str(v) for v in image.ravel()]
        if labels is not None:
            cells.insert(len(cells) if last else 0, str(labels[number]))
        lines.append(",".join(cells))
    return lines


def save(path: Path, header: str | None, lines: Sequence[str]) -> Path:
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return path


def arrays(answer: Found | Rejected, split: str = "train") -> Array:
    return np.stack(list(found(answer).splits[split].contents()))  # type: ignore[arg-type]


NUMBERED = ",".join(f"pixel{i}" for i in range(784))
BY_PLACE = ",".join(f"{r}x{c}" for r in range(1, 29) for c in range(1, 29))


@pytest.mark.parametrize(
    ("header", "last"),
    [
        (f"label,{NUMBERED}", False),
        (f"{NUMBERED},label", True),
        (f"Label,{BY_PLACE}", False),
        (f"{NUMBERED},class", True),
        (None, False),
        (None, True),
    ],
)
def test_a_column_for_each_pixel(tmp_path: Path, header: str | None, last: bool) -> None:
    pixels, labels = images(6), [5, 0, 4, 5, 0, 4]
    path = save(tmp_path / "mnist.csv", header, rows(pixels, labels, last=last))
    answer = found(pixel_tables.find(path, DEFAULTS))
    np.testing.assert_array_equal(arrays(answer), pixels)
    assert arrays(answer).dtype == np.uint8
    assert list(classes(answer)["train"].values()) == [str(v) for v in labels]
    assert answer.class_names == ("0", "4", "5")
    assert folder.find(path, DEFAULTS) == Rejected(reason="")


def test_a_column_of_all_pixels_with_splits_in_usage(tmp_path: Path) -> None:
    pixels, usage = images(4, 48), ["Training", "Training", "PublicTest", "PrivateTest"]
    lines = [
        f"{i % 2},{' '.join(map(str, image.ravel()))},{usage[i]}" for i, image in enumerate(pixels)
    ]
    path = save(tmp_path / "fer2013.csv", "emotion,pixels,Usage", [lines[0], lines[1], *lines[2:]])
    answer = pixel_tables.find(path, DEFAULTS)
    np.testing.assert_array_equal(arrays(answer), pixels[:2])
    np.testing.assert_array_equal(arrays(answer, "validation"), pixels[2:3])
    np.testing.assert_array_equal(arrays(answer, "test"), pixels[3:])


def test_train_and_test_files_are_splits_and_one_without_labels_is_left_out(tmp_path: Path) -> None:
    save(tmp_path / "mnist_train.csv", f"label,{NUMBERED}", rows(images(4), [0, 1, 0, 1]))
    save(tmp_path / "mnist_test.csv", f"label,{NUMBERED}", rows(images(2, seed=1), [1, 0]))
    answer = pixel_tables.find(tmp_path, DEFAULTS)
    np.testing.assert_array_equal(arrays(answer, "test"), images(2, seed=1))
    save(tmp_path / "mnist_test.csv", NUMBERED, rows(images(2, seed=1), None))
    save(tmp_path / "sample_submission.csv", "ImageId,Label", ["1,0", "2,0"])
    answer = found(pixel_tables.find(tmp_path, DEFAULTS))
    assert set(answer.splits) == {"train"}
    assert any("left out mnist_test.csv, without labels" in note for note in answer.notes)


@pytest.mark.parametrize(("highest", "scale"), [(16, 255 / 16), (1, 255)])
def test_pixels_of_a_small_range_are_scaled_and_that_is_said(
    tmp_path: Path, highest: int, scale: float
) -> None:
    pixels = images(4, 8) % (highest + 1)
    pixels[0, 3, 3] = highest
    header = ",".join(["label", *(f"pixel_{r}_{c}" for r in range(8) for c in range(8))])
    path = save(tmp_path / "digits.csv", header, rows(pixels, [0, 1, 0, 1]))
    answer = found(pixel_tables.find(path, DEFAULTS))
    np.testing.assert_array_equal(arrays(answer), np.rint(pixels * scale).astype(np.uint8))
    assert any(f"from 0 to {highest} are scaled" in note for note in answer.notes)


@pytest.mark.parametrize("cell", ["256", "-1", "", "x"])
def test_cells_that_are_no_pixels_are_refused(tmp_path: Path, cell: str) -> None:
    lines = rows(images(3), [0, 1, 0])
    lines[2] = lines[2].rpartition(",")[0] + f",{cell}"
    path = save(tmp_path / "mnist.csv", f"label,{NUMBERED}", lines)
    with pytest.raises(InputError, match=r"not from 0 to 255|damaged table") as caught:
        pixel_tables.find(path, DEFAULTS)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_cut_off_is_an_error_in_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "mnist.csv", f"label,{NUMBERED}", rows(images(300), [0, 1, 0] * 100))
    with path.open("r+") as file:
        file.truncate(path.stat().st_size - 1000)
    with pytest.raises(InputError, match="a damaged table"):
        pixel_tables.find(path, DEFAULTS)


def test_two_tables_of_no_split_ask_which(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.csv", f"label,{NUMBERED}", rows(images(2), [0, 1]))
    with pytest.raises(InputError, match=r"holds the tables a\.csv, b\.csv; give one"):
        pixel_tables.find(tmp_path, DEFAULTS)


def test_other_tables_are_left_alone(tmp_path: Path) -> None:
    save(tmp_path / "a.csv", "file,label", ["1.png,cat"])
    save(tmp_path / "wide.csv", ",".join(f"f{i}" for i in range(65)), [",".join(["1"] * 65)])
    for path in (tmp_path, tmp_path / "a.csv", tmp_path / "wide.csv"):
        assert pixel_tables.find(path, DEFAULTS) == Rejected(reason="")
    assert pixel_tables.find(tmp_path, LoadOptions(labels="a.csv")) == Rejected(reason="")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize(
    "names",
    [
        ["digit", *(f"v{i}" for i in range(784))],
        ["label", *(str(i) for i in range(784))],
        [str(i) for i in range(785)],
    ],
)
def test_names_of_any_kind_before_the_numbers(tmp_path: Path, names: list[str], mark: str) -> None:
    pixels, labels = images(6), [5, 0, 4, 5, 0, 4]
    lines = [line.replace(",", mark) for line in rows(pixels, labels)]
    answer = found(pixel_tables.find(save(tmp_path / "a.csv", mark.join(names), lines), DEFAULTS))
    np.testing.assert_array_equal(arrays(answer), pixels)
    assert list(classes(answer)["train"].values()) == [str(v) for v in labels]


def test_a_column_that_numbers_the_rows_is_no_class(tmp_path: Path) -> None:
    lines = [f"{n},{line}" for n, line in enumerate(rows(images(4), [1, 0, 1, 0]))]
    answer = found(pixel_tables.find(save(tmp_path / "a.csv", f",y,{NUMBERED}", lines), DEFAULTS))
    assert answer.class_names == ("0", "1")
    assert len(arrays(answer)) == 4


@pytest.mark.parametrize("last", [False, True])
def test_classes_at_either_end_without_names(tmp_path: Path, last: bool) -> None:
    pixels = images(6)
    pixels[:, 0, 0] = pixels[:, -1, -1] = [7, 200, 7, 3, 90, 7]
    path = save(tmp_path / "a.csv", None, rows(pixels, [0, 1, 2, 0, 1, 2], last=last))
    answer = found(pixel_tables.find(path, DEFAULTS))
    assert answer.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(arrays(answer), pixels)


def test_classes_that_may_be_at_both_ends_ask_which(tmp_path: Path) -> None:
    pixels = images(4)
    pixels[:, -1, -1] = [0, 1, 1, 0]
    path = save(tmp_path / "a.csv", None, rows(pixels, [0, 1, 0, 1]))
    with pytest.raises(InputError, match=r"first column or in the last.*--label-column 0 or 784"):
        pixel_tables.find(path, DEFAULTS)
    answer = found(pixel_tables.find(path, LoadOptions(label_column="0")))
    np.testing.assert_array_equal(arrays(answer), pixels)


def test_colours_in_an_order_that_is_not_said_are_refused(tmp_path: Path) -> None:
    header = ",".join(["label", *(f"pixel{i}" for i in range(192))])
    path = save(tmp_path / "a.csv", header, [",".join(["0", *["7"] * 192])] * 2)
    with pytest.raises(InputError, match=r"192 pixels an image: 8x8 in three colours.*reshape"):
        pixel_tables.find(path, DEFAULTS)


def test_a_flag_divides_a_table_of_pixels(tmp_path: Path) -> None:
    lines = [f"{line},{int(n > 3)}" for n, line in enumerate(rows(images(6), [0, 1] * 3))]
    path = save(tmp_path / "a.csv", f"label,{NUMBERED},is_test", lines)
    assert {s: len(v) for s, v in classes(pixel_tables.find(path, DEFAULTS)).items()} == {
        "train": 4,
        "test": 2,
    }
