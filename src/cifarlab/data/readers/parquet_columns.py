"""Which columns of a Parquet file hold the images and the classes, and what the classes are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import arrow_files, table_columns
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.data.readers.label_values import by_declared, of_lists
from cifarlab.data.readers.labelling import some
from cifarlab.data.readers.split_columns import key
from cifarlab.errors import InputError
from cifarlab.files import printable

IMAGE_NAMES = ("image", "img", "pixel_values", "images", "picture", "photo", "pixels")
SAMPLE_ROWS = 10_000


@dataclass(frozen=True, kw_only=True)
class ImageColumn:
    """A column of images; ``path`` is its field of file names, if it has one."""

    name: str
    path: str | None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file, or an Arrow file.

    Raises:
        InputError: it is damaged, found now or while it is read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = kind_of(path) in arrow_files.SUFFIXES
        with arrow_files.opened(path) if arrow else pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{printable(path)}: an incomplete or damaged {kind_of(path)[1:]} file ({reason}); "
            "copy it again"
        ) from error


def image_column(path: Path, options: LoadOptions) -> ImageColumn | None:
    """Return the column that holds the images, or ``None`` if none can.

    Raises:
        InputError: the file is damaged, several columns may be it, or an option names none.
    """
    with opened(path) as file:
        schema = file.schema_arrow
    shown = printable(path)
    able = [field.name for field in schema if _may_hold_images(field.type)]
    if options.image_column is not None:
        name = table_columns.named(schema.names, options.image_column, shown, "--image-column")
        if name not in able:
            return None
    elif not able:
        return None
    else:
        called = [n for n in able if key(n) in IMAGE_NAMES] or able
        if len(called) > 1:
            raise InputError(
                f"{shown}: the images may be in column {some(called)}; say which with "
                "--image-column"
            )
        name = called[0]
    if _holds_fractions(schema.field(name).type):
        raise InputError(
            f"{shown} column {name!r}: lists of numbers with fractions, whose black and white are "
            "not said; store whole numbers from 0 to 255, or encoded images"
        )
    return ImageColumn(name=name, path=_path_field(schema.field(name).type, name))


def label_column(path: Path, image: str, options: LoadOptions) -> str:
    """Return the column that holds the classes.

    Raises:
        InputError: none or several may be it, or an option names none.
    """
    shown = printable(path)
    with opened(path) as file:
        names = [n for n in file.schema_arrow.names if n != image]
        if options.label_column is not None:
            return table_columns.named(names, options.label_column, shown, "--label-column")
        plain = [n for n in names if not _is_binary_or_struct(file.schema_arrow.field(n).type)]
        rows = next(file.iter_batches(batch_size=SAMPLE_ROWS, columns=plain), None)
        columns = {n: rows[n].to_pylist() if rows is not None else [] for n in plain}
    label = table_columns.label_column(columns, plain, shown)
    if label is None:
        raise InputError(
            f"{shown}: has columns {some([image, *names])}; none is called label; say which holds "
            "the classes with --label-column"
        )
    return label


def has_column(path: Path, name: str) -> bool:
    """Whether a file has a column of that name."""
    with opened(path) as file:
        return name in file.schema_arrow.names


def plain_columns(path: Path) -> list[str]:
    """Return the columns that hold one value each: no images, lists or structures."""
    import pyarrow as pa

    with opened(path) as file:
        return [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]


def read_column(path: Path, name: str) -> list[Any]:
    """Return all values of a column, or of a field of a structure (``image.path``)."""
    with opened(path) as file:
        column = file.read(columns=[name]).column(name.partition(".")[0])
        values: list[Any] = column.to_pylist()
    return values


def declared_names(path: Path, label: str) -> tuple[str, ...]:
    """Return the class names in the Hugging Face metadata, in label order; often none."""
    with opened(path) as file:
        metadata = file.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        feature = features[label]
        # The classes of a list of labels are those of what it lists.
        feature = feature if "names" in feature else feature["feature"]
        names = tuple(str(name) for name in feature["names"])
    except (KeyError, TypeError, ValueError):
        return ()
    return names if len(names) == len(set(names)) else ()


def label_values(path: Path, label: str, fallback: tuple[str, ...]) -> list[Any]:
    """Return the labels of a file, by name where it or ``fallback`` lists names.

    Raises:
        InputError: a label has no name in the list.
    """
    names = declared_names(path, label) or fallback
    where = f"{printable(path)} column {label!r}"
    values = of_lists(read_column(path, label), where)
    return [by_declared(value, names, where) for value in values] if names else list(values)


def _may_hold_images(kind: Any) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.ExtensionType):
        kind = kind.storage_type
    if pa.types.is_struct(kind):
        names = {field.name for field in kind}
        return "bytes" in names or names == {"path"}
    if _is_list(kind):
        return bool(pa.types.is_nested(kind.value_type))
    return bool(
        pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    ) or pa.types.is_fixed_size_binary(kind)


def _is_binary_or_struct(kind: Any) -> bool:
    import pyarrow as pa

    return _may_hold_images(kind) or bool(pa.types.is_struct(kind))


def _path_field(kind: Any, name: str) -> str | None:
    import pyarrow as pa

    inside = pa.types.is_struct(kind) and "path" in {field.name for field in kind}
    return f"{name}.path" if inside else None


def _holds_fractions(kind: Any) -> bool:
    import pyarrow as pa

    if isinstance(kind, pa.ExtensionType):
        kind = kind.storage_type
    while _is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_floating(kind))


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(lists or pa.types.is_fixed_size_list(kind))
