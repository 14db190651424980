"""What one table says of the image files beside it: a row for each image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.multi_label import cells
from cifarlab.data.multi_label.refusal import are_multi_label, refusal
from cifarlab.data.readers import table_columns, table_files
from cifarlab.data.readers.annotations import CONVERT
from cifarlab.data.readers.box_cells import one_class_a_cell
from cifarlab.data.readers.class_name_files import is_called_so
from cifarlab.data.readers.image_index import ImageIndex, leads_out
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.own_tables import is_own
from cifarlab.data.readers.split_columns import key
from cifarlab.data.readers.split_names import splits_of
from cifarlab.data.readers.text_lists import is_text, pairs_of
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError
from cifarlab.files import printable


@dataclass(frozen=True, kw_only=True)
class Row:
    """One image of a table: its file, its label as it is written, and the split it is in."""

    image: PurePath
    value: Any
    split: str | None


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """A table that names image files.

    ``rows`` is ``None`` if it tells no labels. ``split`` is what its own name speaks of.
    """

    path: PurePath
    columns: table_columns.Columns
    rows: tuple[Row, ...] | None
    split: str | None
    notes: tuple[str, ...]


# What makes a label of each row of a table; the text is the table in messages.
ValuesOf = Callable[[table_files.Table, table_columns.Columns, str], list[Any]]


def read_table(
    index: ImageIndex,
    path: PurePath,
    content: bytes,
    options: LoadOptions,
    values_of: ValuesOf,
) -> LabelTable | Rejected:
    """Return what a table says, or why nothing; an empty reason if it names no image files.

    Args:
        values_of: what makes a label of each row.

    Raises:
        InputError: it names image files, and something in it is wrong.
    """
    shown = printable(path)
    folder = path.parent if path.is_relative_to(index.root) else index.root
    table = parsed(index, path, folder, content, asked_for=options.labels is not None)
    if isinstance(table, Rejected):
        return table
    boxes = one_class_a_cell(table)
    table = boxes.table
    columns = table_columns.choose(table, index, folder, shown, options)
    if columns is None:
        return Rejected(reason="")
    if {"xmin", "ymin"} <= {key(name) for name in table.columns}:
        raise InputError(f"{shown}: boxes of objects, which are not classes of images; {CONVERT}")
    names = [path.stem, path.parent.name if folder != index.root else ""]
    split = next((s for n in names if (s := splits_of([n]).get(n))), None)
    if columns.label is None and not columns.one_hot:
        return LabelTable(path=path, columns=columns, rows=None, split=split, notes=table.notes)
    if columns.label is not None:
        boxes.check_label(columns.label, f"{shown} column {columns.label!r}")
    values = values_of(table, columns, shown)
    notes = [*table.notes, _how_read(path, columns, split, of_boxes=columns.label in boxes.classes)]
    notes += columns.division.notes
    other = next((v for v in table.columns[columns.image] if index.is_elsewhere(v)), None)
    if other is not None:
        notes.append(f"{shown}: paths such as {printable(str(other))!r} are matched by their ends")
    find = partial(_image, index, path, folder, split)
    rows, more = _rows(table, columns, values, find, shown, skip_bad=options.skip_bad)
    notes += more
    return LabelTable(path=path, columns=columns, rows=tuple(rows), split=split, notes=tuple(notes))


def _how_read(
    path: PurePath, columns: table_columns.Columns, split: str | None, *, of_boxes: bool
) -> str:
    """Return one line on what was taken from where."""
    name = printable(path.name)
    labels = f"labels from {name} ({split})" if split else f"labels from {name}"
    if is_text(path):
        return f"{labels}: an image and its class a line"
    classes = repr(columns.label or some(columns.one_hot))
    boxes = ", which are the first words of lists of boxes" if of_boxes else ""
    splits = f", splits in {some(columns.division.columns)!r}" if columns.division.columns else ""
    return f"{labels}: images in {columns.image!r}, classes in {classes}{boxes}{splits}"


def parsed(
    index: ImageIndex, path: PurePath, folder: PurePath, content: bytes, *, asked_for: bool
) -> table_files.Table | Rejected:
    """Return the table in a file.

    One that nobody asked for is rejected where it is a text that is no list of images with their
    classes, or was written by this program.

    Raises:
        InputError: as ``table_files.parse``.
    """

    def is_image(cell: str) -> bool:
        return bool(index.candidates(cell, folder))

    if is_text(path):
        listed = pairs_of(content, is_image)
        if (
            listed is not None
            and is_called_so(path)
            and not _repeat(listed.columns[table_files.LABEL])
        ):
            # Names of classes, whose numbers happen to be those of images too.
            listed = None
        if listed is not None or not asked_for:
            return listed or Rejected(reason="")
    table = table_files.parse(content, name=str(path), is_value=is_image)
    if is_own(table.columns) and not asked_for:
        reason = "was written by cifarlab, so its classes are not used (--labels FILE does)"
        return Rejected(reason=f"{printable(path.name)} {reason}")
    return table


def _repeat(values: Sequence[Any]) -> bool:
    return len(set(values)) < len(values)


def one_label_each(
    table: table_files.Table, columns: table_columns.Columns, shown: str
) -> list[Any]:
    """Return the one label of each row.

    Raises:
        InputError: rows have several labels, or none.
    """
    if columns.label is None:
        return _of_one_hot(table, columns, shown)
    values = list(table.columns[columns.label])
    if cells.hold_several(values):
        where = f"{shown} column {columns.label!r}"
        names = [str(v) for v in table.columns[columns.image]]
        raise refusal(where, cells.labels_of(values, where), names)
    return values


def marked_columns(table: table_files.Table, names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return for each row the names of the columns that are 1."""
    rows = zip(*(table.columns[name] for name in names), strict=True)
    return [
        tuple(n for n, v in zip(names, row, strict=True) if str(v).casefold() in table_columns.ONES)
        for row in rows
    ]


def _of_one_hot(table: table_files.Table, columns: table_columns.Columns, shown: str) -> list[str]:
    """Return for each row the name of the column that is 1."""
    names = columns.one_hot
    marked = marked_columns(table, names)
    if are_multi_label(marked):
        where = f"{shown} columns {some(names)}"
        raise refusal(where, marked, [str(v) for v in table.columns[columns.image]])
    values: list[str] = []
    for number, ones in enumerate(marked, start=1):
        if len(ones) != 1:
            raise InputError(
                f"{shown} row {number}: {len(ones)} of the columns {some(list(names))} are 1; "
                "give one class an image, name the column of the classes (--label-column), or load "
                "them as several labels an image, or none (cifarlab.load_multi_label)"
            )
        values += ones
    return values


def _image(
    index: ImageIndex,
    table: PurePath,
    folder: PurePath,
    split: str | None,
    cell: Any,
    row: str | None,
) -> list[PurePath]:
    """Return the images that a cell may name, fewer where the splits or the folders tell."""
    found = index.candidates(cell, folder)
    wanted = row or split
    if wanted in index.splits.values():
        # The image of the same name in another split's folder is another one.
        found = [path for path in found if index.split(path) in (wanted, None)]
    if len(found) > 1:
        found = [path for path in found if path.parent.name == table.stem] or found
    return found


def _rows(
    table: table_files.Table,
    columns: table_columns.Columns,
    values: Sequence[Any],
    find: Callable[[Any, str | None], list[PurePath]],
    shown: str,
    *,
    skip_bad: bool,
) -> tuple[list[Row], list[str]]:
    """Return a row for each image that is there."""
    images = table.columns[columns.image]
    division = columns.division
    rows, missing, undecided = [], [], 0
    lines = zip(images, values, division.splits, strict=True)
    for number, (cell, value, split) in enumerate(lines, start=1):
        if division.columns and split is None:
            undecided += 1
            continue
        found = find(cell, split)
        if len(found) > 1:
            raise InputError(
                f"{shown} row {number}: {cell!r} may be {some(list(map(str, found[:3])))}; write "
                "the path below the folder"
            )
        if found:
            rows.append(Row(image=found[0], value=value, split=split))
        else:
            why = "leads out of the folder" if leads_out(cell) else "is not there"
            missing.append(f"row {number}, {printable(str(cell))!r}, {why}")
    notes = [f"{shown}: left out {undecided:,} rows without a split"] if undecided else []
    if not missing:
        return rows, notes
    counted = f"{len(missing):,} of {len(images):,} rows name no image file: {some(missing)}"
    if not skip_bad:
        raise InputError(
            f"{shown}: {counted}; add the files, correct the names, or leave these rows out "
            "(--skip-bad)"
        )
    return rows, [*notes, f"{shown}: left out, {counted}"]
