"""Of cells that list boxes, as in ImageNet's tables, the class is the word before the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from cifarlab.data.readers import folder
from cifarlab.data.samples import Rejected
from data.readers.places import DEFAULTS, classes, found, made, write

SYNSETS = ("n01440764", "n02017213")


def row(number: int) -> str:
    name = SYNSETS[number % 2]
    boxes = f"{name} {number} 2 30 40 " * (1 + number % 3)
    return f"{number:03},{boxes}\n"


def test_the_class_is_the_first_word(tmp_path: Path) -> None:
    made(tmp_path, *(f"images/{i:03}.png" for i in range(9)))
    head = "ImageId,PredictionString\n"
    write(tmp_path / "LOC_train_solution.csv", head + "".join(map(row, range(6))))
    write(tmp_path / "LOC_val_solution.csv", head + "".join(map(row, range(6, 9))))
    answer = found(folder.find(tmp_path, DEFAULTS))
    assert answer.class_names == SYNSETS
    assert classes(answer) == {
        split: {f"images/{i:03}.png": SYNSETS[i % 2] for i in numbers}
        for split, numbers in (("train", range(6)), ("validation", range(6, 9)))
    }
    assert sum("the first words of lists of boxes" in note for note in answer.notes) == 2


def test_labels_with_a_few_numbers_stay_as_they_are(tmp_path: Path) -> None:
    made(tmp_path, *(f"{i}.png" for i in range(4)))
    write(tmp_path / "labels.csv", "file,label\n0,a 1 2\n1,b 1\n2,a 1 2\n3,b 1\n")
    assert found(folder.find(tmp_path, DEFAULTS)).class_names == ("a 1 2", "b 1")


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (("a 1 2 3 4 b 1 2 3 4", "a 1 2 3 4", "b 1 2 3 4"), "boxes of 'a' and 'b' in one image"),
        (("0 1 2 3 4", "1 1 2 3 4", "1 5 2 3 4"), "holds boxes of objects such as '0 1 2 3 4'"),
        (("0 0.5 1 2 3 4", "1 1 1 2 3 4", "0 1 2 2 3 4"), "which are not classes of images"),
    ],
)
def test_several_classes_and_boxes_without_a_word_are_refused(
    tmp_path: Path, cells: tuple[str, ...], reason: str
) -> None:
    made(tmp_path, *(f"{i}.png" for i in range(6)))
    rows = "".join(f"{i},{cells[i % 3]}\n" for i in range(6))
    write(tmp_path / "labels.csv", "file,label\n" + rows)
    answer = folder.find(tmp_path, DEFAULTS)
    assert isinstance(answer, Rejected)
    assert reason in answer.reason
