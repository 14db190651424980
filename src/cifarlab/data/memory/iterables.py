"""Images and labels out of what deep learning libraries iterate over, none of which is imported.

PyTorch's datasets and loaders, ``tf.data``, Hugging Face datasets, lists, generators: whatever
gives pairs of image and label, or dictionaries of both, one at a time or in batches.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cifarlab.data.memory.array_names import pair_up
from cifarlab.data.memory.image_arrays import UnsuitableError
from cifarlab.errors import InputError, ResourceError
from cifarlab.files import printable

# What an iterable that never ends is stopped at.
MAX_IMAGES = 5_000_000
MAX_BYTES = 32 << 30
CHANNELS = (1, 3)
UNCHANGED_MODES = ("L", "RGB", "I", "I;16", "F")
TRANSPARENT_MODES = ("LA", "La", "P", "PA", "RGBA", "RGBa")


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was read.

    Attributes:
        images: an array ``[N, ...]``, or a list of N images.
        labels: an array, or a list.
        class_names: what the source says that the labels mean, or ``None``.
        notes: one line for each thing that a user should know of.
    """

    images: Any
    labels: Any
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def to_array(value: Any) -> Any:
    """Return a tensor, a data frame's column or an image as an array; others as they are.

    A tensor may be on a GPU, need gradients, or hold bfloat16.
    """
    if isinstance(value, np.ndarray | str | bytes | os.PathLike):
        return value
    if is_from(value, "PIL"):
        return _pillow_array(value)
    if is_from(value, "torch") and hasattr(value, "detach"):
        value = value.detach().cpu()
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    for method in ("numpy", "to_numpy"):
        if callable(getattr(value, method, None)):
            return np.asarray(getattr(value, method)())
    if hasattr(value, "__array__"):
        return np.asarray(value)
    return value


def axes_of(value: Any) -> int | None:
    """Return the number of axes of an array or tensor, or ``None`` for what is neither.

    One that says its own is not read for it: it may be a large file.
    """
    if hasattr(value, "dtype") and isinstance(getattr(value, "ndim", None), int):
        return int(value.ndim)
    array = to_array(value)
    return array.ndim if isinstance(array, np.ndarray) else None


def is_from(value: Any, package: str) -> bool:
    """Return whether a value's class, or one that it is derived from, is of ``package``."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(value).__mro__)


def to_image(value: Any) -> np.ndarray[Any, Any]:
    """Return one image as an array; a path or the bytes of a file are decoded."""
    from cifarlab.data import image

    if isinstance(value, str | os.PathLike):
        return image.read_image(value, size=None)
    if isinstance(value, bytes):
        return image.decode_image(value, name="image", size=None)
    if isinstance(value, Mapping) and value.get("bytes"):
        return image.decode_image(value["bytes"], name=str(value.get("path")), size=None)
    if isinstance(value, Mapping) and value.get("path"):
        return image.read_image(value["path"], size=None)
    return np.asarray(to_array(value))


def _pillow_array(value: Any) -> np.ndarray[Any, Any]:
    """Return the pixels that the same image would have if it were read from its file."""
    from PIL import ImageOps

    from cifarlab.data import image

    try:
        upright = ImageOps.exif_transpose(value)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"an image cannot be decoded ({error}); leave it out") from error
    if upright.mode in TRANSPARENT_MODES or "transparency" in upright.info:
        # One module decides what becomes of transparent pixels.
        file = io.BytesIO()
        upright.convert("RGBA").save(file, "PNG")
        return image.decode_image(file.getvalue(), name="image", size=None)
    if upright.mode == "1":
        return np.asarray(upright.convert("L"))
    return np.asarray(upright if upright.mode in UNCHANGED_MODES else upright.convert("RGB"))


def collect(source: Any, where: str) -> Collected:
    """Read all images and labels of an iterable of pairs or dictionaries, single or in batches.

    Args:
        source: a PyTorch dataset or loader, ``tf.data.Dataset``, Hugging Face dataset, list,
            generator.
        where: the name of the data in messages.

    Raises:
        UnsuitableError: it gives something else, or nothing.
        ResourceError: it does not end.
    """
    if axes_of(source) is not None:
        raise UnsuitableError(f"{where}: an array of images and no labels; give the pair (x, y)")
    source, notes = _in_order(source)
    names = _class_names(source)
    if is_hugging_face(source) and isinstance(source.features, Mapping):
        image_key, label_key, names = _columns(source, where)
        pairs: Iterator[tuple[Any, Any]] = ((row[image_key], row[label_key]) for row in source)
    else:
        pairs = (_pair(item, where) for item in _items(source, where))
    images: list[np.ndarray[Any, Any]] = []
    labels: list[Any] = []
    size, many = 0, None
    for given_image, given_label in pairs:
        image, label = to_image(given_image), to_array(given_label)
        # The last batch may look like one image; what the first was decides.
        if many is None:
            many = _is_batch(image, label)
        images.extend(image if many else [image])
        labels.extend(list(label) if many else [label])
        size += image.nbytes
        if len(images) > MAX_IMAGES or size > MAX_BYTES:
            raise ResourceError(
                f"{where}: {len(images):,} images and {size:,} bytes, and no end; give a part "
                "that ends, such as dataset.take(1000)"
            )
        if many and len(image) != len(label):
            raise UnsuitableError(f"{where}: a batch of {len(image)} images, {len(label)} labels")
    if not images:
        raise UnsuitableError(f"{where}: gives no images; a generator that was used up is empty")
    return Collected(images=images, labels=labels, class_names=names, notes=tuple(notes))


def is_hugging_face(source: Any) -> bool:
    """Return whether this is a dataset of the ``datasets`` library."""
    return hasattr(source, "features") and hasattr(source, "column_names")


def is_source(value: Any) -> bool:
    """Return whether this may give images one after another, and is no array or list itself."""
    if axes_of(value) is not None or isinstance(value, list | tuple | str | bytes | os.PathLike):
        return False
    return hasattr(value, "__iter__") or hasattr(value, "__getitem__")


def _in_order(source: Any) -> tuple[Any, list[str]]:
    """Return a loader that shuffles as its dataset, so that the same data give the same splits."""
    if not is_from(source, "torch") or not hasattr(source, "sampler"):
        return source, []
    sampler = type(source.sampler).__name__
    if sampler == "RandomSampler" and _draws_each_once(source.sampler):
        return source.dataset, []
    if getattr(source, "drop_last", False):
        return source, ["a loader that drops its last batch: these images are missing"]
    # One with an underscore stands for a stream, which has an order of its own.
    if sampler != "SequentialSampler" and not sampler.startswith("_"):
        return source, [f"a loader in the order of its {sampler}: another time it may differ"]
    return source, []


def _draws_each_once(sampler: Any) -> bool:
    return not sampler.replacement and sampler.num_samples == len(sampler.data_source)


def _class_names(source: Any) -> tuple[str, ...] | None:
    """Return the names that a source has: torchvision's, those of Keras's folders.

    Also of a subset of such a dataset, or a loader.
    """
    for _ in range(8):
        names = getattr(source, "classes", None) or getattr(source, "class_names", None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return tuple(names)
        source = getattr(source, "dataset", None)
        if source is None:
            break
    return None


def _columns(source: Any, where: str) -> tuple[str, str, tuple[str, ...] | None]:
    kinds = {name: type(feature).__name__ for name, feature in source.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labels = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if len(images) != 1 or len(labels) != 1:
        pair = pair_up([*images[:1], *(n for n in kinds if n not in images)]).splits["train"]
        images = images if len(images) == 1 else [pair.images]
        labels = labels if len(labels) == 1 else [str(pair.labels)]
    if images[0] == labels[0]:
        raise UnsuitableError(f"{where}: columns {', '.join(map(printable, kinds))}; no images")
    names = getattr(source.features[labels[0]], "names", None)
    return images[0], labels[0], tuple(names) if names else None


def _items(source: Any, where: str) -> Iterator[Any]:
    if callable(getattr(source, "as_numpy_iterator", None)):
        count = getattr(source, "cardinality", lambda: 0)()
        if int(to_array(count)) == -1:
            raise UnsuitableError(f"{where}: repeats without end; leave out .repeat()")
        return iter(source.as_numpy_iterator())
    if isinstance(source, type):
        raise _no_source(source, where)
    # Python's own iteration of an object with __getitem__ ends at IndexError, which a PyTorch
    # dataset need not raise.
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return (source[index] for index in range(len(source)))
    if isinstance(source, Iterable):
        return iter(source)
    raise _no_source(source, where)


def _no_source(source: Any, where: str) -> UnsuitableError:
    return UnsuitableError(
        f"{where}: this {type(source).__name__} is no source of images; give arrays (x, y), an "
        "iterable of (image, label), or a path"
    )


def _pair(item: Any, where: str) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        pair = pair_up([str(key) for key in item]).splits["train"]
        return item[pair.images], item[pair.labels]
    if isinstance(item, Sequence) and not isinstance(item, str | bytes) and len(item) == 2:
        return item[0], item[1]
    raise UnsuitableError(f"{where}: gives {_described(item)}; every item must be (image, label)")


def _described(item: Any) -> str:
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        return f"{type(item).__name__} of {len(item)}"
    return type(item).__name__


def _is_batch(image: np.ndarray[Any, Any], label: Any) -> bool:
    """Tell a batch from one image; of three axes only grey images without channels are one."""
    if image.ndim != 3:
        return image.ndim > 3
    if np.ndim(label) == 0 or len(label) != len(image) or image.shape[-1] in CHANNELS:
        return False
    one_hot = np.ndim(label) == 1 and sorted(np.unique(label)) == [0, 1] and np.sum(label) == 1
    return image.shape[0] not in CHANNELS or not one_hot


def stack(images: Any, where: str) -> tuple[np.ndarray[Any, Any], tuple[str, ...]]:
    """Return a list of images as one array; grey and colour together become colour.

    Raises:
        UnsuitableError: their sizes differ.
    """
    array = to_array(images)
    if isinstance(array, np.ndarray) and array.dtype != object:
        return array, ()
    each = [to_image(image) for image in array]
    each = [image[..., None] if image.ndim == 2 else image for image in each]
    shapes = {image.shape for image in each}
    notes: tuple[str, ...] = ()
    if len(shapes) == 2 and {s[:2] for s in shapes} == {next(iter(shapes))[:2]}:
        channels = {shape[2] for shape in shapes if len(shape) == 3}
        if channels == {1, 3}:
            each = [np.repeat(i, 3, axis=2) if i.shape[2] == 1 else i for i in each]
            notes = (f"{where}: some images are grey, others coloured; all are read as coloured",)
            shapes = {image.shape for image in each}
    if len(shapes) > 1:
        first, second = itertools.islice(sorted(shapes), 2)
        raise UnsuitableError(
            f"{where}: images of different sizes, such as {list(first)} and {list(second)}; resize "
            "them to one size, or give a folder of image files, which are resized"
        )
    kinds = {image.dtype for image in each}
    if len(kinds) > 1:
        raise UnsuitableError(
            f"{where}: images of different types, {', '.join(sorted(map(str, kinds)))}; "
            "give them in one"
        )
    if not each:
        raise UnsuitableError(f"{where}: holds no images; give at least two classes of them")
    return np.stack(each), notes
