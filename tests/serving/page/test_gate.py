"""What of Gradio's server is open, asked over HTTP of the mounted page."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cifarlab.classifier import Classifier
from cifarlab.serving.page.gate import LARGEST_REQUEST
from cifarlab.serving.page.interface import PageContext
from serving.page.steps import bare_page, connections, noise, png

httpx: Any = pytest.importorskip("httpx")
pytest_plugins = ["serving.page.fixtures"]

upload_folder = pytest.importorskip("gradio.utils").get_upload_folder
ADDRESS = "http://example.com/cat.png"


@pytest.fixture(scope="module")
def client(brightness_run: Path) -> Iterator[Any]:
    from fastapi.testclient import TestClient

    classifier = Classifier.load(brightness_run)
    context = PageContext(
        name="bright", model=brightness_run, classifier=lambda: classifier, lock=threading.Lock()
    )
    with TestClient(bare_page(context)) as client:
        yield client


def question(image: Any) -> dict[str, Any]:
    return {"data": [image, "squash"], "fn_index": 0, "session_hash": "abc"}


def test_an_address_in_the_image_field_is_not_fetched(client: Any) -> None:
    image = {"path": ADDRESS, "meta": {"_type": "gradio.FileData"}}
    with connections() as made:
        answer = client.post("/gradio_api/queue/join", json=question(image))
        nested = client.post("/gradio_api/queue/join", json=question([{"a": image}]))
        fetched = client.get(f"/gradio_api/file={ADDRESS}")
    assert (answer.status_code, nested.status_code, fetched.status_code) == (422, 422, 404)
    assert made == []


@pytest.mark.parametrize(
    "path",
    [
        "/..%2f..%2fetc/passwd",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=..%2f..%2fetc%2fpasswd",
        "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets/..%2f..%2f..%2f..%2fetc%2fpasswd",
        f"/gradio_api/proxy={ADDRESS}",
        "/gradio_api/openapi.json",
        "/gradio_api/runs",
        "/gradio_api/vibe-code",
        "/monitoring/summary",
        "/nothing/here",
    ],
)
def test_other_files_and_endpoints_are_closed(client: Any, path: str) -> None:
    with connections() as made:
        answer = client.get(path)
    assert answer.status_code in (403, 404)
    assert "root:" not in answer.text
    assert made == []


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/call/classify", "/gradio_api/run/predict", "/gradio_api/vibe-edit", "/login"],
)
def test_nothing_else_takes_a_post(client: Any, path: str) -> None:
    assert client.post(path, json={"data": []}).status_code == 404


def test_a_malformed_request_is_refused(client: Any) -> None:
    join = "/gradio_api/queue/join"
    assert client.post(join, content=b"not json").status_code == 422
    assert client.post(join, content=b"[" * 50_000).status_code == 422
    assert client.post(join, content=b" " * (LARGEST_REQUEST + 1)).status_code == 413


def test_a_file_that_was_not_uploaded_is_not_read(client: Any, tmp_path: Path) -> None:
    """A mounted Gradio application would: it checks paths only after ``launch``."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(noise(1, 1)))
    folder = Path(upload_folder())
    for path in (secret, folder / ".." / secret.relative_to(secret.anchor), "/etc/passwd\0", ""):
        image = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        answer = client.post("/gradio_api/queue/join", json=question(image))
        assert answer.status_code == 422


def test_what_was_uploaded_is_answered(client: Any) -> None:
    files = {"files": ("bright.png", png(noise(2, 1)))}
    (path,) = client.post("/gradio_api/upload", files=files).json()
    assert Path(path).is_relative_to(upload_folder())
    assert Path(path).read_bytes() == png(noise(2, 1))
    image = {"path": path, "orig_name": "bright.png", "meta": {"_type": "gradio.FileData"}}
    assert client.post("/gradio_api/queue/join", json=question(image)).status_code == 200
    heard = ""
    with client.stream("GET", "/gradio_api/queue/data?session_hash=abc") as events:
        for line in events.iter_lines():
            heard += line
            if "process_completed" in line:
                break
    assert "bright" in heard


def test_an_upload_that_is_too_large_is_refused(client: Any) -> None:
    files = {"files": ("big.png", b"0" * (17 * 10**6))}
    assert client.post("/gradio_api/upload", files=files).status_code == 413


def test_the_page_loads_nothing_from_elsewhere(client: Any) -> None:
    page = client.get("/")
    assert page.status_code == 200
    loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"([^\"]+)\"", page.text)
    assert loaded
    assert not [address for address in loaded if re.match(r"(?:https?:)?//", address)]
    theme = client.get("/theme.css").text
    assert not re.search(r"url\((?![\"']data:)|@import", theme)
