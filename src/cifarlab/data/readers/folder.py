"""Understand a folder of image files: subfolders, a label table or file names tell the classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers import parquet, pixel_tables, tables
from cifarlab.data.readers.file_kind import kind_of
from cifarlab.data.readers.labelled_files import FindIn, find_in
from cifarlab.data.readers.places import folder_place
from cifarlab.data.samples import Found, Rejected
from cifarlab.errors import UsageError
from cifarlab.files import printable


def find(path: Path, options: LoadOptions, find_in: FindIn = find_in) -> Found | Rejected:
    """Return the images below the folder ``path`` and the class of each, or why not.

    ``path`` may also be the table itself that labels the images in its folder.

    The class of an image is told by the folder that it is in, divided into splits or not, by a
    table of labels, or by the image's own name; see ``labelled_files``.

    Raises:
        InputError: the folder cannot be listed, its files are labelled in two ways that do not
            agree, or the files that an option names do not fit.
        UsageError: options that exclude each other.
    """
    if path.is_file():
        return _by_table(path, options, find_in)
    if not path.is_dir():
        return Rejected(reason="")
    return find_in(folder_place(path, follow_links=options.follow_links), options)


def _by_table(path: Path, options: LoadOptions, find_in: FindIn) -> Found | Rejected:
    is_table = kind_of(path) in tables.SUFFIXES
    if not is_table or parquet.holds_images(path, options):
        return Rejected(reason="")
    if pixel_tables.holds_images(path, options):
        return Rejected(reason="")
    if options.labels is not None:
        raise UsageError(f"--labels {printable(options.labels)}: the dataset is a table already")
    place = folder_place(path.parent, follow_links=options.follow_links)
    answer = find_in(place, replace(options, labels=path.name))
    if isinstance(answer, Rejected):
        remedy = "if the images are elsewhere, give their folder, and the table with --labels"
        return Rejected(reason=f"{printable(path.parent)} {answer.reason}; {remedy}")
    explicit = {name: value for name, value in answer.options.items() if name != "labels"}
    return replace(answer, name=path.stem, source=str(path.absolute()), options=explicit)
