"""A folder that classifies images in any browser, without a server that computes.

May use files and errors.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifarlab.files import atomic_write, write_text

HERE = Path(__file__).parent
# The page; and onnxruntime-web, which runs the ONNX model in the browser. The images that people
# choose never leave their computer.
PAGE, RUNTIME = HERE / "site", HERE / "runtime"
# The runtime is stored packed, because it is six times as large unpacked.
PACKED = ".xz"
# For reading, not for the browser.
NOT_SERVED = ("README.md",)


def write_site(directory: Path, model: bytes, facts: Mapping[str, Any]) -> None:
    """Fill an empty directory.

    Args:
        model: ONNX, input ``images`` uint8 ``[n, H, W, C]``, output ``probabilities``.
        facts: what the page shows and needs: ``class_names``, ``not_sure_below``,
            ``input_shape``, ``resize_mode``, ``bits``, ``name``, ``accuracy`` (``value``, ``low``,
            ``high``, ``n``) and ``confusion``; the latter three may be missing.

    Raises:
        ResourceError: the disk is full or the directory cannot be written to.
    """
    for file in sorted(PAGE.iterdir()):
        _write(directory / file.name, file.read_bytes())
    (directory / "runtime").mkdir()
    for file in sorted(RUNTIME.iterdir()):
        if file.suffix == PACKED:
            _write(directory / "runtime" / file.stem, lzma.decompress(file.read_bytes()))
        elif file.name not in NOT_SERVED:
            _write(directory / "runtime" / file.name, file.read_bytes())
    _write(directory / "model.onnx", model)
    write_text(directory / "facts.json", json.dumps(facts, ensure_ascii=False))


def _write(path: Path, content: bytes) -> None:
    atomic_write(path, lambda file: file.write(content))
