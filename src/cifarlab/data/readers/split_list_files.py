"""What one file says of the split that each image is in: ``train.txt``, ``splits.csv`` and others.

References:
    Food-101 has ``meta/train.txt``, Speech Commands ``testing_list.txt``, Oxford-IIIT Pet
    ``annotations/trainval.txt``, CUB-200 ``train_test_split.txt`` beside ``images.txt``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from cifarlab.data.readers import table_columns, table_files
from cifarlab.data.readers.image_index import ImageIndex
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.own_tables import is_own
from cifarlab.data.readers.split_columns import divide_rows, key, may_divide
from cifarlab.data.readers.split_names import TEST, TRAIN, split_of, splits_of
from cifarlab.errors import InputError
from cifarlab.files import printable

TEXTS = (".txt", ".lst", ".list", "")
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
# What may hold splits in a format that is not read.
UNREAD = (".mat", ".npy", ".pkl", ".pickle", ".xlsx")
MAX_BYTES = 64 * 1024 * 1024
# A row for each image: its number, and 1 where it is to be trained on.
NUMBERED, NUMBERS = "train_test_split.txt", "images.txt"

Read = Callable[[PurePath, int], bytes]


@dataclass(frozen=True, kw_only=True)
class SplitList:
    """What one list says: the split of each image, and how many lines name no image there is."""

    path: PurePath
    splits: Mapping[PurePath, str]
    missing: int


class UnclearListError(Exception):
    """A list names images, and cannot be used; the text says why."""


def speaks_of_splits(path: PurePath) -> bool:
    """Whether a file's name says that it lists the images of a split, or of several."""
    stem = path.stem.casefold()
    return split_of(path.stem) is not None or "split" in stem or stem == "setid"


def read_list(index: ImageIndex, path: PurePath, read: Read) -> SplitList | None:
    """Return what a file says, or ``None`` if it does not say which split images are in.

    Args:
        index: of all images that it may name.
        read: returns the first bytes of a file, at most so many.

    Raises:
        UnclearListError: it names images, and cannot be used.
    """
    suffix = path.suffix.lower()
    if suffix in UNREAD:
        return None
    content = read(path, MAX_BYTES + 1)
    if suffix in TEXTS and b"\0" in content:
        return None
    if len(content) > MAX_BYTES:
        if speaks_of_splits(path):
            raise UnclearListError(f"it is larger than {MAX_BYTES:,} bytes")
        return None
    if suffix in TABLES:
        return _listed(index, path, _rows_of_table(index, path, content))
    lines = _lines(content)
    if path.name.casefold() == NUMBERED:
        return _listed(index, path, _rows_of_numbers(lines, _names_beside(path, read)))
    split = split_of(path.stem)
    return None if split is None else _listed(index, path, [(line, split) for line in lines])


def _names_beside(path: PurePath, read: Read) -> list[str]:
    try:
        return _lines(read(path.with_name(NUMBERS), MAX_BYTES))
    except (InputError, KeyError):
        raise UnclearListError(f"{NUMBERS} is not beside {path.name}") from None


def _lines(content: bytes) -> list[str]:
    lines = (line.strip() for line in content.decode("utf-8-sig", "replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


# Lines and rows as pairs of what names an image and its split


def _rows_of_table(index: ImageIndex, path: PurePath, content: bytes) -> list[tuple[str, str]]:
    """Return the rows of a table; the split is in a column, or the table is called after it."""

    def is_value(cell: str) -> bool:
        return bool(index.candidates(cell, path.parent))

    try:
        table = table_files.parse(content, name=str(path), is_value=is_value)
        image = table_columns.image_column(table, index, path.parent, printable(path))
    except InputError:
        return []
    if image is None or is_own(table.columns):
        return []
    cells = [str(cell) for cell in table.columns[image]]
    splits = _splits_of_rows(table, image, printable(path))
    if splits:
        pairs = zip(cells, splits, strict=True)
        return [(cell, split) for cell, split in pairs if split is not None]
    # Numbers of epochs in "train_loss.csv" are no names of images.
    are_numbers = all(cell.isdecimal() for cell in cells)
    if are_numbers and key(image) not in table_columns.IMAGE_NAMES:
        return []
    split = split_of(path.stem)
    return [] if split is None else [(cell, split) for cell in cells]


def _splits_of_rows(table: table_files.Table, image: str, shown: str) -> Sequence[str | None]:
    """Return the split of each row; none where no column says it."""
    columns = {n: c for n, c in table.columns.items() if n != image and may_divide(n)}
    try:
        division = divide_rows(columns, len(table), shown)
    except InputError as error:
        raise UnclearListError(str(error)) from None
    if division.columns:
        return division.splits
    # A JSON file of a list for each split has them where others have classes.
    words = [str(value) for value in table.columns.get(table_files.LABEL, ())]
    spoken = splits_of(sorted(set(words)))
    return [spoken[word] for word in words] if set(words) == set(spoken) else []


def _rows_of_numbers(flags: Iterable[str], names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the rows of CUB-200's pair of files, which have a number for each image."""
    by_number = dict(line.split(maxsplit=1) for line in names if len(line.split()) > 1)
    rows = [line.split() for line in flags]
    if not all(len(row) == 2 and row[1] in ("0", "1") for row in rows):
        return []
    return [(by_number.get(n, ""), TRAIN if flag == "1" else TEST) for n, flag in rows]


# Which images they name


def _listed(index: ImageIndex, path: PurePath, rows: Sequence[tuple[str, str]]) -> SplitList | None:
    splits: dict[PurePath, str] = {}
    missing = 0
    for cell, split in rows:
        found = _images(index, path.parent, cell, split)
        if len(found) > 1:
            raise UnclearListError(f"{cell!r} may be {some([str(image) for image in found[:2]])}")
        if not found:
            missing += 1
        elif splits.setdefault(found[0], split) != split:
            raise UnclearListError(f"{cell!r} is in {splits[found[0]]} and in {split}")
    if not splits:
        return None
    if missing > len(splits):
        raise UnclearListError(f"{missing:,} of its {len(rows):,} lines name no image there is")
    return SplitList(path=path, splits=splits, missing=missing)


def _images(index: ImageIndex, folder: PurePath, line: str, split: str) -> list[PurePath]:
    """Return the images that a line may name: the whole of it, or what is before a label."""
    for cell in _cells(line):
        parts = [part for part in cell.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        # Folders of another machine are left away from the front, all but the last of them.
        for first in range(max(1, len(parts) - 1)):
            found = index.candidates("/".join(parts[first:]), folder)
            if len(found) > 1:
                # The image of the same name in another split's folder is another one.
                found = [image for image in found if index.split(image) in (split, None)]
            if found:
                return found
    return []


def _cells(line: str) -> Iterable[str]:
    """Yield what of a line may be a path: all of it, then without its last or its other fields."""
    yield line
    fields = line.replace(",", " ").split()
    before = line[: -len(fields[-1])].rstrip(" ,\t") if fields else ""
    if before and (fields[-1].isdecimal() or "/" in before or "." in before):
        yield before
    if len(fields) > 1 and ("/" in fields[0] or all(field.isdecimal() for field in fields[1:])):
        yield fields[0]
