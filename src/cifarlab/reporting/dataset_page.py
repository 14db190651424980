"""A dataset on one HTML page: counts, images of every class, and what may be wrong with it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset, Split
from cifarlab.evaluation.data_notes import classes_without_images, data_notes
from cifarlab.files import check_writable, printable, write_text
from cifarlab.reporting.dataset_duplicates import Pair, Place, Twice, find_twice, splits_of
from cifarlab.reporting.images import data_uri
from cifarlab.reporting.rendering import render_template

# Of each class and split, as long as the page stays small enough to send by mail.
MOST_SHOWN = 10
MOST_PIXELS = 5_000_000
# Larger images are shown smaller; small ones are enlarged by a whole number.
SIDE, LARGEST_SIDE = 64, 96
MOST_PAIRS = 24
MOST_LISTED = 200
# Fewer images of a class tell little.
FEW = 10

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image on the page.

    Attributes:
        uri: the image as a ``data:`` URI, PNG.
        width, height: as shown, in pixels of the page.
        name: where it came from.
    """

    uri: str
    width: int
    height: int
    name: str


def show_dataset(
    data: Dataset | str | os.PathLike[str],
    output: str | os.PathLike[str] = "dataset.html",
    *,
    seed: int = 0,
    progress: Callable[[str], object] = lambda _: None,
) -> Path:
    """Write one HTML page about a dataset, which needs no other file and no network.

    It holds counts for each class and split, images of each, the images that are there twice or
    nearly so, and the files that cannot be read. Of large splits a random sample is searched for
    duplicates; the page says how many.

    Args:
        data: a dataset, or a name or path of one; bad files are then left out and listed.
        output: the page; one that exists is replaced.
        seed: of the choice of images; the same seed gives the same page.
        progress: is told what is being done.

    Returns:
        The absolute path of the page.

    Raises:
        CifarlabError: as ``load_dataset``.
        ResourceError: ``output`` cannot be written to.

    Example:
        >>> show_dataset("shapes10", "shapes.html").name  # doctest: +SKIP
        'shapes.html'
    """
    path = Path(output).absolute()
    check_writable(path.parent)
    if not isinstance(data, Dataset):
        progress("loading data")
        data = load_dataset(data, skip_bad=True)
    progress("searching for duplicates")
    twice = find_twice(data, seed)
    progress("writing the page")
    write_text(path, render_template("dataset.html", _view(data, twice, seed)))
    return path


def _view(data: Dataset, twice: Twice, seed: int) -> dict[str, Any]:
    splits = {name: split for name, split in splits_of(data).items() if len(split)}
    counts = {
        name: np.bincount(split.labels, minlength=len(data.class_names))
        for name, split in splits.items()
    }
    height, width, channels = data.train.images.shape[1:]
    totals = np.sum(list(counts.values()), axis=0)
    return {
        "name": printable(data.name),
        "source": printable(data.source),
        "images": int(totals.sum()),
        "classes": len(data.class_names),
        "size": f"{height}x{width}",
        "colours": "RGB" if channels == 3 else "grey",
        "loading": [(k.replace("_", " "), _option(v)) for k, v in data.loading.items()],
        "warnings": _warnings(data, counts, twice),
        "splits": {name: len(split) for name, split in splits.items()},
        "rows": _rows(data.class_names, counts, totals),
        "sheets": _sheets(data.class_names, splits, seed),
        "equal": [_shown_pair(pair, splits, data.class_names) for pair in twice.equal[:MOST_PAIRS]],
        "near": [_shown_pair(pair, splits, data.class_names) for pair in twice.near[:MOST_PAIRS]],
        "twice": twice,
        "skipped": [printable(line) for line in data.skipped[:MOST_LISTED]],
        "skipped_count": len(data.skipped),
    }


def _option(value: object) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return "x".join(map(str, value))
    return printable(str(value))


def _warnings(data: Dataset, counts: Mapping[str, Array], twice: Twice) -> list[str]:
    names = [printable(name) for name in data.class_names]
    notes = (*data_notes(data), *classes_without_images(data))
    found = [f"{note[0].upper()}{note[1:]}." for note in notes]
    for split, count in counts.items():
        empty = [names[i] for i in np.flatnonzero(count == 0)]
        # Of classes that are not trained on the notes speak.
        if empty and split != "train":
            found.append(f"No {split} images of {_some(empty)}.")
    few = [names[i] for i in np.flatnonzero((counts["train"] > 0) & (counts["train"] < FEW))]
    if few:
        found.append(f"Fewer than {FEW} training images of {_some(few)}.")
    across = sum(pair.across for pair in twice.equal)
    if across:
        found.append(
            f"The same image in two splits: {_times(across)}. What is measured on such images says "
            "nothing about others."
        )
    contradicted = sum(not pair.same_label for pair in twice.equal)
    if contradicted:
        found.append(
            f"The same image with two labels: {_times(contradicted)}. One of them is wrong."
        )
    if data.skipped:
        found.append(f"Files that cannot be read and were left out: {len(data.skipped):,}.")
    return found


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _some(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _rows(
    class_names: Sequence[str], counts: Mapping[str, Array], totals: Array
) -> list[dict[str, Any]]:
    longest = max(1, int(totals.max()))
    return [
        {
            "name": printable(name),
            "total": int(totals[i]),
            "counts": [int(count[i]) for count in counts.values()],
            "bars": [(split, 100 * int(count[i]) / longest) for split, count in counts.items()],
        }
        for i, name in enumerate(class_names)
    ]


def _sheets(
    class_names: Sequence[str], splits: Mapping[str, Split], seed: int
) -> list[dict[str, Any]]:
    """Return, for each class and split, its images, chosen at random."""
    height, width = next(iter(splits.values())).images.shape[1:3]
    pixels = min(height, LARGEST_SIDE) * min(width, LARGEST_SIDE)
    room = MOST_PIXELS // (pixels * len(class_names) * len(splits))
    each = max(1, min(MOST_SHOWN, room))
    draws = np.random.default_rng(seed)
    sheets = []
    for label, name in enumerate(class_names):
        parts = []
        for split_name, split in splits.items():
            members = np.flatnonzero(split.labels == label)
            chosen = np.sort(draws.permutation(members)[:each])
            shown = [_shown(split, split_name, int(index)) for index in chosen]
            parts.append({"split": split_name, "images": shown, "count": len(members)})
        sheets.append({"name": printable(name), "parts": parts})
    return sheets


def _shown(split: Split, split_name: str, index: int) -> Shown:
    image = _drawn(np.asarray(split.images[index]))
    # A whole number, so that no column of pixels is wider than another.
    factor = max(1, SIDE // max(image.size))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return Shown(
        uri=data_uri(file.getvalue(), "image/png"),
        width=image.width * factor,
        height=image.height * factor,
        name=printable(split.names[index]) if split.names else f"{split_name} image {index}",
    )


def _drawn(pixels: Array) -> Image.Image:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if max(image.size) > LARGEST_SIDE:
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BICUBIC)
    return image


def _shown_pair(
    pair: Pair, splits: Mapping[str, Split], class_names: Sequence[str]
) -> dict[str, Any]:
    def one(place: Place) -> dict[str, Any]:
        split, index = splits[place[0]], place[1]
        return {
            "split": place[0],
            "label": printable(class_names[int(split.labels[index])]),
            "image": _shown(split, *place),
        }

    return {"pair": pair, "sides": [one(pair.first), one(pair.second)]}
