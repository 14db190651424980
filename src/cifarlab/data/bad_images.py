"""What is said of images that cannot be read: each reason once."""

from __future__ import annotations

from collections.abc import Sequence

from cifarlab.data.samples import Found
from cifarlab.files import printable

MAX_LISTED = 10


def refusal(found: Found, bad: Sequence[str]) -> str:
    """Return the message for images that cannot be read, one line for all of them."""
    count = sum(len(samples) for samples in found.splits.values())
    reasons = by_reason(bad)
    more = f" | and {len(reasons) - MAX_LISTED} more" if len(reasons) > MAX_LISTED else ""
    return (
        f"{printable(found.source)}: {len(bad)} of {count} images are bad: "
        f"{' | '.join(reasons[:MAX_LISTED])}{more}; repair or remove them, or leave them out "
        "(--skip-bad)"
    )


def by_reason(bad: Sequence[str]) -> list[str]:
    """Return one line for each reason, with the first image and how many others have it.

    Example:
        >>> by_reason(["1.png: empty", "2.png: empty", "3.png: cut short"])
        ['1.png and 1 more: empty', '3.png: cut short']
    """
    names: dict[str, list[str]] = {}
    for line in bad:
        name, _, reason = line.partition(": ")
        names.setdefault(reason, []).append(name)
    return [
        f"{of_reason[0]}{f' and {len(of_reason) - 1:,} more' if of_reason[1:] else ''}: {reason}"
        for reason, of_reason in names.items()
    ]
