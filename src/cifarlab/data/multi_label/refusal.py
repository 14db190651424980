"""The one line that says that data are multi-label where one label an image is needed."""

from __future__ import annotations

from collections.abc import Sequence

from cifarlab.data.multi_label.cells import Labels
from cifarlab.data.readers.labelling import some
from cifarlab.errors import InputError
from cifarlab.files import printable

# A smaller share of images with several labels is rather a mistake in the labels.
LARGEST_SHARE_OF_MISTAKES = 0.05
REMEDY = (
    "load them with cifarlab.load_multi_label and train with cifarlab.fit, or keep one label an "
    "image"
)


class SeveralLabelsError(InputError):
    """Data are multi-label where one label an image is needed."""


def several(labels: Sequence[Labels]) -> list[int]:
    """Return the positions of the images that have several labels."""
    return [i for i, here in enumerate(labels) if here is not None and len(set(here)) > 1]


def are_multi_label(labels: Sequence[Labels]) -> bool:
    """Whether so many images have several labels that they are meant.

    Example:
        >>> are_multi_label([("cat", "dog"), ("cat",)]), are_multi_label([("cat",), ("dog",)])
        (True, False)
    """
    return len(several(labels)) > LARGEST_SHARE_OF_MISTAKES * len(labels)


def refusal(where: str, labels: Sequence[Labels], names: Sequence[str]) -> SeveralLabelsError:
    """Return the error for data of which ``are_multi_label`` is true.

    Args:
        where: the data in messages.
        labels: of each image.
        names: of the images, or what else finds them.
    """
    found = several(labels)
    example = f"{printable(names[found[0]])} ({some([str(v) for v in labels[found[0]] or ()])})"
    return SeveralLabelsError(
        f"{where}: multi-label data, {len(found):,} of {len(labels):,} images have several labels, "
        f"such as {example}; {REMEDY}"
    )
