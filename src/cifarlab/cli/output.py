"""What the commands print: people read a console, programs read JSON on stdout."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(*, as_json: bool) -> Console:
    """Return where people's text goes: stdout, or stderr when stdout belongs to JSON."""
    from rich.console import Console

    return Console(stderr=as_json, highlight=False)


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    # ASCII only: a file name need not be text that the terminal's encoding can show.
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def say(text: str) -> None:
    """Print one line for people on stderr."""
    print(one_line(text), file=sys.stderr)


def one_line(message: str) -> str:
    """Return ``message`` on one line, with escapes for what a terminal would act on."""
    line = " ".join(message.split())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def warnings_in_one_line() -> None:
    """Show warnings as one line on stderr each, without the line of code that gave them."""

    def show(message: Any, *_: Any, **__: Any) -> None:
        print(f"cifarlab: warning: {one_line(str(message))}", file=sys.stderr)

    warnings.showwarning = show
    # Keras logs advice about files that it loads, which is not for our users.
    logging.getLogger("absl").setLevel(logging.ERROR)


def duration(seconds: float) -> str:
    """Return ``"1 h 02 min"``, ``"2 min 05 s"``, or ``"9.3 s"`` below a minute."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> Any:
    """Return a plain table for a console.

    Args:
        align: ``l`` or ``r`` for each column; by default all but the first are right-aligned.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=True)
    sides = align or "l" + "r" * (len(columns) - 1)
    for column, side in zip(columns, sides, strict=True):
        made.add_column(column, justify="right" if side == "r" else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def percent(share: float | None) -> str:
    """Return ``"93.8%"``, or a dash for what was not measured."""
    return "–" if share is None else f"{share:.1%}"


def summary_of(metrics: Mapping[str, Any]) -> str:
    """Return accuracy with its interval and the number of images behind it."""
    low, high = metrics["accuracy_interval"]
    return f"{metrics['accuracy']:.2%}  (95% interval {low:.2%} to {high:.2%}, n={metrics['n']:,})"
