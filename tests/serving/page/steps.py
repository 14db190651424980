"""The page's test bench: a run to show, a server, a browser, and what a visitor does."""

from __future__ import annotations

import base64
import io
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab.data.catalog import load_dataset
from cifarlab.serving.page.interface import PageContext, build_page, page_options
from cifarlab.training.train import train
from tiny import CLASSES, tiny_recipe

Array = np.ndarray[Any, Any]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
DEADLINE = 60.0


def noise(brightness: int, seed: int, height: int = 32, width: int = 32) -> Array:
    """One image whose brightness, 0 to 2, is its class."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 60, (height, width, 3)) + 80 * brightness
    return np.asarray(values, dtype=np.uint8)


def png(image: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def run_on_brightness(directory: Path) -> Path:
    """Train a tiny model on a folder of dark, medium and bright images; return the run."""
    for brightness, name in enumerate(CLASSES):
        folder = directory / "images" / name
        folder.mkdir(parents=True)
        for number in range(40):
            image = png(noise(brightness, number))
            (folder / f"{number}.png").write_bytes(image)
    recipe = tiny_recipe(epochs=20, batch_size=12, augment=(), stop=None)
    return train(recipe, load_dataset(directory / "images"), directory=directory / "run").directory


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application from a thread; give its address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join()


def bare_page(context: PageContext) -> Any:
    """Return an application that has nothing but the page."""
    import gradio
    from fastapi import FastAPI

    return gradio.mount_gradio_app(FastAPI(), build_page(context), path="", **page_options())


@contextmanager
def chromium(width: int = 1280) -> Iterator[Any]:
    """Open a browser; skips the test where there is none."""
    webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program, driver_program = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver_program is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_program))
    try:
        resize(driver, width)
        yield driver
    finally:
        driver.quit()


def resize(browser: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def until(there: Callable[[], Any]) -> Any:
    """Wait until ``there`` gives something true, and return it."""
    end = time.monotonic() + DEADLINE
    while not (result := there()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return result


def text_of(browser: Any, selector: str) -> str:
    """Return the text at ``selector``, empty where there is nothing (any more)."""
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return str(browser.execute_script(script, selector))


def find(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def click(browser: Any, selector: str, text: str = "") -> bool:
    """Click the first element at ``selector`` with this text, if there is one."""
    script = """
        const found = [...document.querySelectorAll(arguments[0])]
          .find((one) => one.innerText.includes(arguments[1]));
        found?.click();
        return Boolean(found);
    """
    return bool(browser.execute_script(script, selector, text))


def upload(browser: Any, file: Path) -> None:
    """Choose a file, instead of the one that is there."""
    from selenium.common.exceptions import StaleElementReferenceException

    def sent() -> bool:
        try:
            (field,) = find(browser, "#upload input[type=file]")
            field.send_keys(str(file))
        # The page was still being drawn.
        except (StaleElementReferenceException, ValueError):
            return False
        return True

    if click(browser, "#upload button[aria-label='Clear']"):
        until(lambda: "appears here" in text_of(browser, "#answer"))
    until(sent)


def open_tab(browser: Any, name: str) -> None:
    until(lambda: click(browser, "button[role=tab]", name))


def pixels(browser: Any, selector: str) -> Array:
    """Return an embedded image exactly, uint8 ``[H, W, 3]``."""
    address = find(browser, selector)[0].get_attribute("src")
    content = base64.b64decode(address.split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def requested(browser: Any) -> set[str]:
    """Return every address that the browser has asked for."""
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }


_connections: list[str] = []
_watching = False


@contextmanager
def connections() -> Iterator[list[str]]:
    """Note where this process connects to, or what names it looks up."""
    global _watching
    if not _watching:
        # An audit hook can never be removed.
        sys.addaudithook(_note)
        _watching = True
    _connections.clear()
    yield _connections


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        _connections.append(str(arguments[1][0]))
    elif event == "socket.getaddrinfo":
        _connections.append(str(arguments[0]))
