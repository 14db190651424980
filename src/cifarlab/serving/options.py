"""Every setting of the server in one place."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cifarlab.classifier import Classifier
from cifarlab.errors import UsageError
from cifarlab.saving.pretrained import NAME

MODEL, ONCE = "model", "once"


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """How to serve a model.

    Attributes:
        model: what ``Classifier.load`` takes.
        name: what clients call the model.
        looks: ``"model"`` to look at each image as the model was made to, ``"once"`` for one
            look, which is faster and a little less accurate.
        queue: requests that may be in work or waiting; more are answered 503 at once.
        batch: at most this many images go through the model together.
        images: at most this many in one request.
        body: largest request body, in bytes.
        pixels: largest image, in pixels; larger ones are refused before they are decoded.
        timeout: seconds until a request that waits is answered 503.
        grace: seconds that requests in work have to finish when the server is stopped.
        decoders: threads that decode images.
        page: whether to show the web page at ``/``.
    """

    model: str = NAME
    name: str = NAME
    looks: str = MODEL
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


def settings_from_json(text: str) -> ServeOptions:
    """Return what ``ServeOptions.to_json`` gave."""
    return ServeOptions(**json.loads(text))


def load_classifier(settings: ServeOptions) -> Classifier:
    """Load the model on the CPU or the GPU, looking as the settings say.

    Raises:
        InputError, UnsafeError: as ``Classifier.load``.
        UsageError: ``looks`` is neither of the two.
    """
    if settings.looks not in (MODEL, ONCE):
        raise UsageError(f"looks {settings.looks!r}: choose {MODEL} or {ONCE}")
    classifier = Classifier.load(Path(settings.model))
    return replace(classifier, tta=None) if settings.looks == ONCE else classifier
