"""Text files with an image and its class a line, ``images/1.png 3``, as Caffe and others read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath

from cifarlab.data.readers.split_columns import key
from cifarlab.data.readers.table_columns import IMAGE_NAMES, LABEL_NAMES
from cifarlab.data.readers.table_files import FILE, LABEL, Table

SUFFIXES = (".txt", ".lst", ".list")
# What may stand between the two; blanks last, since names may hold them.
BETWEEN = ("\t", ",", ";", "|", None)
# Enough lines to know a file by.
SAMPLE = 200


def is_text(path: PurePath) -> bool:
    """Whether a file has a suffix that such lists have."""
    return path.suffix.lower() in SUFFIXES


def pairs_of(content: bytes, is_image: Callable[[str], bool]) -> Table | None:
    r"""Return the images and classes that the lines name, or ``None`` if they are something else.

    Most lines name an image, and the rest of a line repeats as classes do: numbers that count the
    lines are no classes. The class may stand before the image.

    Args:
        is_image: whether a text names an image that is there.

    Example:
        >>> table = pairs_of(b"a.png 0\nb.png 1\nc.png 1\nd.png 0\n", lambda cell: ".png" in cell)
        >>> table.columns["label"]
        ['0', '1', '1', '0']
    """
    if b"\0" in content:
        return None
    lines = [line.strip() for line in content.decode("utf-8-sig", "replace").splitlines()]
    lines = [_without_number(line) for line in lines if line and not line.startswith("#")]
    best, most = None, 0
    for files, labels in _divisions(lines):
        hits = _images(files, is_image)
        if hits > most and _are_classes(labels):
            best, most = (files, labels), hits
    if best is None:
        return None
    files, labels = best
    if key(files[0]) in IMAGE_NAMES and key(labels[0]) in LABEL_NAMES:
        files, labels = files[1:], labels[1:]
    return Table(columns={FILE: files, LABEL: labels})


def _without_number(line: str) -> str:
    """Return a line of MXNet's lists, number, class and image, without its number."""
    fields = line.split("\t")
    return "\t".join(fields[1:]) if len(fields) == 3 and fields[0].isdecimal() else line


def _divisions(lines: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the ways to divide all lines in two, each in both orders."""
    for mark in BETWEEN:
        for from_end in (True, False):
            divided = _divided(lines, mark, from_end=from_end)
            if divided is not None:
                yield divided
                yield divided[::-1]


def _divided(
    lines: Sequence[str], mark: str | None, *, from_end: bool
) -> tuple[list[str], list[str]] | None:
    """Return what stands before and after the last mark, or the first, of every line."""
    cut = [line.rsplit(mark, 1) if from_end else line.split(mark, 1) for line in lines]
    if not cut or any(len(parts) != 2 for parts in cut):
        return None
    first, second = ([part.strip().strip('"') for part in side] for side in zip(*cut, strict=True))
    return first, second


def _images(cells: Sequence[str], is_image: Callable[[str], bool]) -> int:
    """Return how many of a sample of cells name an image; 0 where most do not."""
    sample = cells[:: max(1, len(cells) // SAMPLE)]
    hits = [cell for cell in sample if is_image(cell)]
    # Numbers of classes may name files too, but the same few again and again.
    return len(hits) if 2 * min(len(hits), len(set(hits))) >= len(sample) else 0


def _are_classes(labels: Sequence[str]) -> bool:
    """Whether what is beside the images repeats, and is no row of numbers."""
    rows = any(" " in label and not any(map(str.isalpha, label)) for label in labels)
    return not rows and len(labels) > 1 and len(set(labels)) <= max(2, len(labels) // 2)
