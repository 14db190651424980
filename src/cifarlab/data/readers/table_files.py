"""Read a small table: CSV, TSV, JSON, JSON Lines or Parquet, from its bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from cifarlab.data.readers.annotations import annotation_format
from cifarlab.data.readers.split_names import TRAIN, splits_of
from cifarlab.data.readers.what_is_read import SUFFIXES
from cifarlab.errors import InputError
from cifarlab.files import printable

MAX_BYTES = 512 * 1024 * 1024
DELIMITERS = ",;\t|"
_TOLD = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
# What a column is called where the file does not say.
FILE, LABEL, SPLIT = "file", "label", "split"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of equal length by name, in the file's order; notes say what was decided."""

    columns: Mapping[str, Sequence[Any]]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def parse(data: bytes, *, name: str, is_value: Callable[[str], bool]) -> Table:
    """Return the table in a file's content.

    Args:
        data: the whole content.
        name: the file's name; its suffix says the format.
        is_value: whether a text names an image. In a CSV table the first line is a row like the
            others then, and keys of a JSON object are files.

    Raises:
        InputError: it is too large, damaged, or not such a table.
    """
    shown = printable(name)
    if len(data) > MAX_BYTES:
        raise InputError(f"{shown}: more than {MAX_BYTES:,} bytes; split the table")
    suffix = "." + name.lower().rpartition(".")[2]
    try:
        if suffix == ".parquet":
            return _parquet(data, shown)
        text, notes = _text(data, shown)
        if suffix == ".json":
            columns = _json(text, shown, is_value)
        elif suffix in (".jsonl", ".ndjson"):
            columns = _json_lines(text, shown)
        else:
            columns = _csv(text, suffix, shown, is_value)
    except RecursionError:
        raise InputError(f"{shown}: nested too deeply; give a plain table") from None
    return Table(columns=columns, notes=notes)


def _text(data: bytes, shown: str) -> tuple[str, tuple[str, ...]]:
    if b"\0" in data[:64] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        # Every second byte of UTF-16 is zero in plain English.
        encoding = "utf-16-le" if data[1:2] == b"\0" else "utf-16-be"
        text = data.decode(encoding, errors="ignore")
        if "\0" in text:
            raise InputError(f"{shown}: not a text file; save the table as CSV")
        return text, ()
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
        (b"", "utf-8"),
    ):
        if data.startswith(mark):
            try:
                return data.decode(encoding), ()
            except UnicodeDecodeError:
                continue
    return data.decode("latin-1"), (f"{shown}: read as Latin-1, as it is not UTF-8",)


# CSV


def _csv(
    text: str, suffix: str, shown: str, is_value: Callable[[str], bool]
) -> dict[str, list[Any]]:
    if told := _TOLD.match(text):
        # As Excel begins a table.
        text, delimiter = text[told.end() :], told[1]
    else:
        delimiter = "\t" if suffix == ".tsv" else _delimiter(text, blanks=suffix == ".txt")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{shown}: not a CSV table ({error}); save it again") from None
    if not rows:
        raise InputError(f"{shown}: empty; a table of images and labels is needed")
    width = len(rows[0][1])
    for line, row in rows:
        if len(row) > width and any(cell.strip() for cell in row[width:]):
            raise InputError(
                f"{shown} line {line}: has {len(row)} cells and the first line {width}; put values "
                f"that hold {delimiter!r} in quotes"
            )
    first = [cell.strip() for cell in rows[0][1]]
    headless = any(is_value(cell) for cell in first)
    names = _unique([f"column {i + 1}" for i in range(width)] if headless else first)
    body = [row for _, row in rows[0 if headless else 1 :]]
    return {
        name: [row[i].strip() if i < len(row) else None for row in body]
        for i, name in enumerate(names)
    }


def _delimiter(text: str, *, blanks: bool) -> str:
    """Return the delimiter that cuts the first lines into the same number of cells, above one."""
    lines = [line for line in text[:65536].splitlines() if line.strip()][:20]
    best, most = ",", 1
    for delimiter in DELIMITERS + (" " if blanks else ""):
        counts = {len(row) for row in csv.reader(lines, delimiter=delimiter)}
        if len(counts) == 1 and (count := counts.pop()) > most:
            best, most = delimiter, count
    return best


def _unique(names: Sequence[str]) -> list[str]:
    """Name columns without a name, and number those whose name is there already."""
    taken: list[str] = []
    for number, name in enumerate(names):
        wanted = name or f"column {number + 1}"
        while wanted in taken:
            wanted += " again"
        taken.append(wanted)
    return taken


# JSON


def _json_lines(text: str, shown: str) -> dict[str, list[Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_loaded(line, f"{shown} line {number}"))
    return _of_rows(rows, shown)


def _json(text: str, shown: str, is_value: Callable[[str], bool]) -> dict[str, list[Any]]:
    value = _loaded(text, shown)
    if known := annotation_format(value):
        raise InputError(f"{shown}: {known}")
    if isinstance(value, dict) and len(value) == 1:
        # One key around everything; around names of files it would be the only class.
        (inside,) = value.values()
        rows = isinstance(inside, list) and all(isinstance(row, list | dict) for row in inside)
        value = inside if rows or list(value) == ["labels"] else value
    if isinstance(value, dict) and _are_splits(value):
        return _by_split(value, shown, is_value)
    return _of_value(value, shown, is_value)


def _are_splits(value: Mapping[str, Any]) -> bool:
    spoken = splits_of(list(value))
    return spoken.keys() == value.keys() and TRAIN in spoken.values()


def _by_split(
    value: Mapping[str, Any], shown: str, is_value: Callable[[str], bool]
) -> dict[str, list[Any]]:
    """Return the tables of all splits as one, with a column that says the split."""
    rows: list[dict[str, Any]] = []
    for split, part in value.items():
        files = isinstance(part, list) and all(isinstance(file, str) for file in part)
        columns = {FILE: part} if files else _of_value(part, shown, is_value)
        names = list(columns)
        lines = zip(*columns.values(), strict=True)
        rows += [{**dict(zip(names, line, strict=True)), SPLIT: split} for line in lines]
    return _of_rows(rows, shown)


def _of_value(value: Any, shown: str, is_value: Callable[[str], bool]) -> dict[str, list[Any]]:
    if isinstance(value, list):
        return _of_rows(value, shown)
    if not isinstance(value, dict) or not value:
        raise InputError(f"{shown}: not a table; give a mapping from file to label, or a list")
    inner = list(value.values())
    if all(isinstance(v, dict) for v in inner):
        # By column, as pandas writes a table, or by file.
        if len(inner) > 1 and all(v.keys() == inner[0].keys() for v in inner) and _numbered(inner):
            return {str(name): list(column.values()) for name, column in value.items()}
        return _of_rows([{FILE: file, **row} for file, row in value.items()], shown)
    by_file = 2 * sum(map(is_value, value)) > len(value)
    if all(isinstance(v, list) for v in inner) and not by_file:
        if len({len(v) for v in inner}) == 1 and len(inner) > 1 and _known_columns(value):
            return {str(name): column for name, column in value.items()}
        if _are_images(list(value)):
            return {FILE: list(value), LABEL: inner}
        pairs = [(file, label) for label, files in value.items() for file in files]
        return {FILE: [file for file, _ in pairs], LABEL: [label for _, label in pairs]}
    return {FILE: list(value), LABEL: inner}


def _numbered(columns: Sequence[Mapping[str, Any]]) -> bool:
    return all(key.isdecimal() for key in columns[0])


def _are_images(names: Sequence[str]) -> bool:
    return all(PurePath(name).suffix.lower() in SUFFIXES for name in names)


def _known_columns(value: Mapping[str, Any]) -> bool:
    return any(name.casefold() in ("label", "labels", "class", "target") for name in value)


def _loaded(text: str, shown: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{shown}: not JSON ({error}); correct it") from None


def _of_rows(rows: Sequence[Any], shown: str) -> dict[str, list[Any]]:
    if rows and all(isinstance(row, list) and len(row) == 2 for row in rows):
        rows = [{FILE: file, LABEL: label} for file, label in rows]
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{shown}: not a table; every entry must be an object like the first")
    names = dict.fromkeys(str(name) for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


# Parquet


def _parquet(data: bytes, shown: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            names = [
                field.name
                for field in file.schema_arrow
                if not pa.types.is_nested(field.type) or _lists_values(field.type)
            ]
            table = file.read(columns=names)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{shown}: a damaged parquet file ({reason}); copy it again") from None
    return Table(columns={name: table[name].to_pylist() for name in table.column_names})


def _lists_values(kind: Any) -> bool:
    """Whether each cell is a list of plain values, as one-hot labels are."""
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return (lists or pa.types.is_fixed_size_list(kind)) and not pa.types.is_nested(kind.value_type)
