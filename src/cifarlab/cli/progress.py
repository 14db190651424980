"""Training as seen on a terminal: a bar while an epoch runs, a line when it is over."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class TerminalReporter:
    """A reporter that draws a bar on a terminal, and prints plain lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.epochs = 0
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]:>3}/{task.fields[epochs]}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> TerminalReporter:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def message(self, text: str) -> None:
        """Print one line above the bar."""
        self.console.print(text, markup=False)

    def epoch_started(self, epoch: int, epochs: int, steps: int) -> None:
        """Start a fresh bar."""
        self.epochs = epochs
        self._clear()
        self.task = self.bar.add_task("", total=steps, epoch=epoch + 1, epochs=epochs)

    def stepped(self, step: int) -> None:
        """Move the bar."""
        if self.task is not None:
            self.bar.update(self.task, completed=step)

    def epoch_ended(self, row: Mapping[str, float]) -> None:
        """Replace the bar by the epoch's line."""
        self._clear()
        self.console.print(epoch_line(row, self.epochs), markup=False, soft_wrap=True)

    def _clear(self) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
            self.task = None


def epoch_line(row: Mapping[str, float], epochs: int) -> str:
    """Return an epoch's numbers in columns, within 80 characters."""
    width = len(str(epochs))
    validation = ""
    if "val_loss" in row:
        validation = f"  val loss {_loss(row['val_loss'])} acc {row['val_accuracy']:7.2%}"
    return (
        f"epoch {row['epoch']:>{width}.0f}/{epochs}"
        f"  loss {_loss(row['loss'])} acc {row['accuracy']:7.2%}{validation}"
        f"  {row['seconds']:6.1f} s"
    )


def _loss(value: float) -> str:
    return f"{value:7.4f}" if abs(value) < 100 else f"{value:7.1e}"
