"""Signals: a first SIGINT or SIGTERM asks training to stop at the next step boundary."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass(kw_only=True)
class Interrupts:
    """What has been asked for so far."""

    signal_number: int | None = None


@contextlib.contextmanager
def catching_signals() -> Iterator[Interrupts]:
    """Note SIGINT and SIGTERM inside the block instead of dying of them.

    The handler only sets a flag; a signal that nobody acted upon, by leaving the block with an
    error, is raised again after it. A second SIGINT raises ``KeyboardInterrupt`` at once.
    Outside the main thread, where Python allows no handlers, nothing is caught.
    """
    asked = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and asked.signal_number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.signal_number = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked.signal_number is not None:
        # It came after the last step, where the flag is no longer read.
        signal.raise_signal(asked.signal_number)
