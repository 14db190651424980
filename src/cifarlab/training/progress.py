"""What training tells whoever watches it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Reporter(Protocol):
    """Receives news from the training loop; every method may do nothing."""

    def message(self, text: str) -> None:
        """One line worth reading."""

    def epoch_started(self, epoch: int, epochs: int, steps: int) -> None:
        """Epoch ``epoch`` (from 0) of at most ``epochs`` begins; it has ``steps`` steps."""

    def stepped(self, step: int) -> None:
        """``step`` steps of the epoch are done."""

    def epoch_ended(self, row: Mapping[str, float]) -> None:
        """An epoch is over; ``row`` is its row of the history."""


class Silent:
    """A reporter that says nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def epoch_started(self, epoch: int, epochs: int, steps: int) -> None:
        """Say nothing."""

    def stepped(self, step: int) -> None:
        """Say nothing."""

    def epoch_ended(self, row: Mapping[str, float]) -> None:
        """Say nothing."""


SILENT = Silent()
