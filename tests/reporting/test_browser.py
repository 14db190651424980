"""The page in a browser: no errors, no requests, and images behind every cell.

Needs Chromium, its driver and the Python package selenium; left out where they are not.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cifarlab.reporting.page import render
from reporting.test_page import full_content

webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@pytest.fixture(params=[1280, 390])
def browser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """The page of a made-up run, open, at the width of a desk and of a phone."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed")
    page = tmp_path / "report.html"
    page.write_text(render(full_content()), encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    size = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def find(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def test_it_makes_no_request_and_no_error(browser: Any) -> None:
    messages = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith("data:")} == {browser.current_url}
    assert browser.get_log("browser") == []


def test_nothing_is_wider_than_the_screen(browser: Any) -> None:
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_a_cell_shows_its_images_by_click_and_by_keyboard(browser: Any) -> None:
    data = json.loads(find(browser, "#data")[0].get_attribute("textContent"))
    row, column = next(k for k in data["cells"] if k.split(",")[0] != k.split(",")[1]).split(",")
    cell = find(browser, f'[data-cell="{row},{column}"]')[0]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    panel = find(browser, "#cell")[0]
    assert panel.is_displayed()
    assert f"class {row} predicted as class {column}" in panel.text
    assert len(find(browser, "#cell .pic")) == len(data["cells"][f"{row},{column}"])
    cell.send_keys("\ue014")
    assert browser.switch_to.active_element.get_attribute("data-cell") != f"{row},{column}"
    browser.switch_to.active_element.send_keys("\ue007")
    assert find(browser, "[data-cell][aria-pressed]") == [browser.switch_to.active_element]


def test_the_table_sorts_both_ways(browser: Any) -> None:
    def recalls() -> list[float]:
        rows = find(browser, ".sortable tbody tr td:nth-child(3) data")
        return [float(cell.get_attribute("value")) for cell in rows]

    heading = find(browser, ".sortable th:nth-child(3) button")[0]
    for reverse in (True, False):
        browser.execute_script("arguments[0].click()", heading)
        assert recalls() == sorted(recalls(), reverse=reverse)
