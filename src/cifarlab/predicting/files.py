"""``predict_files``: any number of image files to a table of predictions."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cifarlab.classifier import Classifier
from cifarlab.data.image import check_options
from cifarlab.data.image_format import ImageFormat
from cifarlab.errors import UsageError
from cifarlab.files import check_writable, printable
from cifarlab.predicting.answers import BATCH_SIZE, Answer, answers
from cifarlab.predicting.copies import NOT_SURE, copy_into, folder_names
from cifarlab.predicting.lines import CSV, JSON_LINES, LineTable
from cifarlab.predicting.parquet import ParquetTable, partial_file
from cifarlab.predicting.rows import Columns, model_id, row_of
from cifarlab.predicting.sources import PathLike, Source, check_names, find_images
from cifarlab.runtime.progress import SILENT, Progress

LINE_FORMATS = {".csv": CSV, ".jsonl": JSON_LINES}
PARQUET = ".parquet"
SUFFIXES = (*LINE_FORMATS, PARQUET)
# Bad files named in a summary; the table has all of them.
MOST_NAMED = 20


@dataclass(frozen=True, kw_only=True)
class FilesSummary:
    """What became of the files.

    Attributes:
        output: the table, an absolute path.
        classified: how many images of each class were found, by class name.
        not_sure: how many of them the model is not sure of.
        bad: how many files cannot be read.
        bad_files: the first 20 of these, each with the reason.
        skipped: how many had a row already.
    """

    output: Path
    classified: dict[str, int]
    not_sure: int
    bad: int
    bad_files: tuple[str, ...]
    skipped: int


def predict_files(
    classifier: Classifier,
    images: Iterable[PathLike | Source],
    output: PathLike,
    *,
    append: bool = False,
    top: int = 1,
    probabilities: bool = False,
    resize_mode: str | None = None,
    copy_to: PathLike | None = None,
    follow_links: bool = False,
    batch_size: int = BATCH_SIZE,
    progress: Progress = SILENT,
) -> FilesSummary:
    """Classify image files and write a table with one row for each.

    The columns are ``path``, ``class``, ``confidence`` (0 to 1), ``sure`` (empty where the model
    has no threshold), ``error`` (why a file cannot be read; such a row has no class), ``model``
    (digits that change with the model), ``class_2``, ``probability_2`` … for the next classes, and
    ``p_CLASS`` for every class. A text that holds a line break, another control character or
    what is not UTF-8 is written as a JSON string in quotes, which
    ``cifarlab.predicting.rows.original_text`` turns back.

    Rows are on the disk when their batch is done. Memory holds a few batches of images and the
    paths of the rows that were there before. Rows for ``.parquet`` are kept as JSON Lines in a
    file with ``.partial`` at its end until all are there.

    Args:
        images: files, folders, patterns such as ``"photos/**/*.jpg"``; of several, those in a
            list or tuple are checked before the work begins.
        output: ends in ``.csv``, ``.jsonl`` (JSON Lines) or ``.parquet``.
        append: add to ``output`` if it exists, leaving out the files that have a row.
        top: how many of the likeliest classes to write, 1 or more.
        probabilities: write the probability of every class.
        resize_mode: ``"squash"``, ``"crop"`` or ``"pad"``; ``None`` for the model's own.
        copy_to: a folder that gets a copy of each image, in a folder per class; ``"not sure"`` has
            those that the model is not sure of.
        follow_links: read what links out of folders lead to.
        batch_size: how many images are predicted at once.

    Raises:
        UsageError: ``output`` exists and ``append`` is off, or ends in something else; ``copy_to``
            lies in a folder that is searched.
        InputError: ``output`` holds something else than such rows, or rows of another model; a
            folder has no images.
        ResourceError: the disk is full, or a folder cannot be written to.

    Example:
        >>> classifier = Classifier.pretrained()  # doctest: +SKIP
        >>> predict_files(classifier, ["photos/"], "out.csv").bad  # doctest: +SKIP
        0
    """
    path = Path(output)
    check_output(path, append=append)
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    if isinstance(images, Sequence):
        check_names(images, copy_to=copy_to, follow_links=follow_links)
    columns = Columns(
        model=model_id(classifier, format_of(classifier, resize_mode)),
        class_names=classifier.class_names,
        top=top,
        probabilities=probabilities,
    )
    tally = _Tally()
    with _table(path, columns) as table:
        found = find_images(images, follow_links=follow_links)
        batches = predict_stream(
            classifier,
            tally.without(table.done, found),
            resize_mode=resize_mode,
            copy_to=copy_to,
            batch_size=batch_size,
            progress=progress,
        )
        for batch in batches:
            table.add([row_of(answer, columns, classifier) for answer in batch])
            tally.count(batch, classifier)
    return tally.summary(path)


def predict_stream(
    classifier: Classifier,
    images: Iterable[PathLike | Source],
    *,
    resize_mode: str | None = None,
    copy_to: PathLike | None = None,
    follow_links: bool = False,
    batch_size: int = BATCH_SIZE,
    progress: Progress = SILENT,
) -> Iterator[list[Answer]]:
    """Yield an answer for each image that is found, in batches; the copies are made by then.

    Args and errors are those of ``predict_files``.
    """
    image_format = format_of(classifier, resize_mode)
    names = folder_names(classifier.class_names)
    sources = find_images(images, follow_links=follow_links)
    for batch in answers(classifier, sources, image_format, batch_size):
        for answer in batch:
            if copy_to is not None and answer.source.path and answer.error is None:
                ((name, confidence),) = answer.top(classifier.class_names, 1)
                folder = NOT_SURE if classifier.sure(confidence) is False else names[name]
                copy_into(Path(copy_to) / folder, answer.source.path)
        yield batch
        progress.advanced(len(batch))


def format_of(classifier: Classifier, resize_mode: str | None) -> ImageFormat:
    """Return what images are brought to: as in training, unless ``resize_mode`` says otherwise.

    Raises:
        UsageError: no such resize mode.
    """
    wanted = classifier.image_format
    if resize_mode is not None:
        wanted = replace(wanted, resize_mode=resize_mode)
    check_options(None, wanted.resize_mode)
    return wanted


def check_output(path: Path, *, append: bool) -> None:
    """Raise unless a table can be written to ``path``.

    Raises:
        UsageError: it ends in no known format, or exists and ``append`` is off.
        ResourceError: its folder cannot be written to.
    """
    shown = printable(path)
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{shown}: a table ends in {', '.join(SUFFIXES)}; choose one of them")
    check_writable(path.absolute().parent)
    kept = [path] if path.suffix.lower() != PARQUET else [path, partial_file(path)]
    for file in kept:
        if file.is_dir():
            raise UsageError(f"{printable(file)}: is a folder; choose another name")
        if file.exists() and not append:
            raise UsageError(
                f"{printable(file)}: exists already; go on with it with --append, which leaves out "
                "the files that have a row, or choose another name"
            )


def _table(path: Path, columns: Columns) -> LineTable | ParquetTable:
    suffix = path.suffix.lower()
    if suffix == PARQUET:
        return ParquetTable(path, columns)
    return LineTable(path, columns, LINE_FORMATS[suffix])


@dataclass(kw_only=True)
class _Tally:
    """Counts what becomes of the files."""

    classes: Counter[str] = field(default_factory=Counter)
    not_sure: int = 0
    bad: int = 0
    bad_files: list[str] = field(default_factory=list)
    skipped: int = 0

    def without(self, done: set[str], sources: Iterable[Source]) -> Iterator[Source]:
        for source in sources:
            if source.path is not None and source.name in done:
                self.skipped += 1
            else:
                yield source

    def count(self, batch: Iterable[Answer], classifier: Classifier) -> None:
        for answer in batch:
            if answer.error is not None:
                self.bad += 1
                if len(self.bad_files) < MOST_NAMED:
                    self.bad_files.append(f"{printable(answer.source.name)}: {answer.error}")
                continue
            ((name, confidence),) = answer.top(classifier.class_names, 1)
            self.classes[name] += 1
            self.not_sure += classifier.sure(confidence) is False

    def summary(self, path: Path) -> FilesSummary:
        return FilesSummary(
            output=path.absolute(),
            classified=dict(self.classes.most_common()),
            not_sure=self.not_sure,
            bad=self.bad,
            bad_files=tuple(self.bad_files),
            skipped=self.skipped,
        )
