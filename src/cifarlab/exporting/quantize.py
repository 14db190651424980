"""ONNX in 8-bit integers: smaller and mostly faster, at a small loss that is measured."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.exporting.files import INPUT, missing_packages
from cifarlab.exporting.runners import Predict

CALIBRATION_IMAGES = 512
BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What rounding to 8 bits cost.

    Attributes:
        split: of the data set.
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

    Raises:
        UsageError: the packages onnx or onnxruntime are not installed.
    """
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization import preprocess
    except ImportError as error:
        raise missing_packages() from error

    reader = _Images(data.train)
    loudness = logging.getLogger().level
    with tempfile.TemporaryDirectory(prefix="cifarlab-") as folder:
        given, ready, done = (Path(folder) / name for name in ("given", "ready", "done"))
        given.write_bytes(model)
        preprocess.quant_pre_process(given, ready)
        logging.getLogger().setLevel(logging.ERROR)
        try:
            quantization.quantize_static(
                ready,
                done,
                reader,
                quant_format=quantization.QuantFormat.QDQ,
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=_on_pixels(onnx.load(ready)),
            )
        finally:
            logging.getLogger().setLevel(loudness)
        return done.read_bytes()


def measure_loss(predict: Predict, classifier: Classifier, split: Split, name: str) -> Loss:
    """Measure both on labelled images."""
    images = np.array(split.images)
    starts = range(0, len(images), BATCH)
    found = np.concatenate([predict(images[start : start + BATCH]) for start in starts])
    expected = classifier.predict_split(split)
    return Loss(
        split=name,
        images=len(split),
        before=float((expected.predicted == split.labels).mean()),
        after=float((found.argmax(1) == split.labels).mean()),
    )


class _Images:
    """Hands onnxruntime the training images, a batch a call; it asks until there is ``None``."""

    def __init__(self, split: Split) -> None:
        count = min(CALIBRATION_IMAGES, len(split))
        chosen = np.sort(np.random.default_rng(0).choice(len(split), count, replace=False))
        images = np.array(split.images[chosen])
        self.batches = iter([images[i : i + BATCH] for i in range(0, count, BATCH)])

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def _on_pixels(model: Any) -> list[str]:
    """Return the names of the convolutions that no other one comes before."""
    from_convolution: set[str] = set()
    first = []
    for node in model.graph.node:
        after = any(name in from_convolution for name in node.input)
        if node.op_type == "Conv" and not after:
            first.append(node.name)
        if after or node.op_type == "Conv":
            from_convolution.update(node.output)
    return first
