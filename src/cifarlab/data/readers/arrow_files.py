"""Arrow files, as ``datasets`` and ``pyarrow`` write them, with the face of a Parquet file.

Format: https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarlab.errors import InputError
from cifarlab.files import printable

SUFFIXES = (".arrow", ".feather")
# What ``datasets`` leaves beside its tables: results of map, and the order after a shuffle.
_NO_TABLES = ("cache-", "indices-", "tmp")


@dataclass(frozen=True, kw_only=True)
class ArrowFile:
    """An open Arrow file; read as ``pyarrow.parquet.ParquetFile`` is."""

    reader: Any
    batches: Any

    @property
    def schema_arrow(self) -> Any:
        """The names and types of its columns."""
        return self.reader.schema

    def iter_batches(self, *, batch_size: int, columns: Sequence[str]) -> Iterator[Any]:
        """Yield batches of at most so many rows, with these columns."""
        for batch in self.batches():
            chosen = batch.select(columns)
            for start in range(0, len(chosen), batch_size):
                yield chosen.slice(start, batch_size)

    def read(self, *, columns: Sequence[str]) -> Any:
        """Return a table of these columns; ``image.path`` is a structure of ``path`` alone."""
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = [name.partition(".") for name in columns]
        names = [top for top, _, _ in parts]
        tables = []
        for batch in self.batches():
            arrays = [
                pa.StructArray.from_arrays([pc.struct_field(batch[top], inner)], [inner])
                if inner
                else batch[top]
                for top, _, inner in parts
            ]
            tables.append(pa.Table.from_arrays(arrays, names))
        return pa.concat_tables(tables) if tables else self.schema_arrow.empty_table().select(names)


@contextmanager
def opened(path: Path) -> Iterator[ArrowFile]:
    """Open an Arrow file, a stream or one with a footer, without reading it into memory.

    Raises:
        pyarrow.ArrowException, OSError: it is damaged.
        InputError: its rows are in an order that stands elsewhere.
    """
    import pyarrow as pa

    _refuse_another_order(path)
    with pa.memory_map(str(path)) as source:
        with_footer = source.read(6) == b"ARROW1"
        source.seek(0)
        if with_footer:
            file = pa.ipc.open_file(source)
            yield ArrowFile(
                reader=file,
                batches=lambda: (file.get_batch(i) for i in range(file.num_record_batches)),
            )
        else:
            yield ArrowFile(reader=pa.ipc.open_stream(source), batches=lambda: _stream(source))


def _stream(source: Any) -> Iterator[Any]:
    import pyarrow as pa

    source.seek(0)
    yield from pa.ipc.open_stream(source)


def is_table(path: Path) -> bool:
    """Whether a file is called as a table of ``datasets``, not as one of its caches."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(_NO_TABLES)


def _refuse_another_order(path: Path) -> None:
    """Refuse files of which ``datasets`` has chosen rows: the choice is in a file of its own."""
    state = path.parent / "state.json"
    try:
        told = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(told, dict) and (told.get("_indices_files") or told.get("_indices_data_files")):
        raise InputError(
            f"{printable(path.parent)}: a choice of rows is stored beside its table; save it anew "
            "with flatten_indices()"
        )
