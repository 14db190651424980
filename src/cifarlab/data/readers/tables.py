"""Labels from a table beside image files: Kaggle's ``train.csv``, ``metadata.jsonl`` and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.multi_label.refusal import SeveralLabelsError, are_multi_label, refusal
from cifarlab.data.readers import table_columns, table_files
from cifarlab.data.readers.class_name_files import is_called_so
from cifarlab.data.readers.image_index import ImageIndex, index_images
from cifarlab.data.readers.label_table import (
    LabelTable,
    Row,
    ValuesOf,
    one_label_each,
    parsed,
    read_table,
)
from cifarlab.data.readers.label_values import Classes, as_classes
from cifarlab.data.readers.labelling import Labelled, Labelling, same_class
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
# Makes one labelling of a place, its index, its tables, how many images it has, options and notes.
Join = Callable[
    [Place, ImageIndex, Sequence[LabelTable], int, LoadOptions, Sequence[str]], Labelling
]


def label(place: Place, options: LoadOptions) -> Labelling | Rejected:
    """Return what tables say of the images of ``place``, one label each; see ``read``."""
    return read(place, options, one_label_each, _joined)


def read(
    place: Place, options: LoadOptions, values_of: ValuesOf, join: Join
) -> Labelling | Rejected:
    """Return what tables say of the images of ``place``, or why no table says anything.

    ``options.labels`` names the table, below the place or in the file system; without it, tables
    that name image files are looked for. Cells name a file by its path below the table's folder
    or the root, or by the end of its path, with or without the suffix.

    Args:
        place: where the images are.
        options: which table and which columns.
        values_of: what makes a label of each row.
        join: what makes one labelling of the rows of all tables.

    Raises:
        InputError: a table names image files, and something in it is wrong.
    """
    if options.labels is None and not _candidates(place):
        return Rejected(reason="")
    images = tuple(place.listing.root.everything())
    index = index_images(place.path, images)
    if options.labels is not None:
        table = _asked_for(place, index, options.labels, options, values_of)
        return join(place, index, [table], len(images), options, ())
    tables, not_meant, broken = _guessed(place, index, options, values_of)
    tables = without_equal_lines(tables, options.fewest_classes)
    found = any(table.rows is not None for table in tables)
    # One that is called after a split would be missed; any other may be something else.
    missed = [why for path, why in broken.items() if not found or split_of(path.stem) is not None]
    if missed:
        several = (why for why in missed if isinstance(why, SeveralLabelsError))
        raise next(several, InputError("; ".join(_first(list(map(str, missed))))))
    if not found:
        named = [f"{printable(table.path.name)} has no column of labels" for table in tables]
        return Rejected(reason="; ".join(_first([*not_meant, *named])))
    chosen, notes = one_for_each_split(tables)
    notes += not_meant
    notes += [f"not used: {reason}" for reason in _first(list(map(str, broken.values())))]
    return join(place, index, chosen, len(images), options, notes)


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


def _asked_for(
    place: Place, index: ImageIndex, labels: str, options: LoadOptions, values_of: ValuesOf
) -> LabelTable:
    below = place.path.joinpath(labels)
    if below.is_relative_to(place.path.absolute()):
        below = place.path / below.relative_to(place.path.absolute())
    read = place.read if below in set(place.listing.root.other_files()) else read_file
    path: PurePath = below if read is place.read or below.is_file() else Path(labels)
    table = read_table(index, path, read(path, table_files.MAX_BYTES + 1), options, values_of)
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
    place: Place, index: ImageIndex, options: LoadOptions, values_of: ValuesOf
) -> tuple[list[LabelTable], list[str], dict[PurePath, InputError]]:
    """Return the tables that name image files, lines on those not meant, and what is wrong."""
    tables: list[LabelTable] = []
    not_meant: list[str] = []
    broken: dict[PurePath, InputError] = {}
    for path in _candidates(place):
        content = place.read(path, MAX_GUESSED_BYTES + 1)
        if len(content) > MAX_GUESSED_BYTES:
            why = "large; if it has the labels, give it with --labels"
            broken[path] = InputError(f"{printable(path)}: {why}")
            continue
        try:
            table = read_table(index, path, content, options, values_of)
        except InputError as error:
            broken[path] = error
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
    notes: Sequence[str],
) -> Labelling:
    where = where_of(tables)
    rows: dict[PurePath, Row] = {}
    written = [row for table in tables for row in in_splits(table, index)]
    _refuse_several(written, where)
    for row in written:
        _add(rows, row, where)
    by_split = rows_by_split(rows.values(), where, measuring=options.measures)
    classes = as_classes(
        {split: [row.value for row in of_split] for split, of_split in by_split.items()},
        where=where,
        fewest=options.fewest_classes,
    )
    return labelling_of(place, tables, by_split, classes, image_count, notes)


def where_of(tables: Sequence[LabelTable]) -> str:
    """Return the tables in messages."""
    return " and ".join(printable(table.path) for table in tables)


def rows_by_split(
    rows: Iterable[Row], where: str, *, measuring: bool = False
) -> dict[str, list[Row]]:
    """Return the rows of each split, by path; those without a split are training images.

    To measure a model, images of a single split are all that there are.

    Raises:
        InputError: there are no training images.
    """
    by_split: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.image.parts):
        by_split.setdefault(row.split or TRAIN, []).append(row)
    by_split = all_in_one(by_split, measuring=measuring)
    if TRAIN not in by_split:
        raise InputError(f"{where}: labels no training images; add them")
    return by_split


def labelling_of(
    place: Place,
    tables: Sequence[LabelTable],
    by_split: Mapping[str, Sequence[Row]],
    classes: Classes,
    image_count: int,
    notes: Sequence[str],
) -> Labelling:
    """Return what the rows of all tables say; ``classes`` has a label for each of them."""
    without = image_count - sum(map(len, by_split.values()))
    counted = [f"left out {without:,} images that no row names"] if without else []
    return Labelling(
        reading=f"the table {where_of(tables)}",
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


def in_splits(table: LabelTable, index: ImageIndex) -> list[Row]:
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


def _refuse_several(rows: Sequence[Row], where: str) -> None:
    """Refuse images that have a row for each of several labels, unless they are few."""
    by_image: dict[PurePath, dict[str, None]] = {}
    for row in rows:
        if row.value not in (None, ""):
            by_image.setdefault(row.image, {})[same_class(str(row.value))] = None
    labels = [tuple(values) for values in by_image.values()]
    if are_multi_label(labels):
        raise refusal(where, labels, [image.name for image in by_image])


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
    check_split(other, row, where)


def check_split(one: Row, other: Row, where: str) -> None:
    """Raise ``InputError`` if two rows of one image put it into different splits."""
    if one.split != other.split:
        raise InputError(
            f"{where}: {printable(one.image)} is in {one.split} and {other.split}; an image may "
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
