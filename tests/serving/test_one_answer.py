"""One image, one answer: from the library, the command line, REST, the page, ONNX, a browser."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from cifarlab.classifier import Classifier
from cifarlab.data.image import read_image
from cifarlab.exporting import export, runners
from cifarlab.exporting.parity import comparison_images
from cifarlab.serving.app import create_app
from cifarlab.serving.options import ServeOptions
from serving.page.steps import chromium, find, png, served, text_of, until, upload

EXACT, SHOWN = 1e-4, 1e-3


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one") / "image.png"
    path.write_bytes(png(comparison_images((48, 70), 8)[3]))
    return path


@pytest.fixture(scope="module")
def expected(image: Path) -> dict[str, float]:
    return dict(Classifier.pretrained("cpu").predict(image).top(10)[0])


def same(actual: dict[str, float], expected: dict[str, float], within: float) -> None:
    assert max(actual, key=actual.__getitem__) == max(expected, key=expected.__getitem__)
    for name, probability in actual.items():
        assert probability == pytest.approx(expected[name], abs=within), name


def by_class(top: list[dict[str, Any]]) -> dict[str, float]:
    return {one["class"]: one["probability"] for one in top}


def test_on_the_command_line(image: Path, expected: dict[str, float]) -> None:
    command = [sys.executable, "-m", "cifarlab", "predict", str(image), "--model", "cifar10"]
    done = subprocess.run(
        [*command, "--top", "10", "--json"], capture_output=True, text=True, check=True
    )
    (row,) = json.loads(done.stdout)["predictions"]
    same(by_class(row["top"]), expected, EXACT)


def test_in_onnx(tmp_path: Path, image: Path, expected: dict[str, float]) -> None:
    classifier = Classifier.pretrained("cpu")
    predict = runners.onnxruntime(export(classifier, "onnx", tmp_path / "m.onnx").path)
    actual = predict(read_image(image)[None])[0]
    same(dict(zip(classifier.class_names, map(float, actual), strict=True)), expected, EXACT)


def test_through_rest_and_on_the_page(image: Path, expected: dict[str, float]) -> None:
    with served(create_app(ServeOptions())) as address:
        until(lambda: httpx.get(f"{address}v2/health/ready").status_code == 200)
        files = [("images", ("image.png", image.read_bytes()))]
        answer = httpx.post(f"{address}predict?top=10", files=files).json()
        same(by_class(answer["predictions"][0]["top"]), expected, EXACT)
        tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 32, 32, 3]}
        tensor["data"] = np.ravel(read_image(image)).tolist()
        reply = httpx.post(f"{address}v2/models/cifar10/infer", json={"inputs": [tensor]}).json()
        names = Classifier.pretrained("cpu").class_names
        same(dict(zip(names, reply["outputs"][0]["data"], strict=True)), expected, EXACT)
        with chromium() as browser:
            browser.get(address)
            until(lambda: find(browser, "#upload input[type=file]"))
            upload(browser, image)
            until(lambda: find(browser, "#answer .bars"))
            words = text_of(browser, "#answer .bars").split()
            shown = {
                name: float(share.rstrip("%")) / 100
                for name, share in zip(words[::2], words[1::2], strict=True)
            }
            same(shown, expected, SHOWN)
