"""What a file is, by its content where that tells it, else by its name."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import Path

_HEAD = 512
# Where what stands in a file, and the suffix that such files usually have.
_SIGNATURES = (
    (0, b"PAR1", ".parquet"),
    (0, b"\x93NUMPY", ".npy"),
    (0, b"\x89HDF\r\n\x1a\n", ".h5"),
    (0, b"ARROW1", ".arrow"),
    (0, b"MATLAB 5.0", ".mat"),
    (0, b"SQLite format 3\0", ".sqlite"),
    (0, b"7z\xbc\xaf\x27\x1c", ".7z"),
    (0, b"Rar!", ".rar"),
    (0, b"\x28\xb5\x2f\xfd", ".zst"),
    (0, b"Obj\x01", ".avro"),
    (257, b"ustar", ".tar"),
)
_PACKED = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
# What a pickle of protocol 2 to 5 begins with.
_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
# Members that tell what else than an archive of files a ZIP archive is.
_IN_ZIP = (
    ("data.pkl", ".pt"),
    ("model.weights.h5", ".keras"),
    ("[Content_Types].xml", ".xlsx"),
)


def kind_of(path: Path) -> str:
    """Return the suffix that a file should have, in small letters: of its content, else its name.

    Nothing is unpacked, and no pickle is opened.

    Example:
        >>> kind_of(Path("no-such-file.ZIP"))
        '.zip'
    """
    if not path.is_file():
        return path.suffix.lower()
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return path.suffix.lower()
    return _by_content(path, head) or path.suffix.lower()


def _by_content(path: Path, head: bytes) -> str | None:
    for start, signature, suffix in _SIGNATURES:
        if head.startswith(signature, start):
            return suffix
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _in_zip(path)
    for signature, suffix in _PACKED.items():
        if head.startswith(signature):
            return ".tar" if _is_tar(path) else suffix
    # Its other bytes may be anything, so the last one, which ends every pickle, is asked too.
    return ".pkl" if head.startswith(_PICKLES) and _last_byte(path) == b"." else None


def _in_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    if path.suffix.lower() == ".npz" or (names and all(n.endswith(".npy") for n in names)):
        return ".npz"
    ends = {name.rpartition("/")[2] for name in names}
    return next((suffix for member, suffix in _IN_ZIP if member in ends), ".zip")


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error):
        return False


def _last_byte(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1)
    except OSError:
        return b""
