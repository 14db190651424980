"""``POST /predict``: what the library says, and an answer to everything that can go wrong."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from cifarlab.data.image import decode_image
from serving.conftest import OPTIONS, noise, png
from tiny import CLASSES, SIDE


def post(client, *contents: bytes, query: str = ""):
    files = [("images", (f"{i}.png", content)) for i, content in enumerate(contents)]
    return client.post(f"/predict{query}", files=files)


def error_of(answer) -> str:
    message = answer.json()["error"]
    assert "\n" not in message
    return message


@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
def test_it_says_what_the_library_says(client, classifier, mode):
    contents = [png(noise(1)), png(noise(2, 40), "JPEG"), png(noise(3, 30)[:20])]
    answer = post(client, *contents, query=f"?top=2&resize_mode={mode}").json()
    images = [decode_image(c, name="p", size=SIDE, resize_mode=mode) for c in contents]
    expected = classifier.predict(np.stack(images))
    assert answer["model"] == "tiny"
    for row, best, number in zip(answer["predictions"], expected.top(2), range(3), strict=True):
        assert row["image"] == f"{number}.png"
        assert row["sure"] is None
        assert [one["class"] for one in row["top"]] == [name for name, _ in best]
        for one, (_, probability) in zip(row["top"], best, strict=True):
            assert one["probability"] == pytest.approx(probability, abs=1e-6)


def test_top_gives_no_more_classes_than_there_are(client):
    (row,) = post(client, png(noise(1)), query="?top=50").json()["predictions"]
    assert len(row["top"]) == len(CLASSES)


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"just some text", 415, "accepted formats are PNG"),
        (b"", 422, "empty"),
        (png(noise(1, 90))[:400], 422, "damaged or truncated"),
        (png(noise(1, 101)), 413, "101 x 101 pixels; at most 10,000"),
    ],
)
def test_a_bad_image_is_one_line(client, content, status, said):
    answer = post(client, png(noise(1)), content)
    assert answer.status_code == status
    assert said in error_of(answer)


@pytest.mark.parametrize("query", ["?top=0", "?top=x", "?resize_mode=stretch"])
def test_a_bad_option_is_one_line(client, query):
    answer = post(client, png(noise(1)), query=query)
    assert answer.status_code == 422
    assert "query." in error_of(answer)


def test_too_many_images_are_refused(client):
    answer = post(client, *[png(noise(1))] * (OPTIONS.images + 1))
    assert answer.status_code == 413
    assert "at most 64" in error_of(answer)


def test_the_field_of_version_0_1_still_works(client):
    contents = [png(noise(i)) for i in range(3)]
    old = [("pictures", (f"{i}.png", content)) for i, content in enumerate(contents)]
    assert client.post("/predict", files=old).json() == post(client, *contents).json()
    fields = client.get("/openapi.json").json()["components"]["schemas"]
    (body,) = [schema for name, schema in fields.items() if name.startswith("Body_")]
    assert body["properties"]["pictures"]["deprecated"] is True
    assert "deprecated" in body["properties"]["pictures"]["description"]
    assert "deprecated" not in body["properties"]["images"]


def test_no_images_are_one_line(client):
    answer = client.post("/predict")
    assert answer.status_code == 422
    assert "form field images" in error_of(answer)


# --- limits


def test_an_oversized_upload_is_413_by_its_length(client):
    answer = post(client, b"x" * (OPTIONS.body + 1))
    assert answer.status_code == 413


def test_an_endless_chunked_upload_is_413_and_soon_no_longer_read(client):
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n\r\n'
    taken, sent = [head], []

    async def receive() -> dict:
        taken.append(b"x" * 10_000)
        return {"type": "http.request", "body": taken[-2], "more_body": True}

    async def send(message: dict) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "method": "POST", "path": "/predict", "raw_path": b"/predict"},
        **{"query_string": b"", "root_path": "", "scheme": "http", "http_version": "1.1"},
        **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)},
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
    }
    asyncio.run(client.app(scope, receive, send))
    assert sent[0]["status"] == 413
    # What could have been put on the disk is bounded by what was taken in.
    assert sum(map(len, taken)) < OPTIONS.body + 50_000


# --- paths and addresses


@pytest.mark.parametrize(
    "path", ["/..%2f..%2fetc/passwd", "/../../etc/passwd", "/v2/models/..%2f..%2fetc%2fpasswd"]
)
def test_no_path_leads_out(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_an_address_is_no_image_and_nothing_is_fetched(client, monkeypatch):
    reached = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, to: reached.append(to))
    for value in ("http://example.org/cat.jpg", "file:///etc/passwd"):
        answer = client.post("/predict", data={"images": value})
        assert answer.status_code == 422
        assert error_of(answer)
        answer = post(client, value.encode())
        assert answer.status_code == 415
    assert reached == []


def test_no_page_of_the_api_loads_anything_from_elsewhere(client):
    assert client.get("/docs").status_code == 404
    assert client.get("/openapi.json").json()["info"]["title"] == "cifarlab"


def test_metrics_count_answers(client):
    post(client, png(noise(1)))
    text = client.get("/metrics").text
    assert 'cifarlab_requests_total{route="/predict",status="200"}' in text
    assert "cifarlab_batch_images_bucket" in text
    assert "cifarlab_requests_in_flight 0.0" in text


# --- damage


def mutated(count: int) -> Iterator[bytes]:
    """Images of every format with bytes flipped, cut out, doubled or spliced."""
    generator = np.random.default_rng(22)
    seeds = [
        png(noise(i, 24), kind) for i, kind in enumerate(("PNG", "JPEG", "WEBP", "GIF", "BMP"))
    ]
    for number in range(count):
        data = bytearray(seeds[number % len(seeds)])
        for _ in range(generator.integers(1, 6)):
            at = int(generator.integers(0, len(data)))
            kind = generator.integers(0, 4)
            if kind == 0:
                data[at] = int(generator.integers(0, 256))
            elif kind == 1:
                del data[at : at + int(generator.integers(1, 40))]
            elif kind == 2:
                data[at:at] = data[at : at + 30]
            else:
                other = seeds[int(generator.integers(0, len(seeds)))]
                data[at:] = other[at:]
            data = data or bytearray(b"x")
        yield bytes(data)


# Damaged headers promise animations and huge images.
@pytest.mark.filterwarnings("ignore:.*only its first frame is used:UserWarning")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("count", [2_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_images_never_crash_it(client, count):
    seen = set()
    for data in mutated(count):
        began = time.process_time()
        answer = post(client, data)
        assert answer.status_code in (200, 413, 415, 422), (answer.status_code, data)
        assert time.process_time() - began < 2.0, data
        seen.add(answer.status_code)
    assert {200, 415, 422} <= seen


def test_a_bomb_is_413(client):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 999))
    assert post(client, bomb).status_code == 413
