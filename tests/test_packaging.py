"""The wheel: everything is inside, and it works without the checkout.

It is built once, without a network, installed into a folder, and used from another one by a Python
that cannot see the checkout.
"""

from __future__ import annotations

import email.message
import email.parser
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cifarlab

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    *("backbones", "bench", "dev", "docs", "heic", "hub"),
    *("mlflow", "onnx", "serve", "tensorboard", "wandb"),
}

# What the program reads at run time.
DATA = (
    "py.typed",
    "saving/weights/cifar10.safetensors",
    "exporting/web/runtime/LICENSE",
    "exporting/web/runtime/ThirdPartyNotices.txt.xz",
    "exporting/web/runtime/ort.wasm.min.mjs",
    "exporting/web/runtime/ort-wasm-simd-threaded.mjs",
    "exporting/web/runtime/ort-wasm-simd-threaded.wasm.xz",
    "exporting/web/site/index.html",
    "reporting/template/page.html",
    "reporting/template/page.js",
    "reporting/template/style.css",
    "serving/page/page.css",
)
# Imported before everything else: hides the checkout, which the test's own environment has as an
# editable install, and whatever ``HIDDEN`` names, as if it were not installed.
STARTED = """
import os, sys
from importlib.machinery import PathFinder
here, hidden = os.environ["WITHOUT"], os.environ["HIDDEN"].split()
sys.path[:] = [path for path in sys.path if not path.startswith(here)]
class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)
sys.meta_path[:] = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
"""
RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import {module} as first
sys.argv[1:] = sys.argv[2:]
import cifarlab
assert cifarlab.__file__.startswith(sys.path[0]), cifarlab.__file__
from cifarlab.cli.main import entry
entry()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build", reason="build is not installed")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-compile", "--disable-pip-version-check", "--target", str(target), str(wheel)]
    made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert made.returncode == 0, made.stdout + made.stderr
    return target


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        return email.parser.Parser().parsestr(archive.read(name).decode())


def run(
    installed: Path, folder: Path, *arguments: str, hidden: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``cifarlab`` as installed, in ``folder``, without the packages named in ``hidden``."""
    (folder / "started.py").write_text(STARTED, encoding="utf-8")
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CIFARLAB_"))}
    child = {**keep, "WITHOUT": str(ROOT / "src"), "HIDDEN": hidden, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-P", "-c", RUN.format(module="started"), str(installed), *arguments],
        cwd=folder,
        env=child,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_every_file_that_is_read_at_run_time_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {i.filename: i.file_size for i in archive.infolist()}
    for name in DATA:
        assert inside.get(f"cifarlab/{name}", 0) > 0 or name == "py.typed", name
    assert "cifarlab/py.typed" in inside
    # And all others that lie in the package.
    package = ROOT / "src" / "cifarlab"
    here = {
        f"cifarlab/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here <= set(inside)
    # Nothing but the package.
    tops = {name.split("/")[0] for name in inside}
    assert tops == {"cifarlab", f"cifarlab-{cifarlab.__version__}.dist-info"}


def test_the_metadata_say_what_it_is(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "cifarlab"
    assert metadata["Version"] == cifarlab.__version__
    assert metadata["License-Expression"] == "MIT"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    urls = [url.split(", ")[0] for url in metadata.get_all("Project-URL")]
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(urls)
    classifiers = metadata.get_all("Classifier")
    for start in ("Development Status ::", "Operating System ::", "Programming Language :: Python"):
        assert [c for c in classifiers if c.startswith(start)], start
    for version in ("3.11", "3.12", "3.13"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS


def test_the_version_is_written_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    released = re.findall(r"^## (\d\S*) - (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {released[0][0]}\ndate-released: {released[0][1]}\n" in citation


def test_every_extra_is_pinned_where_make_installs_it() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    pinned = set(re.findall(r"^([\w.-]+)==", pins, re.M))
    extras = PROJECT["optional-dependencies"]
    lines = [
        *PROJECT["dependencies"],
        *(line for x in ("dev", "docs", "bench") for line in extras[x]),
    ]
    names = {re.split(r"[\[<>=!;]", line, maxsplit=1)[0].strip().lower() for line in lines}
    assert names - {"cifarlab"} <= pinned


@pytest.mark.timeout(150)
def test_the_pretrained_model_predicts_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "drawn.png")

    # Without any extra: as after a plain ``pip install``.
    done = run(
        installed, tmp_path, "predict", "drawn.png", "--json", hidden="onnx onnxruntime gradio jax"
    )

    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)["predictions"]
    assert 0 < answer["top"][0]["probability"] <= 1


@pytest.mark.parametrize(
    ("arguments", "hidden", "extra"),
    [
        (["serve"], "fastapi uvicorn gradio", "serve"),
        (["export", "cifar10", "--format", "onnx"], "onnx onnxruntime", "onnx"),
        (["train", "--data", "shapes10", "--track", "mlflow"], "mlflow", "mlflow"),
    ],
    ids=["serve", "export", "track"],
)
@pytest.mark.timeout(150)
def test_a_missing_extra_is_one_line_with_the_remedy(
    installed: Path, tmp_path: Path, arguments: list[str], hidden: str, extra: str
) -> None:
    done = run(installed, tmp_path, *arguments, hidden=hidden)

    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.strip().splitlines()
    assert f"pip install 'cifarlab[{extra}]' (from a checkout: pip install '.[{extra}]')" in last
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
