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
from cifarlab.errors import InputError
from cifarlab.exporting.files import INPUT
from cifarlab.exporting.runners import Predict, batch_size

CALIBRATION_IMAGES = 512


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
    images = split.images
    size = batch_size(*images.shape[1:3])
    starts = range(0, len(images), size)
    exported = np.concatenate([predict(np.array(images[i : i + size])) for i in starts])
    expected = classifier.predict_split(split)
    return Loss(
        split=name,
        images=len(split),
        before=float((expected.predicted == split.labels).mean()),
        after=float((exported.argmax(1) == split.labels).mean()),
    )


def check_data(classifier: Classifier, data: Dataset) -> None:
    """Check that a dataset's images and classes are those of the classifier.

    Raises:
        InputError: they are not.
    """
    height, width, channels = wanted = classifier.input_shape
    found = tuple(data.train.images.shape[1:])
    if found != wanted:
        raise InputError(
            f"{data.name}: its images are {'x'.join(map(str, found))}; the model takes "
            f"{'x'.join(map(str, wanted))}: load them with image size {height}x{width} and "
            f"channels {'grey' if channels == 1 else 'rgb'}"
        )
    same = len(data.class_names) == len(classifier.class_names)
    if not same or (classifier.named and data.class_names != classifier.class_names):
        raise InputError(
            f"{data.name}: its classes are {', '.join(data.class_names)}; those of the model are "
            f"{', '.join(classifier.class_names)}: name the dataset that it was trained on"
        )


class _Images:
    """Gives onnxruntime the training images, one batch per call, then ``None``."""

    def __init__(self, split: Split) -> None:
        count = min(CALIBRATION_IMAGES, len(split))
        chosen = np.sort(np.random.default_rng(0).choice(len(split), count, replace=False))
        images = np.array(split.images[chosen])
        size = batch_size(*images.shape[1:3])
        self.batches = iter([images[i : i + size] for i in range(0, count, size)])

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
