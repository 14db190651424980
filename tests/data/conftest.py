"""Fixtures of the tests of ``data``: images, files of them, and a server to download from."""

from __future__ import annotations

import dataclasses
import io
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.data.dataset import Split
from cifarlab.data.named import cifar, download
from cifarlab.data.split import fingerprint
from data.published import PARTS


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test of ``data`` has an empty cache of its own."""
    directory = tmp_path / "own-cache"
    monkeypatch.setenv("CIFARLAB_CACHE", str(directory))
    return directory


@pytest.fixture
def some_images() -> Callable[..., Split]:
    """Make random labelled images, the same number of each class."""

    def make(count: int, classes: int = 3, seed: int = 0, size: int = 32) -> Split:
        generator = np.random.default_rng(seed)
        images = generator.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        return Split(images=images, labels=np.arange(count, dtype=np.int64) % classes)

    return make


@pytest.fixture
def write_parquet() -> Callable[..., Path]:
    """Write a parquet file in the Hugging Face schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    def png(pixels: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    def write(
        path: Path,
        split: Split,
        *,
        damage: dict[int, bytes | None] | None = None,
        columns: tuple[str, str] = ("img", "label"),
        labels: Any = None,
        metadata: dict[bytes, bytes] | None = None,
    ) -> Path:
        rows = [{"bytes": png(p), "path": f"{i}.png"} for i, p in enumerate(split.images)]
        for row, content in (damage or {}).items():
            rows[row]["bytes"] = content
        image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        values = pa.array(split.labels.tolist() if labels is None else labels)
        table = pa.table({columns[0]: pa.array(rows, image_type), columns[1]: values})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table.replace_schema_metadata(metadata), path)
        return path

    return write


@pytest.fixture
def train(some_images: Callable[..., Split]) -> Split:
    return some_images(30)


@pytest.fixture
def test(some_images: Callable[..., Split]) -> Split:
    return some_images(12, seed=1)


@pytest.fixture
def folder(tmp_path: Path, write_parquet: Callable[..., Path], train: Split, test: Split) -> Path:
    """A directory of parquet files called ``animals``."""
    for part, split in (("train", train), ("test", test)):
        write_parquet(tmp_path / "animals" / f"{part}-00000-of-00001.parquet", split)
    return tmp_path / "animals"


@pytest.fixture
def variant_of() -> Callable[[Split, Split], cifar.CifarVariant]:
    """Make a variant of three classes in CIFAR-10's formats, with other images."""

    def make(train: Split, test: Split) -> cifar.CifarVariant:
        return dataclasses.replace(
            cifar.CIFAR10,
            name="tiny",
            class_names=("a", "b", "c"),
            train_count=len(train),
            test_count=len(test),
            train_fingerprint=fingerprint(train),
            test_fingerprint=fingerprint(test),
        )

    return make


class Server:
    """An HTTP server on 127.0.0.1 whose answers are plain functions of a test.

    ``pages`` has a function for each path; it gets the request and answers it.
    ``seen`` has the path and the ``Range`` of every request, in order.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.seen: list[tuple[str, str | None]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append((self.path, self.headers.get("Range")))
                outer.pages[self.path](self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def send(
        request: BaseHTTPRequestHandler,
        body: bytes,
        *,
        status: int = 200,
        length: int | None = None,
        **headers: str,
    ) -> None:
        """Answer with ``body``, declaring ``length`` bytes."""
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)
        request.wfile.flush()

    def serve(self, path: str, body: bytes, etag: str = '"one"') -> None:
        """Serve ``body`` at ``path``, continuing it from where the client asks."""

        def page(request: BaseHTTPRequestHandler) -> None:
            asked = request.headers.get("Range")
            if asked and request.headers.get("If-Range") == etag:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(body):
                    self.send(request, b"", status=416)
                    return
                sent = f"bytes {start}-{len(body) - 1}/{len(body)}"
                self.send(request, body[start:], status=206, ETag=etag, Content_Range=sent)
            else:
                self.send(request, body, ETag=etag)

        self.pages[path] = page


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


@pytest.fixture
def tiny(server, variant_of, train, test) -> cifar.CifarVariant:
    """A dataset of three classes with two sources on the server, parquet and an archive."""
    files = tuple(
        download.RemoteFile(url=f"{server.url}/{name}", name=name, magic=b"PAR1", max_bytes=10**7)
        for name in PARTS
    )
    packed = download.RemoteFile(
        url=f"{server.url}/a.tar.gz", name="a.tar.gz", magic=b"\x1f\x8b", max_bytes=10**7
    )
    sources = (
        cifar.Source(name="parquet", files=files),
        cifar.Source(name="archive", files=(packed,)),
    )
    return dataclasses.replace(variant_of(train, test), sources=sources)
