"""Labels in a file beside each image, ``0001.jpg`` and ``0001.cls``, as WebDataset stores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.image_index import index_images
from cifarlab.data.readers.label_values import AsClasses, as_classes
from cifarlab.data.readers.labelling import Labelled, Labelling
from cifarlab.data.readers.places import Place, read_file
from cifarlab.data.readers.split_names import TRAIN
from cifarlab.data.samples import Rejected, Stored
from cifarlab.files import printable

SUFFIX = ".cls"
MAX_BYTES = 1024


def label(
    place: Place,
    options: LoadOptions,
    as_classes: AsClasses = as_classes,
) -> Labelling | Rejected:
    """Return what the files beside the images of ``place`` say; an empty reason without any.

    Raises:
        InputError: what they say are no classes.
    """
    files = [f for f in place.listing.root.other_files() if f.suffix.lower() == SUFFIX]
    if not files:
        return Rejected(reason="")
    told = _contents(place, files)
    images = tuple(place.listing.root.everything())
    index = index_images(place.path, images)
    values = {image: text for image in images if (text := _of(image, told)) is not None}
    splits = {image: index.split(image) or TRAIN for image in values}
    if TRAIN not in splits.values():
        splits = dict.fromkeys(values, TRAIN)
    by_split: dict[str, list[PurePath]] = {}
    for image, split in splits.items():
        by_split.setdefault(split, []).append(image)
    classes = as_classes(
        {split: [values[image] for image in of_split] for split, of_split in by_split.items()},
        where=f"{printable(place.path)}: {SUFFIX} files",
        fewest=options.fewest_classes,
    )
    without = len(images) - len(values)
    return Labelling(
        reading=f"the {SUFFIX} files beside the images",
        class_names=classes.names,
        splits={
            split: Labelled(
                paths=tuple(i for i, n in zip(by_split[split], labels, strict=True) if n >= 0),
                labels=tuple(int(n) for n in labels if n >= 0),
            )
            for split, labels in classes.labels.items()
        },
        tables=tuple(files),
        notes=(
            f"labels from {len(files):,} {SUFFIX} files",
            *((f"left out {without:,} images without such a file",) if without else ()),
            *classes.notes,
        ),
    )


def _contents(place: Place, files: Iterable[PurePath]) -> Mapping[PurePath, str]:
    """Return the text of each file, read in the order in which that is cheap."""
    ordered = sorted(files, key=place.position) if place.position else sorted(files)
    return {
        file: _text(stored) for file, stored in zip(ordered, place.contents(ordered), strict=True)
    }


def _text(stored: Stored) -> str:
    content = read_file(stored, MAX_BYTES) if isinstance(stored, Path) else bytes(stored)
    return content[:MAX_BYTES].decode(errors="backslashreplace").strip()


def _of(image: PurePath, told: Mapping[PurePath, str]) -> str | None:
    """Return the text for an image; what stands before the first point names a sample, too."""
    sample = image.with_name(image.name.partition(".")[0] + SUFFIX)
    return told.get(image.with_suffix(SUFFIX), told.get(sample))
