"""Every option of the server in one dataclass."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cifarlab.classifier import Classifier
from cifarlab.saving.pretrained import NAME


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How to serve a model.

    Attributes:
        model: what ``Classifier.load`` takes.
        name: what clients call the model.
        made_for: the range of pixels of a model from elsewhere, as ``pixels`` of
            ``Classifier.load``.
        tta: whether to use the model's test-time augmentation; ``False`` is faster and a little
            less accurate.
        queue: requests in flight or queued; more are answered 503 at once.
        batch: at most this many images go through the model together.
        images: at most this many in one request.
        body: largest request body, in bytes.
        pixels: largest image, in pixels; larger ones are refused before they are decoded.
        timeout: seconds until a request that waits is answered 503.
        grace: seconds that requests in flight have to finish when the server is stopped.
        decoders: threads that decode images.
        page: whether to show the web page at ``/``.
    """

    model: str = NAME
    name: str = NAME
    made_for: str | None = None
    tta: bool = True
    queue: int = 40
    batch: int = 64
    images: int = 64
    body: int = 16 * 2**20
    pixels: int = 16_000_000
    timeout: float = 10.0
    grace: float = 10.0
    decoders: int = 2
    page: bool = True

    def to_json(self) -> str:
        """Return everything as JSON, for the processes that do the work."""
        return json.dumps(asdict(self))


def options_from_json(text: str) -> ServeOptions:
    """Return what ``ServeOptions.to_json`` gave.

    Example:
        >>> options_from_json(ServeOptions(tta=False).to_json()).tta
        False
    """
    return ServeOptions(**json.loads(text))


def load_classifier(options: ServeOptions) -> Classifier:
    """Load the model on the CPU or the GPU, with or without its test-time augmentation.

    Raises:
        InputError, UnsafeError, UsageError: as ``Classifier.load``.
    """
    classifier = Classifier.load(Path(options.model), pixels=options.made_for)
    return classifier if options.tta else replace(classifier, tta=None)
