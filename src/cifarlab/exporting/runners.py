"""Exported files run by the programs that others will run them with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cifarlab.backend import keras
from cifarlab.exporting.files import INPUT

# uint8 [N, H, W, C] in, float32 [N, K] out.
Predict = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]
BATCH, SIDE = 64, 64


def batch_size(height: int, width: int) -> int:
    """Return how many images go into one call: 64, or fewer that take no more memory than 64x64.

    Example:
        >>> batch_size(32, 32), batch_size(256, 256)
        (64, 4)
    """
    return max(1, min(BATCH, BATCH * SIDE * SIDE // (height * width)))


def plain_keras(path: Path) -> Predict:
    """Run a ``.keras`` or ``.h5`` file with Keras alone."""
    model = keras.saving.load_model(path, compile=False)
    return lambda images: np.asarray(model.predict(images.astype("float32"), verbose=0))


def plain_torch(path: Path) -> Predict:
    """Run a ``.pt2`` file with PyTorch alone."""
    program: Any = torch.export.load(path).module()

    def predict(images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        with torch.inference_mode():
            return np.asarray(program(torch.from_numpy(images)).numpy())

    return predict


def onnxruntime(model: Path | bytes) -> Predict:
    """Run an ONNX file with onnxruntime, which must be installed, on as many threads as PyTorch."""
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )
    return lambda images: np.asarray(session.run(None, {INPUT: images})[0])
