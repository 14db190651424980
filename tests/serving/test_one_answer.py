"""One image, one answer: from the library, the command line, REST, the page, ONNX, a browser."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
import torch
from starlette.testclient import TestClient

from cifarlab.classifier import Classifier
from cifarlab.data.image import decode_as, decode_image, read_image
from cifarlab.data.image_format import RESIZE_MODES
from cifarlab.exporting import FORMATS, export, runners
from cifarlab.exporting.parity import comparison_images
from cifarlab.serving.app import create_app
from cifarlab.serving.options import ServeOptions
from cifarlab.serving.page.answer import explain_file
from serving.conftest import wait_until_ready
from serving.page.steps import chromium, find, pixels, png, served, text_of, until, upload
from shaped import CASES, NAMES, Case, shaped_classifier

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
            same(on_the_page(browser, address, image), expected, SHOWN)


def on_the_page(browser: Any, address: str, image: Path) -> dict[str, float]:
    browser.get(address)
    until(lambda: find(browser, "#upload input[type=file]"))
    upload(browser, image)
    until(lambda: find(browser, "#answer .bars"))
    rows = text_of(browser, "#answer .bars").strip().split("\n")
    shares = dict(zip(rows[::2], rows[1::2], strict=True))
    return {name: float(share.rstrip("%")) / 100 for name, share in shares.items()}


# --- other inputs than 32x32 RGB; the folder for browsers is in exporting/web/test_site.py


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def classifier(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return shaped_classifier(case.image_format, tmp_path_factory.mktemp("shaped"))


@pytest.fixture(scope="module")
def file(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "image.png"
    path.write_bytes(case.content)
    return path


@pytest.fixture(scope="module")
def answer(case: Case, classifier: Classifier) -> dict[str, float]:
    """What the Keras model itself says of the pixels that it must be shown."""
    shown = case.pixels[None].astype("float32")
    return named(classifier.model.predict(shown, verbose=0)[0])


def named(probabilities: Any) -> dict[str, float]:
    return dict(zip(NAMES, map(float, probabilities), strict=True))


def test_only_the_models_own_options_give_the_answer(
    case: Case, classifier: Classifier, answer: dict[str, float]
) -> None:
    """Else the tests below would show nothing."""
    wanted = case.image_format
    others = [replace(wanted, resize_mode=mode) for mode in RESIZE_MODES]
    if wanted.bits != 16:
        others.append(replace(wanted, bits=16))
    for other in others:
        if other != wanted:
            probabilities = classifier.predict_proba(
                decode_as(other, case.content, name="image")[None]
            )
            assert np.abs(probabilities[0] - list(answer.values())).max() > 10 * EXACT


def test_of_any_input_by_the_library(
    classifier: Classifier, file: Path, answer: dict[str, float]
) -> None:
    same(dict(classifier.predict(file).top(9)[0]), answer, EXACT)


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_of_any_input_in_a_keras_file(
    tmp_path: Path,
    format: str,
    case: Case,
    classifier: Classifier,
    file: Path,
    answer: dict[str, float],
) -> None:
    path = export(classifier, format, tmp_path / f"model{FORMATS[format]}").path
    same(named(runners.plain_keras(path)(case.pixels[None])[0]), answer, EXACT)
    same(dict(Classifier.load(path, "cpu").predict(file).top(9)[0]), answer, EXACT)


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_of_any_input_by_nothing_but_the_facts_in_the_file(
    tmp_path: Path, format: str, case: Case, classifier: Classifier, answer: dict[str, float]
) -> None:
    path = export(classifier, format, tmp_path / f"model{FORMATS[format]}").path
    run = runners.onnxruntime if format == "onnx" else runners.plain_torch
    facts = facts_in(path, format)
    height, width, channels = facts["input_shape"]
    pixels = decode_image(
        case.content,
        name="image",
        size=(height, width),
        channels=channels,
        resize_mode=facts["resize_mode"],
        bits=facts["bits"],
    )
    same(named(run(path)(pixels[None])[0]), answer, EXACT)
    colours = "grey" if channels == 1 else "RGB"
    assert facts["pixels"] == f"uint8, {colours}, 0 to 255; {height} high, {width} wide"
    assert f"{width} wide and {height} high" in facts["resize"]
    assert ("make it grey" in facts["resize"]) == (channels == 1)


def facts_in(path: Path, format: str) -> dict[str, Any]:
    """Return what an ONNX or a PyTorch file says of itself."""
    if format == "torch":
        extra = {"cifarlab.json": ""}
        torch.export.load(path, extra_files=extra)
        return dict(json.loads(extra["cifarlab.json"]))
    texts = ("pixels", "resize", "resize_mode", "made_with")
    properties = {one.key: one.value for one in onnx.load(path).metadata_props}
    return {key: one if key in texts else json.loads(one) for key, one in properties.items()}


def test_of_any_input_through_rest_and_the_open_protocol(
    case: Case, classifier: Classifier, file: Path, answer: dict[str, float]
) -> None:
    wanted = case.image_format
    options = ServeOptions(name="shaped", page=False)
    with TestClient(create_app(options, lambda: classifier)) as client:
        wait_until_ready(client)
        files = [("images", ("image.png", file.read_bytes()))]
        (row,) = client.post("/predict?top=9", files=files).json()["predictions"]
        same(by_class(row["top"]), answer, EXACT)
        # A request may still ask for another one.
        for mode in RESIZE_MODES:
            (row,) = client.post(f"/predict?top=9&resize_mode={mode}", files=files).json()[
                "predictions"
            ]
            other = classifier.predict(file, resize_mode=mode).top(9)[0]
            same(by_class(row["top"]), dict(other), EXACT)
        facts = client.get("/v2/models/shaped").json()
        assert facts["inputs"][0]["shape"] == [-1, *wanted.shape]
        assert facts["properties"]["resize_mode"] == wanted.resize_mode
        assert facts["properties"]["bits"] == str(wanted.bits)
        tensor = {"name": "images", "datatype": "UINT8", "shape": [1, *wanted.shape]}
        tensor["data"] = case.pixels.tolist()
        reply = client.post("/v2/models/shaped/infer", json={"inputs": [tensor]}).json()
        same(named(reply["outputs"][0]["data"]), answer, EXACT)
        swapped = {**tensor, "shape": [1, wanted.width + 1, wanted.height, wanted.channels]}
        refused = client.post("/v2/models/shaped/infer", json={"inputs": [swapped]})
        assert f"UINT8 [n, {', '.join(map(str, wanted.shape))}]" in refused.json()["error"]


def test_of_any_input_in_what_the_page_shows(
    case: Case, classifier: Classifier, answer: dict[str, float]
) -> None:
    explained = explain_file(classifier, threading.Lock(), case.content, "image.png")
    same(dict(explained.predictions.top(9)[0]), answer, EXACT)
    assert np.array_equal(explained.image, case.pixels)


@pytest.mark.slow
def test_of_any_input_on_the_page(
    case: Case, classifier: Classifier, file: Path, answer: dict[str, float]
) -> None:
    app = create_app(ServeOptions(name="shaped"), lambda: classifier)
    with served(app) as address, chromium() as browser:
        until(lambda: httpx.get(f"{address}v2/health/ready").status_code == 200)
        same(on_the_page(browser, address, file), answer, SHOWN)
        seen = pixels(browser, "#answer .seen img")
        assert np.array_equal(seen, np.broadcast_to(case.pixels, seen.shape))
