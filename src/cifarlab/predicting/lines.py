"""Tables of one line per row, CSV and JSON Lines: what is written stays, whatever happens next."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from cifarlab.errors import InputError, UsageError
from cifarlab.files import cannot_write, printable, sync_directory
from cifarlab.predicting.rows import Columns, Row, check_columns, check_model, original_text


@dataclass(frozen=True, kw_only=True)
class LineFormat:
    """How rows become lines, and lines become rows.

    Attributes:
        header: returns the first line of a file, empty where the format has none.
        start: how every file begins.
        write: returns a row as a line, without its end.
        read: returns the columns and values of a line, or raises ``ValueError``.
    """

    header: Callable[[Columns], str]
    start: bytes
    write: Callable[[Row], str]
    read: Callable[[str, Columns], Row]


class LineTable:
    """Adds rows to a file, so that an interruption costs the last line at most.

    A last line without an end, which a power cut may leave, is cut off when the file is opened
    again.

    Attributes:
        done: the paths that have a row already, as they are on the disk.
    """

    def __init__(self, path: Path, columns: Columns, line_format: LineFormat) -> None:
        """Open ``path``, which may hold rows already.

        Raises:
            UsageError: another process writes to it.
            InputError: it holds something else, or rows of another model or with other columns.
            ResourceError: it cannot be written to.
        """
        self.path = path
        self.done: set[str] = set()
        self._line_format = line_format
        with ExitStack() as opening:
            opening.enter_context(_only_writer(path))
            whole = 0
            if path.exists():
                for end, row in read_rows(path, columns, line_format):
                    whole = end
                    if row:
                        self.done.add(original_text(row["path"]))
            self._file = opening.enter_context(self._open(whole))
            if not whole:
                self._write(line_format.header(columns))
            self._opened = opening.pop_all()

    def __enter__(self) -> LineTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows; when this returns they are on the disk.

        Raises:
            ResourceError: they cannot be written.
        """
        self._write("".join(f"{self._line_format.write(row)}\n" for row in rows))

    def _open(self, whole: int) -> BinaryIO:
        try:
            # Unbuffered, so that no half of a line waits for a later flush.
            file: Any = self.path.open("r+b" if self.path.exists() else "xb", buffering=0)
            file.truncate(whole)
            file.seek(whole)
            sync_directory(self.path.absolute().parent)
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return file  # type: ignore[no-any-return]

    def _write(self, text: str) -> None:
        rest = memoryview(text.encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error


@contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Keep other processes from writing to the table; the system ends that with the process."""
    from filelock import FileLock, Timeout

    lock_file = path.with_name(f".{path.name}.lock")
    try:
        lock = FileLock(lock_file, timeout=0)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"{printable(path)}: another process writes to it; wait for that, or choose another "
            "name"
        ) from None
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()
        lock_file.unlink(missing_ok=True)


def read_rows(
    path: Path, columns: Columns, line_format: LineFormat
) -> Iterator[tuple[int, Row | None]]:
    """Yield the rows of a table, each with where its line ends in bytes; the header is ``None``.

    Raises:
        InputError: the file is no such table, or one of another model or with other columns.
    """
    header = line_format.header(columns).encode()
    end = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    _check_torn(path, line, number, line_format.start)
                    return
                is_header = number == 1 and header != b""
                row = None if is_header else _row(path, line, number, columns, line_format)
                if is_header:
                    _check_header(path, line, header, columns, line_format.start)
                end += len(line)
                yield end, row
    except OSError as error:
        raise InputError(
            f"{printable(path)}: cannot be read ({error.strerror}); check its permissions"
        ) from None


def _check_torn(path: Path, line: bytes, number: int, start: bytes) -> None:
    ours = line.startswith(start) or start.startswith(line)
    if number == 1 and not ours:
        raise _foreign(path, number)


def _check_header(path: Path, line: bytes, header: bytes, columns: Columns, start: bytes) -> None:
    if line == header:
        return
    if line.startswith(start):
        check_columns(path, (), columns)
    raise _foreign(path, 1)


def _row(path: Path, line: bytes, number: int, columns: Columns, line_format: LineFormat) -> Row:
    try:
        row = line_format.read(line.decode(), columns)
    except ValueError:
        row = {}
    if not isinstance(row.get("path"), str) or "model" not in row:
        raise _foreign(path, number)
    check_columns(path, tuple(row), columns)
    check_model(path, row["model"], columns)
    return row


def _foreign(path: Path, number: int) -> InputError:
    return InputError(
        f"{printable(path)}: line {number} is no row of predictions; write to another file"
    )


def _csv_header(columns: Columns) -> str:
    return _csv_line(columns.names) + "\n"


def _csv_line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _csv_write(row: Row) -> str:
    return _csv_line([_cell(value) for value in row.values()])


def _cell(value: object) -> object:
    # As JSON has it, and as most programs read it.
    return str(value).lower() if isinstance(value, bool) else value


def _csv_read(line: str, columns: Columns) -> Row:
    try:
        cells = next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return dict(zip(columns.names, cells, strict=True))


def _json_write(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def _json_read(line: str, _: Columns) -> Row:
    row = json.loads(line)
    return row if isinstance(row, dict) else {}


CSV = LineFormat(
    header=_csv_header, start=b"path,class,confidence,", write=_csv_write, read=_csv_read
)
JSON_LINES = LineFormat(header=lambda _: "", start=b'{"path": ', write=_json_write, read=_json_read)
