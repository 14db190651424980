"""What every part of the suite is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A part yields a row, plain JSON values, as soon as it has it: what came before a failure or the
# end of its time is kept.
Rows = Iterator[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where the suite computes, and on what.

    Attributes:
        device: ``"cuda"``, or ``"cpu"`` in a dry run.
        data: a dataset's name or path, for ``cifarlab.data.catalog.load``.
        published: the folder with copies of the published records' repositories.
        tiny: small networks, few images and few repetitions, to try the suite itself.
    """

    device: str
    data: str
    published: Path
    tiny: bool
