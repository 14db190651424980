"""Labels from a table beside image files: Kaggle's ``train.csv``, ``metadata.jsonl`` and others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import table_columns, table_files
from cifarlab.data.readers.class_name_files import is_called_so
from cifarlab.data.readers.image_index import ImageIndex, index_images
from cifarlab.data.readers.label_table import LabelTable, Row, parsed, read_table
from cifarlab.data.readers.label_values import as_classes
from cifarlab.data.readers.labelling import Labelled, Labelling
from cifarlab.data.readers.places import Place, read_file
from cifarlab.data.readers.split_names import TRAIN, all_in_one, split_of
from cifarlab.data.readers.table_choice import one_for_each_split, without_equal_lines
from cifarlab.data.readers.text_lists import is_text
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError
from cifarlab.files import printable

SUFFIXES = frozenset({".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet"})
# Larger tables, deeper ones and more of them are read on request only.
MAX_GUESSED_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 3
MAX_TABLES = 50
MAX_REASONS = 2


def label(place: Place, options: LoadOptions) -> Labelling | Rejected:
    """Return what tables say of the images of ``place``, or why no table says anything.

    ``options.labels`` names the table, below the place or in the file system; without it, tables
    that name image files are looked for. Cells name a file by its path below the table's folder
    or the root, or by the end of its path, with or without the suffix.

    Raises:
        InputError: a table names image files, and something in it is wrong.
    """
    if options.labels is None and not _candidates(place):
        return Rejected(reason="")
    images = tuple(place.listing.root.everything())
    index = index_images(place.path, images)
    if options.labels is not None:
        table = _asked_for(place, index, options.labels, options)
        return _joined(place, index, [table], len(images), options)
    tables, not_meant, broken = _guessed(place, index, options)
    tables = without_equal_lines(tables, options.fewest_classes)
    found = any(table.rows is not None for table in tables)
    # One that is called after a split would be missed; any other may be something else.
    missed = [why for path, why in broken.items() if not found or split_of(path.stem) is not None]
    if missed:
        raise InputError("; ".join(_first(missed)))
    if not found:
        named = [f"{printable(table.path.name)} has no column of labels" for table in tables]
        return Rejected(reason="; ".join(_first([*not_meant, *named])))
    chosen, notes = one_for_each_split(tables)
    notes += not_meant
    notes += [f"not used: {reason}" for reason in _first(list(broken.values()))]
    return _joined(place, index, chosen, len(images), options, notes)


def _first(reasons: Sequence[str]) -> list[str]:
    more = len(reasons) - MAX_REASONS
    return [*reasons[:MAX_REASONS], *([f"and {more:,} more tables"] if more > 0 else [])]


def table_that_may_tell(place: Place, folders: Labelling) -> PurePath | None:
    """Return a table that names most of the images and does not say what their folders say."""
    index = index_images(place.path, place.listing.root.everything())
    known = folders.by_path
    for path in _candidates(place):
        try:
            content = place.read(path, MAX_GUESSED_BYTES)
            table = parsed(index, path, path.parent, content, asked_for=False)
            if isinstance(table, Rejected):
                continue
            image = table_columns.image_column(table, index, path.parent, printable(path))
        except InputError:
            continue
        if image is None:
            continue
        cells = [index.candidates(cell, path.parent) for cell in table.columns[image]]
        images = [found[0] if len(found) == 1 else None for found in cells]
        named = [known[i][1] if i in known else None for i in images]
        same = any(
            table_columns.one_to_one(named, column)
            for name, column in table.columns.items()
            if name != image
        )
        if 2 * len(set(images) & known.keys()) >= len(known) and not same:
            return path
    return None


# Which tables


def _asked_for(place: Place, index: ImageIndex, labels: str, options: LoadOptions) -> LabelTable:
    below = place.path.joinpath(labels)
    if below.is_relative_to(place.path.absolute()):
        below = place.path / below.relative_to(place.path.absolute())
    read = place.read if below in set(place.listing.root.other_files()) else read_file
    path: PurePath = below if read is place.read or below.is_file() else Path(labels)
    table = read_table(index, path, read(path, table_files.MAX_BYTES + 1), options)
    if isinstance(table, Rejected):
        raise InputError(
            f"{printable(path)}: no column names image files of {printable(place.path)}; name it "
            "with --image-column, or correct the names"
        )
    if table.rows is None:
        raise InputError(f"{printable(path)}: no column of labels; name it with --label-column")
    # Whatever it is called, it is all there is to divide.
    return replace(table, split=None)


def _guessed(
    place: Place, index: ImageIndex, options: LoadOptions
) -> tuple[list[LabelTable], list[str], dict[PurePath, str]]:
    """Return the tables that name image files, and a line for each not meant, or of no use."""
    tables: list[LabelTable] = []
    not_meant: list[str] = []
    broken: dict[PurePath, str] = {}
    for path in _candidates(place):
        content = place.read(path, MAX_GUESSED_BYTES + 1)
        if len(content) > MAX_GUESSED_BYTES:
            why = "large; if it has the labels, give it with --labels"
            broken[path] = f"{printable(path)}: {why}"
            continue
        try:
            table = read_table(index, path, content, options)
        except InputError as error:
            broken[path] = str(error)
            continue
        if isinstance(table, LabelTable):
            tables.append(table)
        elif table.reason:
            not_meant.append(table.reason)
    return tables, not_meant, broken


def _candidates(place: Place) -> list[PurePath]:
    """Return files that may be tables of labels, those nearest to the root first."""
    depth = len(place.path.parts)
    files = [
        file
        for file in place.listing.root.other_files()
        if ((file.suffix.lower() in SUFFIXES and not is_called_so(file)) or _may_list(file))
        and len(file.parts) - depth <= MAX_DEPTH
        # An example of what to hand in, whose labels are made up.
        and "submission" not in file.stem.casefold()
    ]
    files.sort(key=lambda file: (is_text(file), len(file.parts), not _hints(file), str(file)))
    return files[:MAX_TABLES]


def _may_list(path: PurePath) -> bool:
    """Whether a text may list images with their classes; ``train_test_split.txt`` does not."""
    return is_text(path) and (split_of(path.stem) is not None or "split" not in path.stem)


def _hints(path: PurePath) -> bool:
    words = ("label", "metadata", "train", "class", "annotation")
    return any(word in path.stem.casefold() for word in words)


# All tables together


def _joined(
    place: Place,
    index: ImageIndex,
    tables: Sequence[LabelTable],
    image_count: int,
    options: LoadOptions,
    notes: Sequence[str] = (),
) -> Labelling:
    where = " and ".join(printable(table.path) for table in tables)
    rows: dict[PurePath, Row] = {}
    for table in tables:
        for row in _in_splits(table, index):
            _add(rows, row, where)
    by_split: dict[str, list[Row]] = {}
    for row in sorted(rows.values(), key=lambda row: row.image.parts):
        by_split.setdefault(row.split or TRAIN, []).append(row)
    by_split = all_in_one(by_split, measuring=options.measures)
    if TRAIN not in by_split:
        raise InputError(f"{where}: labels no training images; add them")
    classes = as_classes(
        {split: [row.value for row in of_split] for split, of_split in by_split.items()},
        where=where,
        fewest=options.fewest_classes,
    )
    without = image_count - len(rows)
    counted = [f"left out {without:,} images that no row names"] if without else []
    return Labelling(
        reading=f"the table {where}",
        class_names=classes.names,
        splits={
            split: Labelled(
                paths=tuple(
                    r.image for r, n in zip(by_split[split], labels, strict=True) if n >= 0
                ),
                labels=tuple(int(n) for n in labels if n >= 0),
            )
            for split, labels in classes.labels.items()
        },
        tables=tuple(table.path for table in tables),
        notes=(*(n for t in tables for n in t.notes), *notes, *counted, *classes.notes),
        options=_options(place, tables),
    )


def _in_splits(table: LabelTable, index: ImageIndex) -> list[Row]:
    """Return the rows with their splits: by column, else by the table's name, else by folder."""
    rows = list(table.rows or ())
    if table.columns.division.columns or table.split:
        return [Row(image=r.image, value=r.value, split=r.split or table.split) for r in rows]
    by_folder = [index.split(row.image) for row in rows]
    if TRAIN not in by_folder:
        return rows
    return [
        Row(image=row.image, value=row.value, split=split)
        for row, split in zip(rows, by_folder, strict=True)
    ]


def _add(rows: dict[PurePath, Row], row: Row, where: str) -> None:
    """Add a row unless it is there already.

    Raises:
        InputError: the image is there with another label, or in another split.
    """
    other = rows.setdefault(row.image, row)
    if str(other.value) != str(row.value):
        raise InputError(
            f"{where}: {printable(row.image)} is labelled {other.value!r} and {row.value!r}; "
            "keep one of them"
        )
    if other.split != row.split:
        raise InputError(
            f"{where}: {printable(row.image)} is in {other.split} and {row.split}; an image may "
            "be in one split only"
        )


def _options(place: Place, tables: Sequence[LabelTable]) -> dict[str, Any]:
    first = tables[0]
    options: dict[str, Any] = {"image_column": first.columns.image}
    if first.columns.label:
        options["label_column"] = first.columns.label
    if len(tables) == 1 and first.path.is_relative_to(place.path):
        options["labels"] = first.path.relative_to(place.path).as_posix()
    return options
