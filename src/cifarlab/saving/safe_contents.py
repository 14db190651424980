"""The parts of an untrusted model file, checked before they are read."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from cifarlab.errors import InputError, UnsafeError
from cifarlab.saving.older_config import modern
from cifarlab.saving.safe_config import checked_config
from cifarlab.saving.safe_hdf5 import Array, list_arrays

SUFFIXES = (".keras", ".h5")

# Our own part of a file, which plain Keras ignores.
NOTES_MEMBER = "cifarlab.json"
NOTES_ATTRIBUTE = "cifarlab"

CONFIG_MEMBER = "config.json"
WEIGHTS_MEMBER = "model.weights.h5"
# Every member that a file may have, with the most bytes that it may unpack to.
MEMBERS = {
    "metadata.json": 1 << 20,
    CONFIG_MEMBER: 8 << 20,
    WEIGHTS_MEMBER: 2 << 30,
    NOTES_MEMBER: 8 << 20,
}
MAX_FILE_BYTES = sum(MEMBERS.values())
# Weights do not compress well: a member this large and this much compressed is refused.
MAX_EXPANSION = 100
EXPANSION_FLOOR = 64 << 20

TRUNCATED = "truncated or not a model file; get it again"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The parts of a model file: descriptions in memory, weights in a private copy."""

    config: Any
    notes: Any
    weights: Path
    arrays: dict[str, Array]


def check_file(path: Path, where: str) -> None:
    """Raise unless ``path`` is a model file within the limits of size.

    Raises:
        InputError: no such file, not a file, or another suffix.
        UnsafeError: it is too large.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{where}: a model file ends in {' or '.join(SUFFIXES)}; choose another")
    try:
        if not path.exists():
            raise InputError(f"{where}: no such file; check the path")
        if not path.is_file():
            raise InputError(f"{where}: not a file; give the path of a model file")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read ({one_line(error)}); check it") from None
    if size > MAX_FILE_BYTES:
        raise UnsafeError(
            f"{where}: refused: {size:,} bytes; at most {MAX_FILE_BYTES:,} are read; "
            "use a smaller model"
        )


def read_keras(
    path: Path, weights: Path, where: str, own: Mapping[str, Any] | None = None
) -> Contents:
    """Read a ``.keras`` file; its weights are copied to the new file ``weights``."""
    with zipfile.ZipFile(path) as archive:
        _check_members(archive.infolist(), where)
        described = json.loads(archive.read(CONFIG_MEMBER))
        version = json.loads(archive.read("metadata.json")).get("keras_version")
        config = checked_config(_modern(described, version), where, own)
        notes = archive.read(NOTES_MEMBER) if NOTES_MEMBER in archive.namelist() else None
        with archive.open(WEIGHTS_MEMBER) as source, weights.open("xb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    with h5py.File(weights, "r") as file:
        return Contents(
            config=config, notes=notes, weights=weights, arrays=list_arrays(file, where)
        )


def read_h5(
    path: Path, weights: Path, where: str, own: Mapping[str, Any] | None = None
) -> Contents:
    """Read an ``.h5`` file; it is copied to the new file ``weights``."""
    shutil.copyfile(path, weights)
    with h5py.File(weights, "r") as file:
        arrays = list_arrays(file, where)
        text = file.attrs["model_config"]
        if len(text) > MEMBERS[CONFIG_MEMBER]:
            raise UnsafeError(f"{where}: refused: a description of {len(text):,} bytes")
        config = checked_config(
            _modern(json.loads(text), file.attrs.get("keras_version")), where, own
        )
        return Contents(
            config=config, notes=file.attrs.get(NOTES_ATTRIBUTE), weights=weights, arrays=arrays
        )


def _modern(config: Any, version: Any) -> Any:
    """Return a description in the words of Keras 3, whatever version wrote it."""
    text = version.decode() if isinstance(version, bytes) else str(version or "")
    return config if text[:1].isdigit() and int(text.split(".")[0]) >= 3 else modern(config)


def _check_members(members: list[zipfile.ZipInfo], where: str) -> None:
    """Raise unless ``members`` are those of a model file, each once and of a likely size.

    ``zipfile`` never unpacks more bytes than a member declares, so the declared sizes hold.
    """
    names = [member.filename for member in members]
    for member in members:
        name, size = member.filename, member.file_size
        if name not in MEMBERS or names.count(name) > 1:
            why = f"a surplus member {name[:80]!r}"
        elif size > MEMBERS[name]:
            why = f"{name} unpacks to {size:,} bytes, above {MEMBERS[name]:,}"
        elif size > EXPANSION_FLOOR and size > MAX_EXPANSION * member.compress_size:
            why = f"{name} unpacks to {size:,} bytes from {member.compress_size:,}"
        elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            why = f"{name} is compressed in an unusual way"
        else:
            continue
        raise UnsafeError(f"{where}: refused: {why}; use a file that Keras saved")
    missing = MEMBERS.keys() - {NOTES_MEMBER} - set(names)
    if missing:
        raise InputError(f"{where}: {TRUNCATED} (it lacks {', '.join(sorted(missing))})")


def one_line(error: Exception) -> str:
    """Return the message of an error as one short line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
