"""The notebook runs top to bottom, and what is stored in it looks right."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

nbformat: Any = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

from tools.run_notebook import NOTEBOOK, run_notebook  # noqa: E402

# What has to be drawn: some images of each class, curves, samples, confusion matrix, mistakes,
# the upload.
IMAGES = 6


def outputs(notebook: Any) -> Iterator[Any]:
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def printed(notebook: Any) -> str:
    return "".join(o.text for o in outputs(notebook) if o.output_type == "stream")


def drawn(notebook: Any) -> list[Image.Image]:
    found = []
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            image = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
            image.load()
            found.append(image)
    return found


def looks_right(notebook: Any) -> None:
    assert not [o for o in outputs(notebook) if o.output_type == "error"]
    assert not [o for o in outputs(notebook) if o.get("name") == "stderr"]
    images = drawn(notebook)
    assert len(images) == IMAGES
    assert all(
        image.width > 300 and len(image.convert("RGB").getcolors(10**7)) > 50 for image in images
    )
    said = printed(notebook)
    assert re.search(r"\d\d\.\d\d% of [\d,]+ test images are right", said)
    assert said.count("plain Keras gives the same 256 answers: True") == 2


def test_it_runs_top_to_bottom_on_a_subset(tmp_path: Path) -> None:
    small = {"DATA": "shapes10", "EPOCHS": 1, "SUBSET": 1000}
    notebook = run_notebook(small, tmp_path)
    looks_right(notebook)
    (run,) = (tmp_path / "runs").iterdir()
    for name in ("best.keras", "best.h5", "model.onnx"):
        assert (run / name).stat().st_size > 100_000
    assert "model.onnx" in printed(notebook)


@pytest.mark.real
@pytest.mark.slow
def test_it_runs_on_a_subset_of_cifar10(
    tmp_path: Path, real_cifar10: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIFARLAB_DATA", str(real_cifar10))
    notebook = run_notebook({"EPOCHS": 1, "SUBSET": 2000}, tmp_path)
    looks_right(notebook)
    assert "airplane, automobile" in printed(notebook)


def test_what_is_stored_looks_right_and_is_not_cifar10() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    looks_right(notebook)
    assert "circle, square, triangle" in printed(notebook)
    assert "airplane" not in printed(notebook)
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert NOTEBOOK.stat().st_size < 1_500_000


def test_keras_is_imported_after_the_package_that_chooses_its_backend() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert code.index("import cifarlab") < code.index("import keras")


def test_no_place_of_the_machine_it_ran_on_is_stored() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.findall(r"(?:/home|/work|/tmp|/root|/Users|C:\\\\)[/\w.-]*", text)
