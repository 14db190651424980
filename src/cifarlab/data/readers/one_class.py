"""A folder of one class that a model knows, which is enough to measure it on."""

from __future__ import annotations

from collections.abc import Sequence

from cifarlab.data.readers.labelling import Labelled, Labelling, same_class
from cifarlab.data.readers.split_names import TRAIN, splits_of
from cifarlab.data.readers.tree import Folder


def find(root: Folder, known_classes: Sequence[str]) -> Labelling | None:
    """Return the images below ``root`` where all are in folders of one class that is known.

    The class folder may have folders around it, splits among them, and any in it.

    Args:
        known_classes: those of the model that is to be measured.

    Returns:
        ``None`` where that is not how ``root`` is to be read.
    """
    found = _class_folders(root, {same_class(name) for name in known_classes})
    if len({same_class(folder.name) for _, folder in found}) != 1:
        return None
    divided = any(split == TRAIN for split, _ in found)
    splits: dict[str, Labelled] = {}
    for split in dict.fromkeys(split if divided else TRAIN for split, _ in found):
        folders = [folder for own, folder in found if own == split or not divided]
        paths = tuple(image for folder in folders for image in folder.everything())
        splits[split] = Labelled(paths=paths, labels=(0,) * len(paths))
    return Labelling(
        reading="the only class folder", class_names=(found[0][1].name,), splits=splits
    )


def _class_folders(folder: Folder, known: set[str], split: str = TRAIN) -> list[tuple[str, Folder]]:
    """Return the topmost folders called after known classes, each with the split that it is in.

    None where images are elsewhere too.
    """
    inner = folder.with_images
    if folder.images or not inner:
        return []
    if len(inner) == 1 and same_class(inner[0].name) in known:
        return [(split, inner[0])]
    spoken = splits_of([f.name for f in inner])
    if len(inner) > 1 and len(spoken) < len(inner):
        return []
    below = [_class_folders(f, known, spoken.get(f.name, split)) for f in inner]
    return [found for some in below for found in some] if all(below) else []
