"""Find the images of a source whose tables say several labels, or none, of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from cifarlab.data.load_options import AUTO, LoadOptions
from cifarlab.data.multi_label.cells import labels_of
from cifarlab.data.multi_label.combinations import (
    as_combinations,
    combined,
    marks_note,
    table_of,
)
from cifarlab.data.readers import (
    archives,
    folder,
    label_files,
    parquet,
    parquet_columns,
    pixel_tables,
    split_lists,
    tables,
)
from cifarlab.data.readers.image_index import ImageIndex
from cifarlab.data.readers.label_table import LabelTable, Row, marked_columns
from cifarlab.data.readers.label_values import Classes, by_declared
from cifarlab.data.readers.labelled_files import found_of
from cifarlab.data.readers.labelling import Labelling, same_class, some
from cifarlab.data.readers.places import Place
from cifarlab.data.readers.table_columns import Columns
from cifarlab.data.readers.table_files import Table
from cifarlab.data.samples import Found, Rejected
from cifarlab.files import printable


def find(path: Path, options: LoadOptions) -> Found | None:
    """Return images whose classes are combinations of labels (``combinations``).

    ``None`` where nothing says several labels of an image, or none of the classes: then
    ``catalog`` finds the one label of each.

    Raises:
        InputError: a source is as these readers want it, and something in it is wrong.
    """
    if options.class_folder != AUTO or options.label_pattern is not None:
        return None
    answers = (
        parquet.find(path, options, _named_cells, as_combinations),
        pixel_tables.find(path, options, as_combinations),
        folder.find(path, options, _find_in),
        archives.find(path, options, _find_in),
    )
    found = [answer for answer in answers if isinstance(answer, Found)]
    return next((answer for answer in found if not _is_one_each(answer)), None)


def _is_one_each(found: Found) -> bool:
    _, labels = table_of(found.class_names)
    return bool((labels[1:].sum(axis=1) == 1).all())


def _find_in(place: Place, options: LoadOptions) -> Found | Rejected:
    """Return what a table, or a text file beside each image, says of the images of a place."""
    answer = tables.read(place, options, _cells, _joined)
    if isinstance(answer, Rejected):
        answer = label_files.label(place, options, as_combinations)
    if isinstance(answer, Rejected):
        return answer
    return found_of(place, split_lists.divided(place, answer))


def _cells(table: Table, columns: Columns, shown: str) -> list[Any]:  # noqa: ARG001
    """Return the label cell of each row; of one-hot columns, the names of those that are 1."""
    if columns.label is None:
        return list(marked_columns(table, columns.one_hot))
    return list(table.columns[columns.label])


def _joined(
    place: Place,
    index: ImageIndex,
    of_place: Sequence[LabelTable],
    image_count: int,
    options: LoadOptions,
    notes: Sequence[str],
) -> Labelling:
    """Return what all tables say; an image of several rows has the labels of all of them."""
    where = tables.where_of(of_place)
    rows = [row for table in of_place for row in tables.in_splits(table, index)]
    cells = [row.value for row in rows]
    joined: dict[PurePath, Row] = {}
    for row, labels in zip(rows, labels_of(cells, where), strict=True):
        other = joined.get(row.image)
        if other is not None:
            tables.check_split(other, row, where)
            labels = labels if other.value is None else (*other.value, *(labels or ()))
        joined[row.image] = replace(row, value=labels)
    by_split = tables.rows_by_split(joined.values(), where)
    classes = combined(
        {split: [row.value for row in of_split] for split, of_split in by_split.items()},
        where=where,
        fewest=options.fewest_classes,
    )
    notes = (*notes, *marks_note(cells, where), *_unmarked(of_place, classes))
    return tables.labelling_of(place, of_place, by_split, classes, image_count, notes)


def _unmarked(of_place: Sequence[LabelTable], classes: Classes) -> tuple[str, ...]:
    """Return a line on one-hot columns that are 1 for no image."""
    names, _ = table_of(classes.names)
    known = set(map(same_class, names))
    columns = dict.fromkeys(name for table in of_place for name in table.columns.one_hot)
    never = [name for name in columns if same_class(name) not in known]
    return (f"no image has {some(never)}, which is no class then",) if never else ()


def _named_cells(path: Path, label: str, first: tuple[str, ...]) -> list[Any]:
    """Return the label cells of a Parquet file, numbers by name where the file lists names."""
    names = parquet_columns.declared_names(path, label)
    where = f"{printable(path)} column {label!r}"
    cells = parquet_columns.read_column(path, label)
    if not (names or first):
        return cells
    return [
        None if labels is None else [by_declared(n, names or first, where) for n in labels]
        for labels in labels_of(cells, where)
    ]
