"""The static folder: complete, unchanged where it is not ours, and right in a browser.

The browser tests need Chromium and its driver; they are left out where those are not.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import math
import re
import shutil
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_as
from cifarlab.exporting import about, export
from cifarlab.exporting.parity import comparison_images
from cifarlab.exporting.web import RUNTIME
from shaped import CASES, png, shaped_classifier, twelve_bits

webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
wait_module: Any = pytest.importorskip("selenium.webdriver.support.ui")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-quic"),
)
IMAGES = 100


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("web") / "below" / "site"
    facts = {"name": "cifar10", **about(Path("cifar10"))}
    return export(Classifier.pretrained("cpu"), "web", target, facts=facts).path


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    # From the folder above: the page must not mind where it lies.
    with hosted(site.parent) as address:
        yield f"{address}site/"


@contextlib.contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Serve a folder; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    assert server.stderr is not None
    yield f"http://127.0.0.1:{port}/"
    server.terminate()
    server.communicate()


@pytest.fixture(scope="module")
def browser(address: str) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(120)
    visit(driver, address)
    yield driver
    driver.quit()


def visit(driver: Any, address: str) -> None:
    driver.get("about:blank")
    for _ in range(100):
        driver.get(address)
        if "image" in driver.title:
            break
    until(driver, lambda d: d.find_element("tag name", "body").get_attribute("data-state"))


def until(driver: Any, condition: Any) -> Any:
    return wait_module.WebDriverWait(driver, 60).until(condition)


def text(driver: Any, id: str) -> str:
    return str(driver.find_element("id", id).text)


def saved(image: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def choose(driver: Any, path: Path) -> None:
    driver.find_element("id", "file").send_keys(str(path))


def in_browser(driver: Any, content: bytes) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return probabilities and pixels that the page's own script gives for a file."""
    script = """
      const [text, done] = arguments;
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      window.cifarlab.classify(new Blob([bytes])).then(
        ({ probabilities, pixels }) => done([probabilities, Array.from(pixels)]),
        (error) => done(String(error)));
    """
    answer = driver.execute_async_script(script, base64.b64encode(content).decode())
    assert not isinstance(answer, str), answer
    shape = driver.execute_script("return window.cifarlab.facts.input_shape")
    return np.array(answer[0]), np.array(answer[1], np.uint8).reshape(shape)


def test_the_folder_is_complete(site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {"index.html", "model.onnx", "facts.json", "page.js", "worker.js"} <= names
    assert "runtime/ort-wasm-simd-threaded.wasm" in names
    facts = json.loads((site / "facts.json").read_text(encoding="utf-8"))
    assert facts["class_names"][3] == "cat"
    assert facts["accuracy"]["n"] == 10_000


def test_the_runtime_is_the_published_one(site: Path) -> None:
    listed = re.findall(r"\| `(\S+)` \| `([0-9a-f]{64})` \|", (RUNTIME / "README.md").read_text())
    assert len(listed) == 3
    for name, digest in listed:
        content = (site / "runtime" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name


def test_an_image_is_classified_explained_and_drawn(browser: Any, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(saved(comparison_images((60, 80), 4)[0]))
    expected = Classifier.pretrained("cpu").predict(image)
    choose(browser, image)
    until(browser, lambda d: d.find_elements("css selector", "#bars .bar"))
    assert expected.top(1)[0][0][0] in text(browser, "verdict")
    assert len(browser.find_elements("css selector", "#bars .bar")) == 5
    before = browser.execute_script("return document.getElementById('seen').toDataURL()")
    until(browser, lambda d: d.find_element("id", "saliency").get_attribute("data-state") == "done")
    after = browser.execute_script("return document.getElementById('saliency').toDataURL()")
    assert after != before
    assert "94." in text(browser, "known")
    assert browser.find_elements("css selector", "#matrix td")


def test_a_text_file_gets_a_clear_message(browser: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")
    choose(browser, notes)
    until(browser, lambda d: text(d, "problem"))
    assert text(browser, "problem").startswith("notes.txt: not an image that can be read; use PNG")


def agree(browser: Any, classifier: Classifier, contents: list[bytes]) -> None:
    """Pixels that are stored without loss must be the same to the last bit."""
    for content in contents:
        probabilities, pixels = in_browser(browser, content)
        seen = decode_as(classifier.image_format, content, name="p")
        np.testing.assert_array_equal(pixels, seen)
        expected = classifier.predict_proba(seen[None])[0]
        np.testing.assert_allclose(probabilities, expected, atol=1e-3)
        assert probabilities.argmax() == expected.argmax()


def test_it_agrees_with_the_library_on_100_images(browser: Any) -> None:
    small = comparison_images((32, 32), 40)
    large = comparison_images((75, 50), 30)
    tiny = comparison_images((20, 24), 30)
    contents = [saved(image) for part in (small, large, tiny) for image in part]
    assert len(contents) == IMAGES
    agree(browser, Classifier.pretrained("cpu"), contents)


@pytest.mark.slow
@pytest.mark.real
def test_it_agrees_with_the_library_on_100_real_images(
    browser: Any, real_cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cifarlab.data.catalog import load_dataset

    monkeypatch.setenv("CIFARLAB_DATA", str(real_cifar10))
    images = load_dataset("cifar10").test.images[:IMAGES]
    agree(browser, Classifier.pretrained("cpu"), [saved(image) for image in images])


def test_nothing_leaves_the_computer_and_nothing_fails(browser: Any, address: str) -> None:
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} <= {
        "about:blank"
    }
    assert browser.get_log("browser") == []


# --- other inputs than 32x32 RGB


def files_of_every_kind() -> list[bytes]:
    """Return images of many shapes, colours and depths, turned and transparent ones among them."""
    sizes = ((28, 28), (28, 20), (32, 64), (1, 9), (9, 1), (7, 90), (90, 7), (61, 62), (200, 300))
    plain = [png(image) for size in sizes for image in comparison_images(size, 4)[::3]]
    grey = comparison_images((45, 33), 2, channels=1)
    deep = twelve_bits(33, 47)
    turned = Image.Exif()
    turned[0x0112] = 6
    with_exif, clear, exact = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(deep).save(with_exif, "PNG", exif=turned)
    Image.fromarray(deep).save(clear, "PNG", transparency=int(deep[3, 4]))
    Image.fromarray((deep * 16)[:20, :28]).save(exact, "PNG")
    others = [one.getvalue() for one in (with_exif, clear, exact)]
    rows = [deep_png(deep), deep_png(deep, passes=ADAM7), deep_png(deep[:1, :3], passes=ADAM7)]
    colour = np.stack([deep * 16, deep * 5, deep], axis=-1)
    rows += [deep_png(colour), deep_png(colour, passes=ADAM7)]
    return [*plain, *map(png, grey), png(deep), *rows, *others]


WHOLE = ((0, 0, 1, 1),)
ADAM7 = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)),
    (1, 0, 2, 1),
)


def deep_png(
    values: np.ndarray[Any, Any], passes: tuple[tuple[int, int, int, int], ...] = WHOLE
) -> bytes:
    """Return uint16 ``[H, W]`` or ``[H, W, 3]`` as a PNG, every filter in use (PNG, section 8)."""
    rows = b""
    bytes_of_pixel = 2 * math.prod(values.shape[2:])
    for top, left, down, across in passes:
        part = np.ascontiguousarray(values[top::down, left::across].astype(">u2"))
        if part.size:
            lines = part.view(np.uint8).reshape(len(part), -1)
            rows += b"".join(filtered(lines, bytes_of_pixel))

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    kind, interlaced = 2 if values.ndim == 3 else 0, passes is ADAM7
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, interlaced)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def filtered(lines: np.ndarray[Any, Any], bytes_of_pixel: int) -> Iterator[bytes]:
    """Filter rows with PNG's five filters in turn (PNG, section 9)."""
    before = np.zeros(bytes_of_pixel, int)
    above = np.zeros(lines.shape[1] + bytes_of_pixel, int)
    for number, line in enumerate(lines):
        here = np.concatenate([before, line])
        left, up, corner = here[:-bytes_of_pixel], above[bytes_of_pixel:], above[:-bytes_of_pixel]
        guess = left + up - corner
        distances = np.abs(np.stack([guess - left, guess - up, guess - corner]))
        paeth = np.choose(distances.argmin(0), [left, up, corner])
        expected = [0 * up, left, up, (left + up) // 2, paeth][number % 5]
        yield bytes([number % 5]) + ((line - expected) % 256).astype(np.uint8).tobytes()
        above = here


@pytest.mark.parametrize("case", CASES)
def test_any_input_is_the_librarys_to_the_last_bit(browser: Any, tmp_path: Path, case: str) -> None:
    image_format = CASES[case].image_format
    classifier = shaped_classifier(image_format, tmp_path)
    export(classifier, "web", tmp_path / "site")
    with hosted(tmp_path) as address:
        visit(browser, f"{address}site/")
        agree(browser, classifier, [CASES[case].content, *files_of_every_kind()])
        image = tmp_path / "image.png"
        image.write_bytes(CASES[case].content)
        choose(browser, image)
        until(
            browser,
            lambda d: d.find_element("id", "saliency").get_attribute("data-state") == "done",
        )
        assert ("grey" in text(browser, "input")) == (image_format.channels == 1)
        for id in ("seen", "saliency"):
            size = browser.find_element("id", id).size
            ratio = image_format.width / image_format.height
            assert size["width"] / size["height"] == pytest.approx(ratio, rel=0.02)


def test_a_damaged_16_bit_file_gets_a_clear_message(browser: Any, tmp_path: Path) -> None:
    whole = deep_png(twelve_bits(30, 40), passes=ADAM7)
    for number, content in enumerate((whole[:90], whole[:40], whole.replace(b"IDAT", b"iDAT"))):
        image = tmp_path / f"{number}.png"
        image.write_bytes(content)
        choose(browser, image)
        until(browser, lambda d, name=image.name: name in text(d, "problem"))
        assert "not an image that can be read; use PNG" in text(browser, "problem")
