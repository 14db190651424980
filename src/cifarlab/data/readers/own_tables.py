"""Tables that this program writes itself, which would be taken for labels where they lie."""

from __future__ import annotations

from collections.abc import Collection

# How the tables of ``cifarlab predict -o`` and of ``cifarlab data labels -o`` begin, whatever
# further columns they have. Tests compare them with what is written.
PREDICTIONS = frozenset({"path", "class", "confidence", "sure", "error", "model"})
LABEL_ISSUES = frozenset({"index", "name", "given", "suggested", "given_probability", "score"})


def is_own(columns: Collection[str]) -> bool:
    """Whether a table with these columns is one of predictions or of suspect labels.

    Example:
        >>> is_own(["path", "class", "confidence", "sure", "error", "model", "class_2"])
        True
    """
    return any(kind.issubset(columns) for kind in (PREDICTIONS, LABEL_ISSUES))
