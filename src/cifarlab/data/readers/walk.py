"""The images in a folder, one after the other, for trees of any size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from cifarlab.data.readers.tree import cannot_list, resolved
from cifarlab.data.readers.what_is_read import is_followed, is_hidden, is_image_file, is_new_folder
from cifarlab.errors import InputError
from cifarlab.files import printable


def walk_images(
    path: Path,
    *,
    enter: Callable[[Path], bool] = lambda _: True,
    take: Callable[[Path], bool] = lambda _: True,
    follow_links: bool = False,
    left_out: Callable[[str], object],
    failed: Callable[[InputError], object],
) -> Iterator[Path]:
    """Yield the images in the folder ``path`` and all below it, by the rules of ``list_tree``.

    Of files, only the names in one folder are held at a time. The images in a folder come before
    those in its subfolders, both sorted.

    Args:
        enter: whether a folder is searched.
        take: whether a file is wanted.
        follow_links: read what links out of the tree lead to, each folder once.
        left_out: called with one line for each thing that is wanted and not read.
        failed: called with the error of each folder that cannot be listed or entered.

    Raises:
        InputError: ``path`` is no folder.
    """
    root = resolved(path)
    seen = {root}
    above = len(path.parts)

    def is_read(here: Path) -> bool:
        if is_hidden(here.name):
            return False
        lines: list[str] = []
        try:
            kept = not here.is_symlink() or is_followed(here, root, seen, lines, follow_links)
            if kept and here.is_dir():
                kept = is_new_folder(here, seen, lines, len(here.parts) - above)
            elif kept and not (here.is_file() and is_image_file(here)):
                kept = False
                lines.append(f"{printable(here)}: left out, not an image file")
        except OSError as error:
            report(error)
            return False
        for line in lines:
            left_out(line)
        return kept

    def report(error: OSError) -> None:
        failed(cannot_list(Path(error.filename or path), error))

    for folder, folders, names in os.walk(path, onerror=report, followlinks=follow_links):
        here = Path(folder)
        below = filter(enter, (here / name for name in sorted(folders)))
        folders[:] = [inner.name for inner in below if is_read(inner)]
        yield from filter(is_read, filter(take, (here / name for name in sorted(names))))
