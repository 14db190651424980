"""``Found``: a source that is understood and not read yet; what every reader gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

# An image as it is stored: a file, the bytes of one, or uint8 ``[H, W]`` or ``[H, W, C]``.
Stored = Path | bytes | np.ndarray


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The images of one split as they are stored, and the class of each.

    Attributes:
        labels: int64 ``[N]``, indices into the class names.
        names: N strings, unique, that say where each image is from: a path below the source with
            ``/``, or ``"train.parquet row 7"``.
        contents: returns the stored images in order; called again to read them again. It raises
            no error for a single bad image: that is found out when it is decoded.
    """

    labels: np.ndarray[Any, Any]
    names: tuple[str, ...]
    contents: Callable[[], Iterable[Stored]]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a reader found at a path.

    Attributes:
        what: the kind of source in words, such as ``"a folder of images"``.
        name: the dataset's name.
        source: the absolute path.
        class_names: one name for each class, in label order.
        splits: ``"train"`` always, ``"validation"`` and ``"test"`` where the source has them.
        files: every file whose change would change the dataset.
        notes: one line for each decision that a user should know of, and for what is left out.
        options: the options that a guess stands for, by ``LoadOptions``'s names, such as
            ``{"label_column": "breed"}``; with them given, nothing is guessed.
    """

    what: str
    name: str
    source: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Samples]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """Why a reader cannot read a path; an empty reason where nothing hints at its format."""

    reason: str
