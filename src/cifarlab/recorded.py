"""Where the data of an earlier run is, as its record tells."""

from __future__ import annotations

import json
from pathlib import Path

from cifarlab.errors import InputError, UsageError


def data_of(path: Path) -> str | None:
    """Return what ``load`` takes to bring back the data of the run in ``path``.

    Returns:
        A path, when the data came from one that is still there; else a name.
        ``None`` when ``path`` is no run, such as a single model file.

    Raises:
        InputError: the record cannot be read.
        UsageError: the data is neither where it was nor known by name.
    """
    from cifarlab.data.catalog import NAMES
    from cifarlab.run import RunDirectory

    file = RunDirectory(path).environment
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))["dataset"]
        name, source = str(record["name"]), str(record["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: cannot be read ({error}); name the data with --data") from error
    # Before the name: a copy that was given by path needs no download.
    if Path(source).exists():
        return source
    if name in NAMES:
        return name
    raise UsageError(
        f"{path} was trained on {name} from {source}, which is not there; "
        "name a copy of the same data with --data"
    )
