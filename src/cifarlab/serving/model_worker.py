"""The one thread that computes: it collects queued requests into batches and answers them."""

from __future__ import annotations

import asyncio
import enum
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.errors import CifarlabError

Array = np.ndarray[Any, Any]
# One of each size of piece that batches are cut into (``lowering.predict.pieces``).
EVERY_PIECE = 64 + 8 + 1
# Seconds between attempts to load or warm up a failed model again.
RETRY = 1.0


class State(enum.Enum):
    """The state of the model; it answers only when it is ready."""

    WARMING = "warming up"
    READY = "ready"
    FAILED = "failed"


class NotReadyError(CifarlabError):
    """The model cannot answer now; it may a little later."""


@dataclass(kw_only=True)
class _Request:
    images: Array
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Array] = field(init=False)

    def __post_init__(self) -> None:
        self.answer = self.loop.create_future()


class ModelWorker:
    """Loads a classifier in a thread of its own, warms it up, and predicts in batches.

    Attributes:
        state: see ``State``.
        classifier: loaded, or ``None`` until then.
        lock: held while the classifier computes.
        waiting: requests that are queued.
    """

    def __init__(
        self,
        load: Callable[[], Classifier],
        most: int,
        on_batch: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.state = State.WARMING
        self.classifier: Classifier | None = None
        self.lock = threading.Lock()
        self.waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._load, self._most, self._on_batch = load, most, on_batch
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        """Begin to load; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Answer the queued requests, then end the thread."""
        self._stopping.set()
        self.waiting.put(None)
        self._thread.join()

    def ready_classifier(self) -> Classifier:
        """Return the classifier.

        Raises:
            NotReadyError: it is warming up or has failed.
        """
        if self.classifier is None or self.state is not State.READY:
            raise NotReadyError(f"the model is not ready ({self.state.value}); try again")
        return self.classifier

    async def predict(self, images: Array) -> Array:
        """Return probabilities, float32 ``[N, K]``, of uint8 ``[N, H, W, C]``.

        Cancelling the call removes it from the queue.

        Raises:
            NotReadyError: the model is warming up or has failed.
        """
        self.ready_classifier()
        request = _Request(images=images, loop=asyncio.get_running_loop())
        self.waiting.put(request)
        return await request.answer

    # --- in the thread

    def _run(self) -> None:
        while not self._warmed_up():
            if self._stopping.wait(RETRY):
                return
        while (request := self.waiting.get()) is not None:
            self._answer(self._gather(request))
            while self.state is State.FAILED and not self._stopping.wait(RETRY):
                self._warmed_up()

    def _warmed_up(self) -> bool:
        """Load the model if necessary, predict blank images, and note whether that worked."""
        try:
            if self.classifier is None:
                self.classifier = self._load()
            for count in (1, EVERY_PIECE):
                blank = np.zeros((count, *self.classifier.input_shape), np.uint8)
                with self.lock:
                    self.classifier.predict_proba(blank)
        # Whatever went wrong, the server keeps running and reports that the model has failed.
        except Exception:
            self.state = State.FAILED
            return False
        self.state = State.READY
        return True

    def _gather(self, first: _Request) -> list[_Request]:
        """Return ``first`` and other queued requests, up to a batch of images."""
        batch, images = [first], len(first.images)
        while images < self._most:
            try:
                request = self.waiting.get_nowait()
            except queue.Empty:
                break
            if request is None:
                self.waiting.put(None)
                break
            batch.append(request)
            images += len(request.images)
        # Requests whose caller has disconnected need no answer.
        return [request for request in batch if not request.answer.cancelled()]

    def _answer(self, batch: list[_Request]) -> None:
        if not batch:
            return
        assert self.classifier is not None
        images = np.concatenate([request.images for request in batch])
        self._on_batch(len(images))
        result: list[Array] | NotReadyError
        try:
            with self.lock:
                probabilities = self.classifier.predict_proba(images)
            ends = np.cumsum([len(request.images) for request in batch])
            result = np.split(probabilities, ends[:-1])
        # As above: readiness reports it, and the warm-up decides when the model is ready again.
        except Exception:
            self.state = State.FAILED
            result = NotReadyError("the model failed on this batch; try again")
        for loop in {request.loop for request in batch}:
            loop.call_soon_threadsafe(_deliver, loop, batch, result)


def _deliver(
    loop: asyncio.AbstractEventLoop, batch: list[_Request], result: list[Array] | NotReadyError
) -> None:
    """Hand out the answers to the callers of this event loop."""
    for number, request in enumerate(batch):
        if request.loop is not loop or request.answer.done():
            continue
        if isinstance(result, NotReadyError):
            request.answer.set_exception(result)
        else:
            request.answer.set_result(result[number])
