"""ONNX in 8-bit integers: smaller, mostly faster, at a small loss of accuracy, measured here."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.exporting.files import INPUT
from cifarlab.exporting.runners import Predict

CALIBRATION_IMAGES = 512
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The accuracy lost by rounding to 8 bits.

    Attributes:
        split: of the dataset.
        images: how many.
        before, after: accuracy of the classifier and of the exported model; 0 to 1.
    """

    split: str
    images: int
    before: float
    after: float

    @property
    def points(self) -> float:
        """Percentage points lost; negative when it got better."""
        return 100 * (self.before - self.after)


def int8(model: bytes, data: Dataset) -> bytes:
    """Return the ONNX model with convolutions in 8 bits, scales chosen on training images.

    Weights have a scale for each filter. The first convolution, which sees the pixels, and the
    last layer stay as they are: they are small, and rounding them costs most.

    The packages onnx and onnxruntime must be installed.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization import preprocess

    reader = _Images(data.train)
    level = logging.getLogger().level
    with tempfile.TemporaryDirectory(prefix="cifarlab-") as folder:
        original, prepared = Path(folder) / "original", Path(folder) / "prepared"
        quantized = Path(folder) / "quantized"
        original.write_bytes(model)
        preprocess.quant_pre_process(original, prepared)
        logging.getLogger().setLevel(logging.ERROR)
        try:
            quantization.quantize_static(
                prepared,
                quantized,
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_on_pixels(onnx.load(prepared)),
            )
        finally:
            logging.getLogger().setLevel(level)
        return quantized.read_bytes()


def measure_loss(predict: Predict, classifier: Classifier, split: Split, name: str) -> Loss:
    """Measure both on labelled images."""
    images = np.array(split.images)
    starts = range(0, len(images), BATCH)
    exported = np.concatenate([predict(images[start : start + BATCH]) for start in starts])
    expected = classifier.predict_split(split)
    return Loss(
        split=name,
        images=len(split),
        before=float((expected.predicted == split.labels).mean()),
        after=float((exported.argmax(1) == split.labels).mean()),
    )


class _Images:
    """Gives onnxruntime the training images, one batch per call, then ``None``."""

    def __init__(self, split: Split) -> None:
        count = min(CALIBRATION_IMAGES, len(split))
        chosen = np.sort(np.random.default_rng(0).choice(len(split), count, replace=False))
        images = np.array(split.images[chosen])
        self.batches = iter([images[i : i + BATCH] for i in range(0, count, BATCH)])

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def _on_pixels(model: Any) -> list[str]:
    """Return the names of the convolutions that come before all others."""
    from_convolution: set[str] = set()
    first = []
    for node in model.graph.node:
        after = any(name in from_convolution for name in node.input)
        if node.op_type == "Conv" and not after:
            first.append(node.name)
        if after or node.op_type == "Conv":
            from_convolution.update(node.output)
    return first
