"""Images that cannot be read, in few words: one line for each reason."""

from __future__ import annotations

from collections.abc import Sequence

from cifarlab.data.samples import Found
from cifarlab.files import printable

MOST_NAMES = 2
MOST_REASONS = 5


def refusal(found: Found, bad: Sequence[str]) -> str:
    """Return the message for images that cannot be read, one line for all of them."""
    count = sum(len(samples) for samples in found.splits.values())
    return (
        f"{printable(found.source)}: {len(bad):,} of {count:,} images are bad: "
        f"{in_one_line(bad)}; repair or remove them, or leave them out (--skip-bad)"
    )


def by_reason(bad: Sequence[str]) -> list[str]:
    """Return one line for each reason, with a count and examples, the most frequent first.

    Args:
        bad: one line for each image: its name, a colon, what is wrong with it.

    Example:
        >>> by_reason(["a.png: empty", "b.png: truncated", "c.png: empty", "d.png: empty"])
        ['3 images (a.png, c.png and 1 more): empty', 'b.png: truncated']
    """
    names: dict[str, list[str]] = {}
    for line in bad:
        name, _, reason = line.partition(": ")
        names.setdefault(reason, []).append(name)
    frequent_first = sorted(names.items(), key=lambda group: -len(group[1]))
    return [f"{_named(group)}: {reason}" for reason, group in frequent_first]


def in_one_line(bad: Sequence[str]) -> str:
    """Return the reasons as one line, without those that are rare where there are many.

    Example:
        >>> in_one_line(["a.png: empty", "b.png: truncated"])
        'a.png: empty | b.png: truncated'
    """
    lines = by_reason(bad)
    rest = len(lines) - MOST_REASONS
    more = f" | and {rest:,} more reasons" if rest > 0 else ""
    return " | ".join(lines[:MOST_REASONS]) + more


def _named(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    rest = len(names) - MOST_NAMES
    more = f" and {rest:,} more" if rest > 0 else ""
    return f"{len(names):,} images ({', '.join(names[:MOST_NAMES])}{more})"
