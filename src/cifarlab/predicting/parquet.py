"""Predictions as a Parquet file, whose rows wait beside it until all are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

from cifarlab.errors import InputError
from cifarlab.files import printable, replacing
from cifarlab.predicting.lines import JSON_LINES, LineTable, read_rows
from cifarlab.predicting.rows import Columns, Row, check_columns, check_model, original_text

# Of cells, which are held in memory at a time.
GROUP = 500_000


def partial_file(path: Path) -> Path:
    """Return where the rows of the Parquet file ``path`` are until all are there."""
    return path.with_name(f"{path.name}.partial")


class ParquetTable:
    """Collects rows as JSON Lines in ``out.parquet.partial``, and makes Parquet of them at the end.

    A Parquet file can be read only when its last bytes are written, so that an interruption would
    cost all of it. At the end the rows that were in the file and the new ones become one file,
    which replaces the old one at once.

    Attributes:
        done: the paths that have a row already, in either file.
    """

    def __init__(self, path: Path, columns: Columns) -> None:
        """Open ``path``, which may hold rows already, or have some waiting beside it.

        Raises:
            InputError: it holds something else, or rows of another model or with other columns.
            ResourceError: it cannot be written to.
        """
        self.path, self._columns = path, columns
        self._finished = set(_paths(path, columns)) if path.exists() else set()
        self._rows = LineTable(partial_file(path), columns, JSON_LINES)

    @property
    def done(self) -> set[str]:
        """The paths that have a row already, in either file."""
        return self._finished | self._rows.done

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._rows.__exit__(kind, error, trace)
        if kind is None:
            self._finish()

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows; when this returns they are on the disk, though not in the Parquet file yet.

        Raises:
            ResourceError: they cannot be written.
        """
        self._rows.add(rows)

    def _finish(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema(self._columns)
        with replacing(self.path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            if self.path.exists():
                with pq.ParquetFile(self.path) as old:
                    for batch in old.iter_batches(_rows_at_once(self._columns)):
                        writer.write_batch(batch.cast(schema))
            for rows in _groups(self._waiting(), _rows_at_once(self._columns)):
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema))
        with suppress(FileNotFoundError):
            partial_file(self.path).unlink()

    def _waiting(self) -> Iterator[Row]:
        for _, row in read_rows(partial_file(self.path), self._columns, JSON_LINES):
            # Those are in both files when the power failed before the partial one was removed.
            if row and original_text(row["path"]) not in self._finished:
                yield row


def _paths(path: Path, columns: Columns) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            check_columns(path, file.schema_arrow.names, columns)
            for batch in file.iter_batches(columns=["path", "model"]):
                for row in batch.to_pylist():
                    check_model(path, row["model"], columns)
                    yield original_text(row["path"])
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"{printable(path)}: cannot be read as Parquet ({' '.join(str(error).split())[:120]}); "
            "write to another file"
        ) from None


def _schema(columns: Columns) -> Any:
    import pyarrow as pa

    texts = ("path", "class", "error", "model")

    def kind(name: str) -> Any:
        if name == "sure":
            return pa.bool_()
        is_text = name in texts or name.startswith("class_")
        return pa.string() if is_text else pa.float32()

    return pa.schema([(name, kind(name)) for name in columns.names])


def _rows_at_once(columns: Columns) -> int:
    return max(1, GROUP // len(columns.names))


def _groups(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while group := list(islice(iterator, size)):
        yield group
