"""The model worker: batches, the right answer to each caller, and what happens on failure."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from cifarlab.serving import model_worker
from cifarlab.serving.model_worker import ModelWorker, NotReadyError, State
from serving.conftest import noise, tiny_classifier
from tiny import SIDE


@dataclass(kw_only=True)
class Stub:
    """A classifier whose moments the test chooses: probabilities are the mean colours."""

    input_shape: tuple[int, int, int] = (SIDE, SIDE, 3)
    open: threading.Event = field(default_factory=threading.Event)
    broken: bool = False
    batches: list[int] = field(default_factory=list)

    def predict_proba(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.open.wait(60)
        if self.broken:
            raise RuntimeError("a kernel failed")
        self.batches.append(len(images))
        return images.mean((1, 2)).astype(np.float32)


def run(worker: ModelWorker, task: Callable[[], Awaitable[Any]]) -> Any:
    async def until_ready() -> Any:
        worker.start()
        try:
            await become(worker, State.READY)
            return await task()
        finally:
            await asyncio.to_thread(worker.stop)

    return asyncio.run(until_ready())


async def become(worker: ModelWorker, state: State) -> None:
    for _ in range(6000):
        if worker.state is state:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still {worker.state}")


def opened(**changes: Any) -> Stub:
    stub = Stub(**changes)
    stub.open.set()
    return stub


def test_batched_answers_equal_single_ones_each_to_its_caller():
    classifier = tiny_classifier()
    images = [np.stack([noise(100 * i + j) for j in range(1 + i % 3)]) for i in range(60)]
    alone = [classifier.predict_proba(one) for one in images]
    worker = ModelWorker(tiny_classifier, 16)

    async def ask_all() -> list[np.ndarray[Any, Any]]:
        return list(await asyncio.gather(*(worker.predict(one) for one in images)))

    for probabilities, expected in zip(run(worker, ask_all), alone, strict=True):
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_what_waits_is_computed_together_but_never_more_than_a_batch():
    stub = opened()
    worker = ModelWorker(lambda: stub, 8)  # type: ignore[arg-type,return-value]

    async def ask() -> None:
        stub.open.clear()
        stub.batches.clear()
        tasks = [asyncio.create_task(worker.predict(noise(i)[None])) for i in range(21)]
        await asyncio.sleep(0.05)
        stub.open.set()
        await asyncio.gather(*tasks)

    run(worker, ask)
    assert sum(stub.batches) == 21
    assert max(stub.batches) == 8


def test_a_caller_that_has_gone_is_not_computed_for():
    stub = opened()
    worker = ModelWorker(lambda: stub, 8)  # type: ignore[arg-type,return-value]

    async def ask() -> np.ndarray[Any, Any]:
        stub.open.clear()
        stub.batches.clear()
        first = asyncio.create_task(worker.predict(noise(0)[None]))
        await asyncio.sleep(0.05)
        gone = [asyncio.create_task(worker.predict(noise(i)[None])) for i in range(5)]
        stays = asyncio.create_task(worker.predict(noise(9)[None]))
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        await asyncio.sleep(0)
        stub.open.set()
        await first
        return await stays

    probabilities = run(worker, ask)
    np.testing.assert_allclose(probabilities[0], noise(9).mean((0, 1)), rtol=1e-5)
    assert stub.batches == [1, 1]


def test_it_warms_up_fails_and_recovers(monkeypatch):
    monkeypatch.setattr(model_worker, "RETRY", 0.01)
    stub = opened()
    worker = ModelWorker(lambda: stub, 8)  # type: ignore[arg-type,return-value]
    assert worker.state is State.WARMING

    async def break_and_mend() -> np.ndarray[Any, Any]:
        stub.broken = True
        with pytest.raises(NotReadyError, match="failed on this batch"):
            await worker.predict(noise(1)[None])
        assert worker.state is State.FAILED
        with pytest.raises(NotReadyError, match="not ready"):
            await worker.predict(noise(1)[None])
        stub.broken = False
        await become(worker, State.READY)
        return await worker.predict(noise(1)[None])

    assert run(worker, break_and_mend).shape == (1, 3)


def test_a_model_that_cannot_be_loaded_is_tried_again(monkeypatch):
    monkeypatch.setattr(model_worker, "RETRY", 0.01)
    attempts: list[int] = []

    def load() -> Any:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("the disk is slow")
        return opened()

    worker = ModelWorker(load, 4)

    async def ask() -> np.ndarray[Any, Any]:
        return await worker.predict(noise(1)[None])

    assert run(worker, ask).shape == (1, 3)
    assert len(attempts) == 3
