"""Run the notebook top to bottom, and keep what it printed and drew.

Command: ``python -m tools.run_notebook``. It runs in a folder of its own on ``shapes10``, because
images of CIFAR-10 must not be stored, and writes the outputs into the notebook.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "cifar10_cnn.ipynb"
SECONDS = 600


def run_notebook(parameters: Mapping[str, Any], folder: Path) -> Any:
    """Return the notebook as executed in ``folder``, outputs and all.

    Args:
        parameters: set after the cell that is tagged ``parameters``, as papermill does.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    tagged = [i for i, cell in enumerate(notebook.cells) if "parameters" in _tags(cell)]
    notebook.cells.insert(tagged[0] + 1, _injected(code))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=SECONDS, resources=resources, coalesce_streams=True).execute()
    notebook.cells = [cell for cell in notebook.cells if "injected-parameters" not in _tags(cell)]
    return notebook


def main() -> int:
    """Renew the outputs that are stored."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = run_notebook({"DATA": "shapes10", "EPOCHS": 10}, Path(folder))
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, start=1):
        # Without the times, and numbered as if nothing had been injected.
        cell.metadata.pop("execution", None)
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = _smaller(output.data["image/png"])
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes")
    return 0


def _smaller(png: str) -> str:
    """Return an image in 256 colours, so that the notebook stays small."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB").quantize(256)
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", ()))


def _injected(code: str) -> Any:
    return nbformat.v4.new_code_cell(code, metadata={"tags": ["injected-parameters"]})


if __name__ == "__main__":
    sys.exit(main())
