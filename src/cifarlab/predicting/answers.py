"""Classify a stream of images: decoded by several threads, predicted in batches."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_as
from cifarlab.data.image_format import ImageFormat
from cifarlab.errors import InputError
from cifarlab.files import printable
from cifarlab.predicting.sources import Source
from cifarlab.runtime.cores import usable_cores
from cifarlab.runtime.parallel import in_order

BATCH_SIZE = 256
DECODERS = min(16, usable_cores())

Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What the model says about one image.

    Attributes:
        source: the image.
        probabilities: float32 ``[K]``; ``None`` where the image cannot be read.
        error: why it cannot be read, else ``None``.
    """

    source: Source
    probabilities: Pixels | None = None
    error: str | None = None

    def top(self, class_names: Sequence[str], k: int) -> list[tuple[str, float]]:
        """Return the ``k`` likeliest classes and their probabilities, best first.

        Empty where the image cannot be read.
        """
        if self.probabilities is None:
            return []
        best = np.argsort(-self.probabilities, kind="stable")[:k]
        return [(class_names[i], float(self.probabilities[i])) for i in best]


def answers(
    classifier: Classifier,
    sources: Iterable[Source],
    image_format: ImageFormat,
    batch_size: int = BATCH_SIZE,
) -> Iterator[list[Answer]]:
    """Yield an answer for each source, in their order, in batches.

    At most three batches of decoded images are held at a time.

    Args:
        image_format: what every image is brought to; of the model's height, width and channels.
        batch_size: how many images are predicted at once, 1 or more.
    """
    decoded = _decoded(sources, image_format, ahead=2 * batch_size)
    try:
        while batch := list(islice(decoded, batch_size)):
            yield _predicted(classifier, batch)
    finally:
        decoded.close()


def _decoded(
    sources: Iterable[Source], image_format: ImageFormat, ahead: int
) -> Generator[tuple[Source, Pixels | InputError], None, None]:
    """Yield each source with its pixels, or with the error; at most ``ahead`` are held."""

    def decode(source: Source) -> tuple[Source, Pixels | InputError]:
        try:
            return source, decode_as(image_format, source.read(), name=source.name)
        except InputError as error:
            return source, error

    return in_order(decode, sources, threads=DECODERS, ahead=ahead)


def _predicted(
    classifier: Classifier, batch: list[tuple[Source, Pixels | InputError]]
) -> list[Answer]:
    images = [pixels for _, pixels in batch if not isinstance(pixels, InputError)]
    rows = iter(classifier.predict_proba(np.stack(images)) if images else ())
    return [
        Answer(source=source, error=_reason(source, pixels))
        if isinstance(pixels, InputError)
        else Answer(source=source, probabilities=next(rows))
        for source, pixels in batch
    ]


def _reason(source: Source, error: InputError) -> str:
    # The name is beside it already.
    return str(error).removeprefix(f"{printable(source.name)}: ")
