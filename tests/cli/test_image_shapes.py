"""Images of other shapes than 32x32 RGB, from a folder of files to every surface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from cifarlab.classifier import Classifier
from cifarlab.data.image import read_as
from cifarlab.exporting import FORMATS, runners
from cifarlab.runs.record import dataset_of
from cifarlab.serving.app import create_app
from cifarlab.serving.options import ServeOptions
from cifarlab.serving.page.answer import explain_file

EXACT = 1e-4
# Enough steps for a run to be killed in the middle.
EPOCHS = 40


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Files of one shape, and how they are read."""

    stored: tuple[int, ...]
    options: tuple[str, ...]
    seen: tuple[int, int, int]


SHAPES = {
    "28x28 grey": Shape(stored=(28, 28), options=(), seen=(28, 28, 1)),
    "32x64": Shape(
        stored=(40, 60, 3),
        options=("--image-size", "32x64", "--resize-mode", "pad"),
        seen=(32, 64, 3),
    ),
    "64x64": Shape(stored=(64, 64, 3), options=(), seen=(64, 64, 3)),
}


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run, the images that it was trained on, and one more."""

    run: Path
    photos: Path
    image: Path
    shape: Shape


def write_images(root: Path, shape: tuple[int, ...]) -> Path:
    draws = np.random.default_rng(0)
    for kind, name in enumerate(("dark", "middle", "bright")):
        (root / name).mkdir(parents=True)
        for number in range(30):
            pixels = draws.normal(50 + 70 * kind, 40, shape).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cifarlab", *map(str, arguments)]


def killed(run: Path, arguments: list[str], environment: dict[str, str]) -> None:
    """Start a training and kill it once it has saved a checkpoint."""
    process = subprocess.Popen(
        arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not any((run / "checkpoint").glob("*")):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not (run / "metrics.json").exists()


# The first alone is quick enough for every run of the tests.
PARAMETERS = ["28x28 grey", *(pytest.param(n, marks=pytest.mark.slow) for n in ("32x64", "64x64"))]


@pytest.fixture(scope="module", params=PARAMETERS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained, killed, and resumed."""
    shape = SHAPES[request.param]
    place = tmp_path_factory.mktemp("shapes")
    photos = write_images(place / "photos", shape.stored)
    run = place / "run"
    environment = {**os.environ, "CIFARLAB_CACHE": str(place / "cache")}
    options = ["--data", photos, *shape.options, "--epochs", EPOCHS, "-o", run, "--no-report"]
    killed(run, command("train", "baseline", *options), environment)
    subprocess.run(command("train", "--resume", run), env=environment, check=True)
    return Trained(run=run, photos=photos, image=photos / "middle" / "3.png", shape=shape)


@pytest.fixture(scope="module")
def expected(trained: Trained) -> np.ndarray[Any, Any]:
    """The probabilities that the library gives for one image."""
    return Classifier.load(trained.run, "cpu").predict(trained.image).probabilities[0]


@pytest.fixture
def own_cache(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIFARLAB_CACHE", str(trained.run.parent / "cache"))


@pytest.mark.usefixtures("own_cache")
def test_a_resumed_run_is_complete_and_reports_its_own_data(trained: Trained, cifarlab) -> None:
    assert Classifier.load(trained.run, "cpu").input_shape == trained.shape.seen
    assert dataset_of(trained.run).train.images.shape[1:] == trained.shape.seen
    assert (trained.run / "report.html").stat().st_size > 10_000
    assert cifarlab("report", trained.run).code == 0


@pytest.mark.usefixtures("own_cache")
def test_it_is_evaluated_on_the_split_that_it_was_measured_on(trained: Trained, cifarlab) -> None:
    recorded = json.loads((trained.run / "metrics.json").read_text())["test"]
    for model in (trained.run, trained.run / "best.keras"):
        found = json.loads(cifarlab("evaluate", model, "--data", trained.photos, "--json").out)
        assert (found["accuracy"], found["n"]) == (recorded["accuracy"], recorded["n"])


def test_it_predicts_on_the_command_line(trained: Trained, expected, cifarlab) -> None:
    found = cifarlab("predict", trained.image, "--model", trained.run, "--json")
    (row,) = json.loads(found.out)["predictions"]
    assert sorted(one["probability"] for one in row["top"]) == pytest.approx(
        sorted(expected.tolist()), abs=EXACT
    )


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("format", FORMATS)
def test_every_export_gives_the_same(
    trained: Trained, expected, format: str, tmp_path: Path, cifarlab
) -> None:
    path = tmp_path / f"out{FORMATS[format]}"
    done = cifarlab("export", trained.run, "-f", format, "-o", path)
    assert done.code == 0, done.err
    classifier = Classifier.load(trained.run, "cpu")
    pixels = read_as(classifier.image_format, trained.image)[None]
    run = {
        "keras": runners.plain_keras,
        "h5": runners.plain_keras,
        "torch": runners.plain_torch,
    }.get(format, runners.onnxruntime)
    model = path / "model.onnx" if format == "web" else path
    # In 8 bits probabilities are near, not the same.
    within = 0.2 if format == "onnx-int8" else EXACT
    assert np.abs(run(model)(pixels)[0] - expected).max() < within


def test_rest_and_the_page_give_the_same(trained: Trained, expected) -> None:
    names = Classifier.load(trained.run, "cpu").class_names
    with TestClient(create_app(ServeOptions(model=str(trained.run), page=False))) as client:
        files = [("images", ("image.png", trained.image.read_bytes()))]
        deadline = time.monotonic() + 60
        while client.get("/v2/health/ready").status_code != httpx.codes.OK:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (row,) = client.post("/predict?top=3", files=files).json()["predictions"]
    found = {one["class"]: one["probability"] for one in row["top"]}
    assert [found[name] for name in names] == pytest.approx(expected.tolist(), abs=EXACT)
    content = trained.image.read_bytes()
    shown = explain_file(Classifier.load(trained.run, "cpu"), threading.Lock(), content, "3.png")
    assert shown.predictions.probabilities[0] == pytest.approx(expected, abs=EXACT)
    assert shown.image.shape == trained.shape.seen
