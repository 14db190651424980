"""More than it can do: refused at once, told when to try again, and well afterwards."""

from __future__ import annotations

import asyncio
import threading

import httpx
import numpy as np

from cifarlab.serving.app import create_app
from serving.conftest import OPTIONS, noise, png, tiny_classifier

MANY = 10 * OPTIONS.queue


class Gated:
    """A classifier that computes only while the gate is open."""

    def __init__(self) -> None:
        self.whole, self.gate = tiny_classifier(), threading.Event()
        self.input_shape, self.class_names = self.whole.input_shape, self.whole.class_names
        self.sure, self.image_format = self.whole.sure, self.whole.image_format
        self.gate.set()

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        self.gate.wait(60)
        return self.whole.predict_proba(images)


async def send(client: httpx.AsyncClient, content: bytes) -> httpx.Response:
    return await client.post("/predict", files=[("images", ("p.png", content))])


async def ready(client: httpx.AsyncClient) -> None:
    while (await client.get("/v2/health/ready")).status_code != 200:
        await asyncio.sleep(0.01)


def test_at_ten_times_the_capacity_the_excess_is_told_when_to_come_back():
    gated = Gated()
    content = png(noise(1))

    async def overload() -> None:
        app = create_app(OPTIONS, lambda: gated)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client,
        ):
            await ready(client)
            gated.gate.clear()
            tasks = [asyncio.create_task(send(client, content)) for _ in range(MANY)]
            done: set[asyncio.Task] = set()
            while len(done) < MANY - OPTIONS.queue:
                done, _ = await asyncio.wait(tasks, timeout=0.05)
            for task in done:
                assert task.result().status_code == 503
                assert task.result().headers["retry-after"] == "1"
                assert "try again" in task.result().json()["error"]
            # Health and metrics still answer.
            assert (await client.get("/v2/health/live")).status_code == 200
            assert f"in_flight {OPTIONS.queue}.0" in (await client.get("/metrics")).text
            gated.gate.set()
            answers = await asyncio.gather(*tasks)
            counts = [answer.status_code for answer in answers]
            assert counts.count(200) == OPTIONS.queue
            assert counts.count(503) == MANY - OPTIONS.queue
            # Well again.
            assert (await send(client, content)).status_code == 200

    asyncio.run(overload())


def test_a_request_that_waits_too_long_is_told_so():
    import dataclasses

    gated = Gated()

    async def wait_long() -> None:
        app = create_app(dataclasses.replace(OPTIONS, timeout=0.05), lambda: gated)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client,
        ):
            await ready(client)
            gated.gate.clear()
            answer = await send(client, png(noise(1)))
            gated.gate.set()
            assert answer.status_code == 503
            assert "no answer within 0.05 s" in answer.json()["error"]

    asyncio.run(wait_long())
