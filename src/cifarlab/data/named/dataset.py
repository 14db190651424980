"""``NamedDataset``: a value that says where a published dataset is from and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cifarlab.data.named.cifar import Source
from cifarlab.data.samples import Found
from cifarlab.errors import InputError
from cifarlab.files import printable


@dataclass(frozen=True, kw_only=True)
class NamedDataset:
    """A published dataset.

    Attributes:
        name: such as ``"fashion_mnist"``.
        title: as its authors call it.
        home: where it is described.
        licence: under which it is published, or what is known of that.
        citation: the publication.
        class_names: in label order; empty where its files name the classes.
        counts: images of each split that it has.
        shape: height, width and channels.
        sources: where to download it, best first; checksums are of the whole files.
        members: the files to unpack from an archive; empty where the files are read as they are.
        archive: what the download is called in the cache, where several datasets share it.
        notes: what a user should know of, such as that classes are grades.
    """

    name: str
    title: str
    home: str
    licence: str
    citation: str
    class_names: tuple[str, ...]
    counts: Mapping[str, int]
    shape: tuple[int, int, int]
    sources: tuple[Source, ...]
    members: tuple[str, ...] = ()
    archive: str = ""
    notes: tuple[str, ...] = field(default=())


def labelled(found: Found, dataset: NamedDataset) -> Found:
    """Return what a reader found with the dataset's own name and class names.

    Raises:
        InputError: other numbers of images or classes than the dataset has.
    """
    shown = printable(found.source)
    remedy = f"remove {shown} and load {dataset.name} again"
    for split, count in dataset.counts.items():
        actual = len(found.splits[split]) if split in found.splits else 0
        if actual != count:
            raise InputError(
                f"{shown}: {actual:,} {split} images, {dataset.name} has {count:,}; {remedy}"
            )
    names = dataset.class_names or found.class_names
    if len(names) != len(found.class_names):
        raise InputError(
            f"{shown}: {len(found.class_names)} classes, {dataset.name} has {len(names)}; {remedy}"
        )
    notes = (*found.notes, *dataset.notes)
    return replace(found, name=dataset.name, class_names=names, notes=notes)
