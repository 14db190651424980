"""What training tells whoever watches it: the same calls as every other task."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from cifarlab.errors import RunInterruptedError
from cifarlab.runtime.progress import Part, Silent
from cifarlab.training.train import resume, train
from tiny import SignalAt, dropout_model, tiny_dataset, tiny_recipe

STEPS = 5


class Listening(Silent):
    """Writes everything down."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.bars: list[tuple[str, int | None, int]] = []
        self.steps = 0
        self.rows: list[tuple[float, int]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def started(self, what: str, total: int | None = None, done: int = 0) -> None:
        self.bars.append((what, total, done))

    def advanced(self, count: int = 1) -> None:
        self.steps += count

    def epoch_ended(self, row: Mapping[str, float], epochs: int) -> None:
        self.rows.append((row["epoch"], epochs))


def test_a_run_says_what_it_trains_and_moves_a_bar_for_every_step(tmp_path: Path) -> None:
    told = Listening()
    recipe = tiny_recipe(epochs=2, stop=None)
    train(recipe, tiny_dataset(), model=dropout_model(), directory=tmp_path / "run", progress=told)
    opening, slower = told.messages
    assert opening == (
        "baseline on tiny: 150 images for training, 30 for validation; test set not used yet "
        "(3 classes, 12x12)"
    )
    # Keras numbers the layers of a process.
    assert slower.startswith("no native version, run by Keras (slower): gaussian_noise")
    assert told.bars == [("epoch 1/2", STEPS, 0), ("epoch 2/2", STEPS, 0), ("measuring", None, 0)]
    assert told.steps == 2 * STEPS
    assert told.rows == [(1, 2), (2, 2)]


def test_the_bar_of_a_resumed_epoch_begins_where_it_stopped(tmp_path: Path) -> None:
    directory, told = tmp_path / "run", Listening()
    with pytest.raises(RunInterruptedError):
        train(
            tiny_recipe(epochs=2, stop=None),
            tiny_dataset(),
            directory=directory,
            progress=SignalAt({STEPS + 3: signal.SIGTERM}),
        )
    resume(directory, tiny_dataset(), progress=told)
    assert told.bars[1] == ("epoch 2/2", STEPS, 3)
    assert told.steps == STEPS - 3


def test_a_part_passes_its_bars_on_under_its_name_and_no_lines() -> None:
    told = Listening()
    part = Part(told, "part 1/3")
    part.message("not this")
    part.started("epoch 1/2", 7)
    part.advanced(2)
    part.epoch_ended({"epoch": 1}, 2)
    assert (told.messages, told.rows) == ([], [])
    assert told.bars == [("part 1/3, epoch 1/2", 7, 0)]
    assert told.steps == 2
