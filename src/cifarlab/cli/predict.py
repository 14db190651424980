"""``cifarlab predict``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from cifarlab.errors import InputError, RunInterruptedError, UsageError

if TYPE_CHECKING:
    from cifarlab.predicting.sources import Source

STDIN = "-"
SHOWN, WRITTEN = 3, 1


def predict(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Image files, folders, patterns in quotes ('photos/**/*.jpg'), - for stdin."
        ),
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option(help="A list of files: one per line, or NUL-separated; - for stdin."),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A run directory, a .keras or an .h5 file, or cifar10, the pretrained "
            "model. Default: the newest run, else cifar10."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write a table: .csv, .jsonl or .parquet."),
    ] = None,
    append: Annotated[
        bool,
        typer.Option("--append", help="Go on with --output; leave out files that have a row."),
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="How many classes to show (default 3) or write (default 1)."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write a column for every class.")
    ] = False,
    move_to: Annotated[
        Path | None,
        typer.Option(help="Copy the images here, into a folder per class; originals stay."),
    ] = None,
    resize_mode: Annotated[
        str | None,
        typer.Option(help="squash, crop or pad. Default: as the model was trained."),
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            help="The range that a model from elsewhere was made for: 0..255, 0..1 or -1..1."
        ),
    ] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read what links out of folders lead to.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Exit 0 although some images cannot be read.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say what is in images of any size.

    Images that cannot be read are listed, the others classified all the same. For many images
    write a table: it takes any number, and an interruption costs nothing.

    \b
    Examples:
      cifarlab predict cat.jpg
      cifarlab predict photos/ cat.png --model best.keras --top 1 --json
      cifarlab predict photos/ -o photos.csv
      cifarlab predict photos/ -o photos.csv --append
      cifarlab predict 'photos/**/*.jpg' --move-to sorted/
      find photos/ -mtime -1 -print0 | cifarlab predict --from-file - -o new.jsonl
      cat cat.jpg | cifarlab predict - --model runs/baseline-1
    """
    from cifarlab.classifier import find_model, resolve_model, unscaled
    from cifarlab.cli.output import say, warnings_in_one_line
    from cifarlab.cli.predictions import show_answers, show_summary
    from cifarlab.cli.progress import progress_on_stderr
    from cifarlab.data.image_format import check_resize_mode
    from cifarlab.files import check_writable, printable
    from cifarlab.predicting.files import check_output, predict_files, predict_stream
    from cifarlab.predicting.sources import check_names, known_count

    warnings_in_one_line()
    names = images or []
    _check_together(names, from_file, output, append=append, probabilities=probabilities)
    if resize_mode is not None:
        check_resize_mode(resize_mode)
    if output is not None:
        check_output(output, append=append)
    if move_to is not None:
        check_writable(_nearest_folder(move_to))
    given = [_stdin() if name == STDIN else name for name in names]
    check_names(given, copy_to=move_to, follow_links=follow_links)
    if model is None:
        print(f"model: {printable(str(find_model()))}", file=sys.stderr)
    total = None if from_file else known_count(given)
    with _listed(from_file) as listed, progress_on_stderr() as progress, _interruptible(output):
        classifier = resolve_model(model, device, pixels=pixels)
        if pixels is None and (line := unscaled(classifier)):
            say(f"{printable(str(model))}: {line}")
        progress.started("classifying", total)
        found = chain(given, listed)
        if output is None:
            stream = predict_stream(
                classifier,
                found,
                resize_mode=resize_mode,
                copy_to=move_to,
                follow_links=follow_links,
                progress=progress,
            )
            answers = [answer for batch in stream for answer in batch]
        else:
            summary = predict_files(
                classifier,
                found,
                output,
                append=append,
                top=top or WRITTEN,
                probabilities=probabilities,
                resize_mode=resize_mode,
                copy_to=move_to,
                follow_links=follow_links,
                progress=progress,
            )
    if output is None:
        bad, total = show_answers(answers, classifier, top or SHOWN, as_json=json)
    else:
        bad, total = show_summary(summary, as_json=json)
    if bad and not skip_bad:
        raise InputError(
            f"{bad:,} of {total:,} images could not be read; "
            "fix or remove them, or accept that with --skip-bad"
        )


def _check_together(
    names: Sequence[str],
    from_file: str | None,
    output: Path | None,
    *,
    append: bool,
    probabilities: bool,
) -> None:
    if not names and from_file is None:
        raise UsageError(
            "no images: name files or folders, or a list of them with --from-file; "
            "see cifarlab predict --help"
        )
    if [*names, from_file].count(STDIN) > 1:
        raise UsageError("stdin can be read once only; name - once")
    if output is None and (append or probabilities):
        raise UsageError("--append and --probabilities are about a table; name it with -o out.csv")


def _stdin() -> Source:
    from cifarlab.data.image import MAX_BYTES
    from cifarlab.predicting.sources import Source

    return Source(name=STDIN, read=lambda: sys.stdin.buffer.read(MAX_BYTES + 1))


@contextmanager
def _listed(from_file: str | None) -> Iterator[Iterable[str]]:
    """Open the list of names, which is read as it is needed."""
    from cifarlab.predicting.sources import listed_names

    if from_file is None:
        yield ()
    elif from_file == STDIN:
        yield listed_names(sys.stdin.buffer)
    else:
        with _opened(from_file) as file:
            yield listed_names(file)


def _opened(path: str) -> BinaryIO:
    from cifarlab.files import printable

    try:
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{printable(path)}: cannot be read ({reason}); name a list of files"
        ) from None


@contextmanager
def _interruptible(output: Path | None) -> Iterator[None]:
    from cifarlab.files import printable

    try:
        yield
    except KeyboardInterrupt:
        if output is None:
            raise
        raise RunInterruptedError(
            f"interrupted; {printable(output)} keeps what was classified: go on with the same "
            "command and --append",
            signal.SIGINT,
        ) from None


def _nearest_folder(folder: Path) -> Path:
    """Return the folder itself, or the one that it will be made in."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
