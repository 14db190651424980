"""A task as seen on a terminal: a bar while a part runs, a line for what is worth keeping."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cifarlab.cli.output import one_line

# Longer descriptions are cut, so that the bar stays on one line of 80 columns.
WIDEST = 30
# Longer lines are hard to read on a terminal.
WIDTH = 80


class TerminalProgress:
    """Draws a bar on a terminal, which is gone in the end; prints plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None
        self.total: int | None = None
        self.done = 0

    def __enter__(self) -> TerminalProgress:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def message(self, text: str) -> None:
        """Print a message above the bar; a path is never broken."""
        lines = textwrap.wrap(one_line(text), WIDTH, break_long_words=False, break_on_hyphens=False)
        for line in lines:
            self.console.print(line, markup=False, soft_wrap=True)

    def started(self, what: str, total: int | None = None, done: int = 0) -> None:
        """Begin a new bar; without a total it only shows that something happens."""
        self._clear()
        self.done, self.total = done, total
        self.task = self.bar.add_task(one_line(what)[:WIDEST], total=total, done=self._counted())

    def advanced(self, count: int = 1) -> None:
        """Move the bar."""
        self.done += count
        if self.task is not None:
            self.bar.update(self.task, completed=self.done, done=self._counted())

    def epoch_ended(self, row: Mapping[str, float], epochs: int) -> None:
        """Replace the bar by the epoch's line."""
        self._clear()
        self.console.print(epoch_line(row, epochs), markup=False, soft_wrap=True)

    def _counted(self) -> str:
        if self.total is None:
            return f"{self.done:,}" if self.done else ""
        return f"{self.done:,}/{self.total:,}"

    def _clear(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None


def progress_on_stderr() -> TerminalProgress:
    """Return progress that leaves stdout to the results."""
    return TerminalProgress(Console(stderr=True, highlight=False))


def epoch_line(row: Mapping[str, float], epochs: int) -> str:
    """Return an epoch's numbers in columns, within 80 characters."""
    width = len(str(epochs))
    # A training step of the user's own may not tell.
    accuracy = f"{row['accuracy']:7.2%}" if "accuracy" in row else "      -"
    validation = ""
    if "val_loss" in row:
        validation = f"  val loss {_loss(row['val_loss'])} acc {row['val_accuracy']:7.2%}"
    return (
        f"epoch {row['epoch']:>{width}.0f}/{epochs}"
        f"  loss {_loss(row['loss'])} acc {accuracy}{validation}"
        f"  {row['seconds']:6.1f} s"
    )


def _loss(value: float) -> str:
    return f"{value:7.4f}" if abs(value) < 100 else f"{value:7.1e}"
