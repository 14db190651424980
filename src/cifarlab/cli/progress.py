"""Training as seen on a terminal: a bar while an epoch runs, a line when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE = (
    "epoch {epoch:>3.0f}/{epochs}  loss {loss:.4f}  acc {accuracy:6.2%}  "
    "val loss {val_loss:.4f}  val acc {val_accuracy:6.2%}  {seconds:5.1f} s"
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
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task: Any = None

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
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task("", total=steps, epoch=epoch + 1, epochs=epochs)

    def stepped(self, step: int) -> None:
        """Move the bar."""
        self.bar.update(self.task, completed=step)

    def epoch_ended(self, row: Mapping[str, float]) -> None:
        """Print the epoch's line."""
        self.console.print(LINE.format(epochs=self.epochs, **row), markup=False, soft_wrap=True)
