"""What the verbs print: people read a console, programs read JSON on stdout."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(as_json: bool) -> Console:
    """Return where people's text goes: stdout, or stderr when stdout belongs to JSON."""
    from rich.console import Console

    return Console(stderr=as_json, highlight=False)


def print_json(value: Any) -> None:
    """Write one JSON document to stdout."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def warnings_in_one_line() -> None:
    """Show warnings as one line on stderr each, without the line of code that gave them."""

    def show(message: Any, *_: Any, **__: Any) -> None:
        print(f"cifarlab: warning: {' '.join(str(message).split())}", file=sys.stderr)

    warnings.showwarning = show


def duration(seconds: float) -> str:
    """Return ``"2 min 05 s"``, or ``"9.3 s"`` below a minute."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> Any:
    """Return a plain table for a console; columns after the first are right-aligned."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left")
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def summary_of(metrics: Mapping[str, Any]) -> str:
    """Return accuracy with its interval and the number of pictures behind it."""
    low, high = metrics["accuracy_interval"]
    return f"{metrics['accuracy']:.2%}  (95% interval {low:.2%} to {high:.2%}, n={metrics['n']:,})"
