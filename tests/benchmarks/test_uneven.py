"""The benchmark of uneven classes trains on the images that it says, and prints every way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import uneven as benchmark
from cifarlab.data.dataset import Dataset, Split


def ten_classes() -> Dataset:
    """A thousand images of each class for training, each with its label as its colour."""

    def split(count: int) -> Split:
        labels = np.arange(count * 10) % 10
        images = np.full((count * 10, 8, 8, 3), labels[:, None, None, None], np.uint8)
        return Split(images=images, labels=labels)

    names = tuple("abcdefghij")
    return Dataset(
        name="ten",
        source="drawn by the tests",
        class_names=names,
        train=split(1000),
        validation=split(100),
        test=split(7),
    )


@pytest.mark.parametrize(("frequent", "rare"), [("b", "e"), ("e", "b")])
def test_classes_have_the_images_and_labels_that_are_theirs(frequent, rare):
    drawn = benchmark.uneven(ten_classes(), frequent, rare, seed=0)
    assert drawn.class_names == (frequent, rare)
    for split, counts in (
        (drawn.train, [950, 50]),
        (drawn.validation, [95, 5]),
        (drawn.test, [7, 7]),
    ):
        assert np.bincount(split.labels).tolist() == counts
        colour = {frequent: "abcdefghij".index(frequent), rare: "abcdefghij".index(rare)}
        expected = [colour[drawn.class_names[label]] for label in split.labels]
        assert split.images[:, 0, 0, 0].tolist() == expected
    other = benchmark.uneven(ten_classes(), frequent, rare, seed=1)
    assert len(other.train) == len(drawn.train)


def test_a_class_that_does_not_exist_is_said_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "load_dataset", lambda _: ten_classes())
    assert benchmark.main(["--frequent", "a", "--rare", "unicorn"]) == 2
    assert "no class is called unicorn" in capsys.readouterr().err


def test_the_table_has_mean_and_spread_of_every_way(monkeypatch, capsys):
    ways = {
        name: replace(benchmark.WAYS[name], few_images=None, epochs=1)
        for name in ("nothing", "class weights")
    }
    monkeypatch.setattr(benchmark, "WAYS", ways)
    monkeypatch.setattr(benchmark, "load_dataset", lambda _: ten_classes())
    assert benchmark.main(["--frequent", "a", "--rare", "j", "--seeds", "0", "1"]) == 0
    printed = capsys.readouterr()
    rows = printed.out.splitlines()
    assert [row[:16].strip() for row in rows] == ["", *ways]
    assert all(row.count("+-") == len(benchmark.COLUMNS) for row in rows[1:])
    assert "seed 1, class weights" in printed.err
