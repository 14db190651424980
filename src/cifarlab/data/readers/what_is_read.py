"""Which files and folders are read as images, and why others are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePath

from cifarlab.files import printable

# Suffixes of images. Formats that cannot be decoded are here too, so that such files are
# reported as bad instead of being ignored.
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"}
    | {".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jxl", ".apng", ".dib"}
    | {".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"}
)
# Folders that systems and programs leave behind; images in them are copies or thumbnails.
SYSTEM_FOLDERS = frozenset(
    {"__macosx", "@eadir", "lost+found", "$recycle.bin", "system volume information"}
    | {"__pycache__", "node_modules", ".ipynb_checkpoints"}
    # Network drives of Synology and QNAP.
    | {"#recycle", "#snapshot", "@recycle", "@recently-snapshot", "@__thumb", "@tmp", "recycler"}
    | {"thumbs", "thumbnails", "_thumbs"}
    # What trackers of experiments write.
    | {"wandb", "mlruns", "lightning_logs"}
)
SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})
# How image files begin, for those without a suffix, and how many bytes tell it.
HEAD = 16
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*")
MAX_DEPTH = 400
# A folder that holds one of these is no data: a run of this program, an environment, a cache.
MARKS: Mapping[str, str] = {
    "pyvenv.cfg": "a Python environment",
    "CACHEDIR.TAG": "a cache",
}


def is_new_folder(here: Path, seen: set[Path], left_out: list[str], depth: int) -> bool:
    """Whether a folder is read; adds it to ``seen``, or the reason why not to ``left_out``."""
    reason = no_data(here.name, partial(_holds, here), depth)
    real = here.resolve()
    if reason is None and real in seen:
        reason = "its folder is read already"
    if reason is not None:
        left_out.append(f"{printable(here)}: left out, {reason}")
        return False
    seen.add(real)
    return True


def no_data(name: str, holds: Callable[[str], bool], depth: int) -> str | None:
    """Return why a folder is left out, or ``None``.

    Args:
        name: of the folder.
        holds: whether a file of that name is in it.
        depth: how many folders it is below the root.
    """
    if depth > MAX_DEPTH:
        return f"more than {MAX_DEPTH} folders deep"
    if name.casefold() in SYSTEM_FOLDERS:
        return "a system folder"
    if holds("recipe.json") and holds("environment.json"):
        return "a run directory"
    return next((what for mark, what in MARKS.items() if holds(mark)), None)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is left out without a word."""
    return name.startswith(".") or name.casefold() in SYSTEM_FILES


def is_image(name: PurePath, head: Callable[[], bytes]) -> bool:
    """Whether a file is an image: by its suffix, or by its first bytes if it has none."""
    return name.suffix.lower() in SUFFIXES or (not name.suffix and _begins_like_an_image(head()))


def is_image_file(path: Path) -> bool:
    """Whether an ordinary file is an image, as ``is_image`` tells it."""
    return is_image(path, partial(_head, path))


def _begins_like_an_image(head: bytes) -> bool:
    webp = head.startswith(b"RIFF") and head[8:12] == b"WEBP"
    return webp or head.startswith(SIGNATURES) or head[4:8] == b"ftyp"


def _holds(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD)
    except OSError:
        return b""


def is_followed(
    link: Path, root: Path, seen: set[Path], left_out: list[str], follow_links: bool
) -> bool:
    """Whether what a link leads to is read; adds it to ``seen``, or the reason to ``left_out``."""
    shown = printable(link)
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        left_out.append(f"{shown}: left out, the link leads nowhere")
        return False
    if target.is_relative_to(root):
        left_out.append(f"{shown}: left out, the link leads to what is read already")
        return False
    if not follow_links:
        left_out.append(f"{shown}: left out, the link leads out of the folder (--follow-links)")
        return False
    if target in seen:
        left_out.append(f"{shown}: left out, the link leads to what is read already")
        return False
    if target.is_file():
        seen.add(target)
    return True
