"""Labelled images to measure a model on: its run's own, or others with the same classes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.data.alignment import align, are_numbers
from cifarlab.data.cache import Decoded
from cifarlab.data.catalog import NAMES, load, read, warn_of_skipped
from cifarlab.data.dataset import Dataset, without_validation
from cifarlab.data.dividing import divide
from cifarlab.data.image_format import ImageFormat
from cifarlab.data.load_options import LoadOptions
from cifarlab.data.multi_label.copies import refuse_several_labels
from cifarlab.data.split import Split, joined, pixel_digests
from cifarlab.errors import CifarlabError, InputError, UsageError, warn_user
from cifarlab.files import printable
from cifarlab.runs.directory import RunDirectory
from cifarlab.runs.record import (
    DEFAULT_DATASET,
    dataset_of,
    dataset_record,
    describe_split,
    seen_digests,
)

DEFAULT_OPTIONS = LoadOptions()


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Labelled images to measure a model on.

    Attributes:
        dataset: the name of the dataset.
        split: ``"train"``, ``"validation"`` or ``"test"``, or ``"all images"``.
        images: with labels into ``class_names``.
        class_names: the model's.
        seen: images of the data that are not among ``images`` since the model was trained or
            validated on them, if there are any; with labels too.
    """

    dataset: str
    split: str
    images: Split
    class_names: tuple[str, ...]
    seen: Split | None = None


def labelled_images(
    model: Path,
    data: str | os.PathLike[str] | None = None,
    split: str | None = None,
    *,
    class_names: tuple[str, ...],
    named: bool,
    image_format: ImageFormat,
    trained_on: Mapping[str, Any] | None = None,
    options: LoadOptions = DEFAULT_OPTIONS,
) -> Labelled:
    """Load what to measure a model on: ``data``, else what its run was trained on, else CIFAR-10.

    Of other data everything is measured, unless the source has a test split of its own; images
    that the model was trained or validated on are set apart, if its file says which those are.
    Labels are brought to the model's by the names of the classes.

    Args:
        model: a run directory, a model file, or the pretrained model's name.
        data: a dataset's name or path.
        split: ``"train"``, ``"validation"`` or ``"test"``; ``None`` as said above.
        class_names: the model's, in the order of its outputs.
        named: whether they are known, or only numbered.
        image_format: what the model takes.
        trained_on: what the model's file says of its data; where ``data`` are the same images,
            they are divided as they were then.
        options: how to read ``data``, apart from its images' format.

    Raises:
        As ``load_dataset`` and ``dataset_of``.
        InputError: the data have none of the model's classes, or the order of the classes is not
            known.
    """
    digests = seen_digests(trained_on)
    if RunDirectory(path=model).environment.exists() and _is_own(model, data):
        try:
            own = dataset_of(model, data, progress=options.progress)
        except InputError as error:
            if not len(digests):
                raise
            # Named, they are measured as they are now, since the images that were seen are known.
            if data is None:
                raise InputError(
                    f"{error}, or measure it as it is now with --data {printable(_place(model))}"
                ) from None
        else:
            part = split or "test"
            return Labelled(
                dataset=own.name, split=part, images=getattr(own, part), class_names=own.class_names
            )
    spec = data or _own_name(model, trained_on)
    options = replace(in_format(options, image_format), known_classes=class_names)
    decoded, guessed = read(spec, options)
    warn_of_skipped(decoded.source, decoded.skipped)
    before = _divided_as_before(decoded, replace(options, **guessed), trained_on)
    if before is not None:
        split = split or "test"
        images = getattr(before, split)
    elif split is not None:
        images = getattr(divide(decoded, replace(options, **guessed)), split)
    elif decoded.has("test"):
        split, images = "test", decoded.test
    else:
        split, images = "all images", joined(decoded.splits.values())
    names = decoded.class_names
    if not named:
        class_names = _taken_names(spec, names, class_names)
    where = printable(decoded.source)
    refuse_several_labels({split: images}, {split: pixel_digests(images.images)}, names, where)
    _warn_of_channels(images, decoded.grey, where)
    measured = align(images, names, class_names, where)
    seen = None
    if before is None:
        measured, seen = _set_apart(measured, digests, where)
    return Labelled(
        dataset=decoded.name, split=split, images=measured, class_names=class_names, seen=seen
    )


def dataset_for(
    model: Path,
    data: str | os.PathLike[str] | None = None,
    *,
    class_names: tuple[str, ...],
    image_format: ImageFormat,
    options: LoadOptions = DEFAULT_OPTIONS,
) -> Dataset:
    """Load a dataset in a model's image format, with the model's labels: ``data``, else its run's.

    Args:
        As ``labelled_images``.

    Raises:
        As ``labelled_images``.
    """
    if RunDirectory(path=model).environment.exists() and _is_own(model, data):
        return dataset_of(model, data, progress=options.progress)
    loaded = load(data or DEFAULT_DATASET, in_format(options, image_format))
    train, validation, test = (
        align(split, loaded.class_names, class_names, printable(loaded.source))
        for split in (loaded.train, loaded.validation, loaded.test)
    )
    return replace(loaded, class_names=class_names, train=train, validation=validation, test=test)


def in_format(options: LoadOptions, image_format: ImageFormat) -> LoadOptions:
    """Return the options with the format of the images that a model takes."""
    return replace(
        options,
        image_size=(image_format.height, image_format.width),
        channels="grey" if image_format.channels == 1 else "rgb",
        resize_mode=image_format.resize_mode,
        bits=image_format.bits,
    )


def _own_name(model: Path, trained_on: Mapping[str, Any] | None) -> str:
    """Return the name of what a model file was trained on, CIFAR-10 where it does not tell.

    Raises:
        UsageError: it was trained on images that have a place and no name.
    """
    name = (trained_on or {}).get("name", DEFAULT_DATASET)
    if name in NAMES:
        return str(name)
    raise UsageError(
        f"{printable(model)} was trained on {printable(name)}; name labelled images with --data"
    )


def _warn_of_channels(images: Split, grey: bool | None, where: str) -> None:
    """Say that all images are grey where the model takes colour images, or the other way round.

    Args:
        grey: whether the images were grey before they were brought to what the model takes.
    """
    pixels = images.images
    if pixels.shape[3] == 1 and grey is False:
        warn_user(f"{where}: images are in colour, the model takes grey ones; they are turned grey")
    elif pixels.shape[3] == 3 and all((one == one[..., :1]).all() for one in pixels):
        warn_user(f"{where}: all images are grey, the model takes colour images")


def _set_apart(
    images: Split, digests: np.ndarray[Any, Any], where: str
) -> tuple[Split, Split | None]:
    """Return the images that the model was not trained or validated on, and those that it was.

    Where there are no others, all are returned as they are.
    """
    is_seen = np.isin(pixel_digests(images.images), digests)
    count = int(is_seen.sum())
    if not count:
        return images, None
    if count == len(images):
        warn_user(
            f"{where}: the model was trained or validated on all {count:,} of these images, so the "
            "numbers say nothing about new ones; measure it on others"
        )
        return images, None
    warn_user(
        f"{where}: the model was trained or validated on {count:,} of the {len(images):,} images; "
        "the numbers are those of the others"
    )
    return images.subset(np.flatnonzero(~is_seen)), images.subset(np.flatnonzero(is_seen))


def _divided_as_before(
    decoded: Decoded, options: LoadOptions, trained_on: Mapping[str, Any] | None
) -> Dataset | None:
    """Return the splits that the model was trained with, or ``None`` where the data are others."""
    record = trained_on or {}
    recorded = record.get("load")
    if not isinstance(recorded, Mapping) or "train" not in record:
        return None
    names = ("validation_fraction", "split_seed", "group_by")
    kept = {name: recorded[name] for name in names if name in recorded}
    try:
        with warnings.catch_warnings():
            # Said already when the data were read, or not of interest here.
            warnings.simplefilter("ignore")
            data = divide(decoded, replace(options, **kept))
    except CifarlabError:
        return None
    for candidate in (data, without_validation(data)):
        if describe_split(candidate.train, record["train"]) == record["train"]:
            return candidate
    return None


def _is_own(model: Path, data: str | os.PathLike[str] | None) -> bool:
    """Whether ``data`` is what the run in ``model`` was trained on, by name or by place."""
    if data is None:
        return True
    record = dataset_record(RunDirectory(path=model).environment)
    same_place = Path(data).exists() and str(Path(data).resolve()) == str(
        Path(str(record["source"])).resolve()
    )
    return same_place or os.fspath(data) == record["name"]


def _place(model: Path) -> str:
    return str(dataset_record(RunDirectory(path=model).environment)["source"])


def _taken_names(
    spec: str | os.PathLike[str], names: tuple[str, ...], numbered: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the class names of a model whose file has none, where their order is beyond doubt."""
    if len(names) == len(numbered) and (spec in NAMES or are_numbers(names)):
        return names
    if are_numbers(names):
        return numbered
    raise InputError(
        f"the model has {len(numbered)} outputs and no class names, so that their order is not "
        f"known; name them in the order of the outputs, such as --class-names {','.join(names)}"
    )
