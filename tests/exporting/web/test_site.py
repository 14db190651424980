"""The static folder: complete, unchanged where it is not ours, and right in a browser.

The browser tests need Chromium and its driver; they are left out where those are not.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_image
from cifarlab.exporting import about, export
from cifarlab.exporting.parity import comparison_images
from cifarlab.exporting.web import RUNTIME

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    # From the folder above: the page must not mind where it lies.
    server = subprocess.Popen(command, cwd=site.parent, stderr=subprocess.PIPE)
    assert server.stderr is not None
    yield f"http://127.0.0.1:{port}/site/"
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
    driver.get("about:blank")
    for _ in range(100):
        driver.get(address)
        if "image" in driver.title:
            break
    until(driver, lambda d: d.find_element("tag name", "body").get_attribute("data-state"))
    yield driver
    driver.quit()


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
    return np.array(answer[0]), np.array(answer[1], np.uint8).reshape(32, 32, 3)


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


def agree(browser: Any, contents: list[bytes], largest: float) -> None:
    classifier = Classifier.pretrained("cpu")
    for content in contents:
        probabilities, pixels = in_browser(browser, content)
        seen = decode_image(content, name="p")
        assert np.abs(pixels.astype(int) - seen).max() <= largest
        expected = classifier.predict_proba(seen[None])[0]
        np.testing.assert_allclose(probabilities, expected, atol=1e-3)
        assert probabilities.argmax() == expected.argmax()


def test_it_agrees_with_the_library_on_100_images(browser: Any) -> None:
    small = comparison_images((32, 32), 40)
    large = comparison_images((75, 50), 30)
    tiny = comparison_images((20, 24), 30)
    contents = [saved(image) for part in (small, large, tiny) for image in part]
    assert len(contents) == IMAGES
    # Pixels that are stored without loss are the same to the last bit.
    agree(browser, contents, largest=0)


@pytest.mark.real
def test_it_agrees_with_the_library_on_100_real_images(
    browser: Any, real_cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cifarlab.data.catalog import load_dataset

    monkeypatch.setenv("CIFARLAB_DATA", str(real_cifar10))
    agree(
        browser, [saved(image) for image in load_dataset("cifar10").test.images[:IMAGES]], largest=0
    )


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
