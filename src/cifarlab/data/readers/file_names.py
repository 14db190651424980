"""Labels from the names of image files, such as ``cat.001.jpg`` or ``cat (3).png``."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from cifarlab.data.load_options import LoadOptions
from cifarlab.data.readers.label_values import as_classes
from cifarlab.data.readers.labelling import Labelled, Labelling, some
from cifarlab.data.readers.places import Place
from cifarlab.data.readers.split_names import TRAIN, WORDS, splits_of
from cifarlab.data.readers.tree import name_below
from cifarlab.data.samples import Rejected
from cifarlab.errors import InputError, UsageError
from cifarlab.files import printable

# Words, what separates them from a number, the number, and perhaps a suffix.
GUESS = r"(?:^|/)([^/\d]*[^/\d._ ()-])[._ -]*\(?\d+\)?(?:\.[^./\d]+)?$"
# What cameras and programs call their files.
NO_CLASSES = frozenset(
    {"img", "image", "images", "dsc", "dscn", "dscf", "pxl", "mvimg", "p", "pic", "pict"}
    | {"picture", "photo", "scan", "screenshot", "frame", "file", "untitled", "download", "page"}
    | {"whatsapp image", "imgp", "gopr", "sample", "row", "id"}
)
REMEDY = (
    "or give a table of labels (--labels FILE), or a pattern that finds the class in the files' "
    "names (--label-pattern)"
)


def label(place: Place, options: LoadOptions) -> Labelling | Rejected:
    """Return the classes that the names of the images tell.

    Without ``options.label_pattern`` that is guessed only where every training image is called
    after words and a number, with two classes or more, of two images or more on average.

    Raises:
        InputError: no name matches the pattern, or the classes cannot be used.
        UsageError: the pattern has no group.
    """
    by_split = _by_split(place)
    if options.label_pattern is None:
        return _guessed(place, by_split, options.fewest_classes)
    pattern = re.compile(options.label_pattern)
    if not pattern.groups:
        raise UsageError(
            f"label pattern {options.label_pattern!r}: has no group; put the part that is the "
            "class in (brackets)"
        )
    return _labelled(place, by_split, pattern, options.fewest_classes)


def _by_split(place: Place) -> dict[str, list[PurePath]]:
    """Return the images of each split that a folder above them speaks of, if one is "train"."""
    folders = [folder for folder in place.listing.root.all_folders() if folder.images]
    above = {folder.path: name_below(place.path, folder.path).split("/") for folder in folders}
    spoken = splits_of(sorted({name for names in above.values() for name in names}))
    by_split: dict[str, list[PurePath]] = {}
    for folder in folders:
        split = next((spoken[name] for name in above[folder.path] if name in spoken), TRAIN)
        by_split.setdefault(split, []).extend(folder.images)
    if TRAIN not in by_split:
        return {TRAIN: list(place.listing.root.everything())}
    return {split: sorted(images, key=lambda p: p.parts) for split, images in by_split.items()}


def _guessed(
    place: Place, by_split: dict[str, list[PurePath]], fewest: int
) -> Labelling | Rejected:
    pattern = re.compile(GUESS)
    images = by_split[TRAIN]
    names = (_class(pattern, place, image) for image in images)
    # As soon as one image has another folder or no class, no further one is looked at.
    found = list(itertools.takewhile(lambda name: name is not None, names)) if _flat(images) else []
    counts = Counter(name.casefold() for name in found if name is not None)
    fits = (
        len(found) == len(images)
        and fewest <= len(counts) <= len(images) // 2
        and not any(name in NO_CLASSES or name in WORDS for name in counts)
    )
    if not fits:
        return Rejected(reason=REMEDY)
    labelling = _labelled(place, by_split, pattern, fewest)
    note = f"classes from the files' names, by the pattern {GUESS}: {some(labelling.class_names)}"
    return Labelling(
        reading="the files' names",
        class_names=labelling.class_names,
        splits=labelling.splits,
        notes=(note, *labelling.notes),
        options={"label_pattern": GUESS},
    )


def _flat(images: Sequence[PurePath]) -> bool:
    return all(image.parent == images[0].parent for image in images)


def _labelled(
    place: Place, by_split: dict[str, list[PurePath]], pattern: re.Pattern[str], fewest: int = 2
) -> Labelling:
    shown = f"{printable(place.path)}, names by {printable(pattern.pattern)}"
    values = {
        split: [_class(pattern, place, image) for image in images]
        for split, images in by_split.items()
    }
    if all(value is None for value in values[TRAIN]):
        first = place.below(by_split[TRAIN][0])
        raise InputError(
            f"{shown}: matches no training image, such as {printable(first)}; correct the pattern"
        )
    classes = as_classes(values, where=shown, fewest=fewest)
    return Labelling(
        reading="the files' names",
        class_names=classes.names,
        splits={
            split: Labelled(
                paths=_kept(by_split[split], labels.tolist()),
                labels=tuple(int(n) for n in labels if n >= 0),
            )
            for split, labels in classes.labels.items()
        },
        notes=classes.notes,
    )


def _kept(images: Sequence[PurePath], labels: Sequence[int]) -> tuple[PurePath, ...]:
    return tuple(image for image, n in zip(images, labels, strict=True) if n >= 0)


def _class(pattern: re.Pattern[str], place: Place, image: PurePath) -> str | None:
    match = pattern.search(place.below(image))
    return match[1] if match else None
