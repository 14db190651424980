"""What the tests of the command line share: a way to run it, images, and one trained run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cifarlab import recipes
from cifarlab.cli.main import main
from cifarlab.data import image
from cifarlab.data.named import download
from cifarlab.errors import NetworkError
from cifarlab.recipes.parts import Constant, ModelSpec
from tiny import tiny_recipe

CLASSES = ("blue", "green", "red")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    def failure(self) -> str:
        """Return the one line that an error takes on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("cifarlab: error: ")
        assert "Traceback" not in self.out
        return lines[0]


Run = Callable[..., Result]


def write_images(folder: Path, each: int = 20) -> Path:
    """Write ``each`` noisy images for each class, which the channels tell apart."""
    generator = np.random.default_rng(0)
    for kind, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            pixels = generator.integers(0, 90, (20, 28, 3))
            pixels[..., 2 - kind] += 120
            drawn = Image.fromarray(pixels.astype(np.uint8))
            drawn.save(folder / name / f"{number:02d}.png")
    return folder


def _isolate(patch: pytest.MonkeyPatch, place: Path) -> None:
    def refuse(*_: object, **__: object) -> Path:
        raise NetworkError("https://example.org/data: the tests refuse; try again later")

    patch.setenv("CIFARLAB_CACHE", str(place / "own-cache"))
    patch.setenv("COLUMNS", "80")
    patch.delenv("CIFARLAB_DATA", raising=False)
    patch.setattr(download, "fetch", refuse)
    small = ModelSpec(name="baseline", arguments={"filters": [8, 8], "units": 32})
    tiny = tiny_recipe(model=small, augment=(), epochs=2, stop=None, schedule=Constant())
    patch.setitem(recipes.RECIPES, "baseline", tiny)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test has its own current directory and cache, no network and a tiny baseline."""
    _isolate(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    before = logging.getLogger("absl").level
    yield
    logging.getLogger("absl").setLevel(before)


@pytest.fixture
def cifarlab(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command within this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        with warnings.catch_warnings():
            # As outside a test, where Python keeps these to itself.
            warnings.simplefilter("default")
            warnings.simplefilter("ignore", DeprecationWarning)
            code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Result(code=code, out=out, err=err)

    return run


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, a subfolder a class."""
    return write_images(tmp_path_factory.mktemp("data") / "photos")


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[int], Path]:
    """Make a folder like the photos, with that many images more that are none."""

    def make(count: int) -> Path:
        folder = write_images(tmp_path / f"broken-{count}")
        for number in range(count):
            (folder / "red" / f"bad{number}.png").write_text("<html>")
        return folder

    return make


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of every image that is decoded from here on, as often as it is."""
    names: list[str] = []
    decode = image.decode_details

    def counting(data: bytes, *, name: str, **options: Any) -> Any:
        names.append(name)
        return decode(data, name=name, **options)

    monkeypatch.setattr(image, "decode_details", counting)
    return names


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """The run directory of ``cifarlab train`` on the photos."""
    place = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        _isolate(patch, place)
        os.chdir(place)
        try:
            options = ["--epochs", "12", "-b", "8", "--lr", "0.003"]
            assert main(["train", "--data", str(photos), *options]) == 0
        finally:
            os.chdir(before)
    return place / "runs" / "baseline-1"
