"""What the benchmarks need as command-line programs."""

from __future__ import annotations

import argparse
import signal
import sys


def positive(text: str) -> int:
    """Parse an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: it must be at least 1")
    return number


def say(text: str) -> None:
    """Tell how it goes, on standard error."""
    print(text, file=sys.stderr, flush=True)


def end_in_order_on_sigterm() -> None:
    """Make SIGTERM an ordinary exit, which ends the workers too."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
