"""What a task that takes a while tells whoever watches it: the same calls for every task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives news from a task; every method may do nothing.

    Functions that report in lines of text only take ``progress.message``.
    """

    def message(self, text: str) -> None:
        """Take one line worth reading."""

    def started(self, what: str, total: int | None = None, done: int = 0) -> None:
        """Begin ``what``, of which ``done`` of ``total`` parts are done; what was before ended."""

    def advanced(self, count: int = 1) -> None:
        """Take note that ``count`` more parts are done."""

    def epoch_ended(self, row: Mapping[str, float], epochs: int) -> None:
        """Take an epoch's row of the history, of at most ``epochs``."""


class Silent:
    """Says nothing; also the base of whatever listens to some of the calls only."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def started(self, what: str, total: int | None = None, done: int = 0) -> None:
        """Say nothing."""

    def advanced(self, count: int = 1) -> None:
        """Say nothing."""

    def epoch_ended(self, row: Mapping[str, float], epochs: int) -> None:
        """Say nothing."""


SILENT: Progress = Silent()


class Part(Silent):
    """The bars of a task that is one part of another, under its name; its lines are left out."""

    def __init__(self, whole: Progress, name: str) -> None:
        self.whole = whole
        self.name = name

    def started(self, what: str, total: int | None = None, done: int = 0) -> None:
        """Begin ``what`` as part of the whole."""
        self.whole.started(f"{self.name}, {what}", total, done)

    def advanced(self, count: int = 1) -> None:
        """Pass it on."""
        self.whole.advanced(count)
