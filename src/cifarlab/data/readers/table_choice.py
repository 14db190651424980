"""Which of several tables beside image files tell the classes: one for each split, or its parts."""

from __future__ import annotations

from collections.abc import Sequence

from cifarlab.data.readers.label_table import LabelTable
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.split_names import TEST, TRAIN, VALIDATION
from cifarlab.data.readers.text_lists import is_text
from cifarlab.errors import InputError
from cifarlab.files import printable


def one_for_each_split(tables: Sequence[LabelTable]) -> tuple[list[LabelTable], list[str]]:
    """Return the tables to read; those that speak of no split are left out if one is "train"."""
    labelled = [table for table in tables if table.rows is not None]
    notes = [
        f"{printable(table.path.name)}: has no labels; left out"
        for table in tables
        if table.rows is None
    ]
    labelled = _without_repeats(labelled)
    if any(table.split == TRAIN for table in labelled):
        silent = [table.path.name for table in labelled if table.split is None]
        if silent:
            notes.append(f"left out {some(silent)}: other tables are called train")
        labelled = [table for table in labelled if table.split is not None]
    for split in (TRAIN, VALIDATION, TEST, None):
        same = [table for table in labelled if table.split == split]
        if len(same) > 1 and not _are_parts(same):
            names = some([str(table.path) for table in same])
            raise InputError(
                f"{names} may all have the labels, and name the same images or have other columns; "
                "say which with --labels FILE"
            )
    return labelled, notes


def _are_parts(tables: Sequence[LabelTable]) -> bool:
    """Whether tables have the same columns and no image in common, so that each is a part."""
    images = [row.image for table in tables for row in table.rows or ()]
    alike = len({(table.columns.image, table.columns.label) for table in tables}) == 1
    return alike and len(set(images)) == len(images)


def without_equal_lines(tables: list[LabelTable], fewest: int) -> list[LabelTable]:
    """Return no text lists where all lines of all of them end alike, in what is no class then."""
    texts = [table for table in tables if is_text(table.path)]
    values = {str(row.value) for table in texts for row in table.rows or ()}
    return tables if len(values) >= fewest else [table for table in tables if table not in texts]


def _without_repeats(tables: Sequence[LabelTable]) -> list[LabelTable]:
    """Return the tables without ``trainval.txt`` and its like, where others name all its images."""
    images = {table.path: {row.image for row in table.rows or ()} for table in tables}
    kept = list(tables)
    for table in sorted(tables, key=lambda table: -len(images[table.path])):
        others = [o for o in kept if o is not table and o.split in (TRAIN, VALIDATION)]
        together = {image for other in others for image in images[other.path]}
        if len(others) > 1 and table.split == TRAIN and images[table.path] == together:
            kept.remove(table)
    return kept
