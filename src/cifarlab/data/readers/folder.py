"""Load a folder of images, one subfolder per class, divided into splits or not."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.dataset import Dataset, Split, check_split, stratified_split
from cifarlab.data.image import check_options, read_image
from cifarlab.data.readers.layouts import READINGS, Labelled, understand
from cifarlab.data.readers.split_names import TEST, TRAIN
from cifarlab.data.readers.tree import list_tree
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

MAX_LISTED = 10
DECODERS = min(8, os.cpu_count() or 1)
PROGRESS_EVERY = 1000


def load_folder(
    path: str | os.PathLike[str],
    *,
    image_size: int = 32,
    resize_mode: str = "squash",
    skip_bad: bool = False,
    class_folder: str = "auto",
    follow_links: bool = False,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    split_seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Dataset:
    """Load a folder of ``class/image.png``, or of that below ``train``, ``validation``, ``test``.

    Classes are the subfolders, sorted by name; images may be in deeper folders. The validation
    folder may also be called ``val`` or ``valid``. A split that has no folder is taken
    from the training images, the same share of every class.

    Args:
        path: the folder; its name becomes the dataset's.
        image_size: height and width that every image is resized to.
        resize_mode: how to resize; see ``image.decode_image``.
        skip_bad: leave out images that cannot be decoded, with a warning.
        class_folder: which folder names the class where folders are nested: ``"first"``,
            ``"last"``, or ``"auto"`` for the only possible one.
        follow_links: read what links out of the folder lead to.
        validation_fraction: share of all images for the validation split, if it has no folder.
        test_fraction: share of all images for the test split, if it has no folder.
        split_seed: the same seed gives the same splits.
        progress: called with one line of text now and then.

    Returns:
        A dataset whose splits name each image by its path within the folder.

    Raises:
        InputError: no folder, fewer than two classes, a class without images, too few
            images to divide, unprintable class names, or bad images.
        UsageError: a fraction, ``image_size`` or ``resize_mode`` is not a possible value.

    Example:
        >>> data = load_folder("photos")  # doctest: +SKIP
        >>> data.class_names  # doctest: +SKIP
        ('cat', 'dog')
    """
    check_options(image_size, resize_mode)
    if class_folder not in READINGS:
        raise UsageError(f"class folder {class_folder!r}: choose from {', '.join(READINGS)}")
    _check_fractions(validation_fraction, test_fraction)
    top = Path(path)
    shown = printable(str(path))
    layout = understand(list_tree(top, follow_links=follow_links), class_folder=class_folder)
    for note in layout.notes:
        warnings.warn(f"{shown}: {note}", stacklevel=2)
    root, class_names = top.resolve(), layout.class_names
    bad: list[str] = []
    splits = {
        split: _decode(files, top, image_size, resize_mode, bad, progress)
        for split, files in layout.splits.items()
    }
    if bad:
        count = sum(len(files.paths) for files in layout.splits.values())
        _report_bad(bad, count, shown, skip_bad=skip_bad)
    splits = _fill(splits, class_names, validation_fraction, test_fraction, split_seed, shown)
    for name, split in splits.items():
        check_split(split, class_names, f"{shown} ({name})")
    return Dataset(
        name=root.name,
        source=str(root),
        class_names=class_names,
        train=splits[TRAIN],
        validation=splits["validation"],
        test=splits[TEST],
    )


def _check_fractions(validation_fraction: float, test_fraction: float) -> None:
    for name, value in (("validation", validation_fraction), ("test", test_fraction)):
        if not 0.0 < value < 1.0:
            raise UsageError(f"{name} fraction {value}: it must lie between 0 and 1; use 0.1")
    if validation_fraction + test_fraction >= 1.0:
        raise UsageError(
            f"validation fraction {validation_fraction} and test fraction {test_fraction}: "
            "together they must stay below 1, or nothing is left to train on"
        )


# Decoding and dividing


def _decode(
    files: Labelled,
    path: Path,
    size: int,
    resize_mode: str,
    bad: list[str],
    progress: Callable[[str], None] | None,
) -> Split:
    """Decode all files in parallel; append the messages of bad ones to ``bad``."""

    def read(file: Path) -> np.ndarray[Any, Any] | InputError:
        try:
            return read_image(file, size=size, resize_mode=resize_mode)
        except InputError as error:
            return error

    images = np.empty((len(files.paths), size, size, 3), dtype=np.uint8)
    good: list[int] = []
    pool = ThreadPoolExecutor(DECODERS)
    try:
        for index, result in enumerate(pool.map(read, files.paths)):
            if isinstance(result, InputError):
                bad.append(str(result))
            else:
                images[index] = result
                good.append(index)
            if progress is not None and (index + 1) % PROGRESS_EVERY == 0:
                progress(f"decoded {index + 1:,} of {len(files.paths):,} images")
    finally:
        pool.shutdown(cancel_futures=True)
    names = tuple(_name(file.relative_to(path)) for file in files.paths)
    split = Split(images=images, labels=np.array(files.labels, dtype=np.int64), names=names)
    return split if len(good) == len(split) else split.subset(np.array(good, dtype=np.int64))


def _name(path: Path) -> str:
    # File names that are not UTF-8 arrive as lone surrogates, which no output can hold.
    return os.fsencode(path.as_posix()).decode(errors="backslashreplace")


def _report_bad(bad: Sequence[str], count: int, shown: str, *, skip_bad: bool) -> None:
    more = f" | and {len(bad) - MAX_LISTED} more" if len(bad) > MAX_LISTED else ""
    listed = f"{' | '.join(bad[:MAX_LISTED])}{more}"
    if not skip_bad:
        raise InputError(
            f"{shown}: {len(bad)} of {count} images are bad: {listed}; "
            "repair or remove them, or leave them out (--skip-bad)"
        )
    warnings.warn(f"{shown}: left out {len(bad)} of {count} images: {listed}", stacklevel=2)


def _fill(
    splits: dict[str, Split],
    class_names: tuple[str, ...],
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    shown: str,
) -> dict[str, Split]:
    """Take the missing splits from ``train``, the same share of every class."""
    missing = [name for name in ("validation", TEST) if name not in splits]
    counts = np.bincount(splits[TRAIN].labels, minlength=len(class_names))
    few = [name for name, n in zip(class_names, counts, strict=True) if 0 < n <= len(missing)]
    if few:
        warnings.warn(
            f"{shown}: too few images of {', '.join(few[:MAX_LISTED])} to divide; they are "
            "trained on, and not measured in every split",
            stacklevel=2,
        )
    if not counts.all():
        gone = class_names[int(counts.argmin())]
        raise InputError(f"{shown}: class {gone!r} has no good images to train on; add some")
    filled = dict(splits)
    share = validation_fraction
    if TEST in missing:
        filled[TRAIN], filled[TEST] = _divide(filled[TRAIN], test_fraction, seed)
        # Both shares are of all images, and the test images are now gone from ``train``.
        share = validation_fraction / (1.0 - test_fraction)
    if "validation" in missing:
        filled[TRAIN], filled["validation"] = _divide(filled[TRAIN], share, seed)
    return filled


def _divide(split: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    kept, held_out = stratified_split(split.labels, fraction, seed)
    return split.subset(kept), split.subset(held_out)


def find(path, options):
    """stand-in"""
    from functools import partial

    from cifarlab.data.samples import Found, Rejected, Samples

    if not path.is_dir() or list(path.rglob("*.parquet")):
        return Rejected(reason="")
    layout = understand(
        list_tree(path, follow_links=options.follow_links), class_folder=options.class_folder
    )
    files = tuple(file for labelled in layout.splits.values() for file in labelled.paths)
    return Found(
        what="a folder of images",
        name=path.resolve().name,
        source=str(path.resolve()),
        class_names=layout.class_names,
        splits={
            part: Samples(
                labels=np.array(labelled.labels, np.int64),
                names=tuple(_name(f.relative_to(path)) for f in labelled.paths),
                contents=partial(iter, labelled.paths),
            )
            for part, labelled in layout.splits.items()
        },
        files=files,
        notes=layout.notes,
    )
