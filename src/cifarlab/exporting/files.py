"""The exported files themselves, one function a format; nothing here compares or measures."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cifarlab.classifier import Classifier
from cifarlab.errors import UsageError
from cifarlab.exporting.single_model import deployable
from cifarlab.files import atomic_write
from cifarlab.lowering.model import lower
from cifarlab.saving.model_file import save_model

# ONNX's operators of this version are in every runtime of the last years.
OPSET = 17
INPUT, OUTPUT = "images", "probabilities"
RESIZE = "bicubic with antialiasing, as Pillow does it; the image is squashed to a square"


class _FromBytes(nn.Module):
    """uint8 ``[n, H, W, 3]`` in, float32 probabilities ``[n, K]`` out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = lower(deployable(classifier)).eval()

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.network(images.float())
        return probabilities


def write_keras(classifier: Classifier, path: Path) -> None:
    """Write ``.keras`` or ``.h5``, which plain Keras loads; see ``save_model`` for errors.

    Temperature and test-time augmentation are layers of the model, so what travels beside it
    names neither.
    """
    recipe = {**(classifier.recipe or {}), "tta": None}
    save_model(
        deployable(classifier),
        path,
        class_names=classifier.class_names,
        recipe=recipe,
        not_sure_below=classifier.not_sure_below,
    )


def write_torch(classifier: Classifier, path: Path) -> None:
    """Write a ``.pt2`` that ``torch.export.load`` reads without Keras or cifarlab."""
    module = _FromBytes(classifier).requires_grad_(False)
    example = torch.zeros(2, *classifier.input_shape, dtype=torch.uint8)
    with _quiet():
        program = torch.export.export(
            module, (example,), dynamic_shapes={INPUT: {0: torch.export.Dim("n", min=1)}}
        )
        file = io.BytesIO()
        notes = json.dumps(facts_of(classifier))
        torch.export.save(program, file, extra_files={"cifarlab.json": notes})
    atomic_write(path, lambda target: target.write(file.getvalue()))


def onnx_bytes(classifier: Classifier) -> bytes:
    """Return one self-contained ONNX file, any number of images a call, facts as metadata.

    Raises:
        UsageError: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise missing_packages() from error

    file = io.BytesIO()
    example = torch.zeros(2, *classifier.input_shape, dtype=torch.uint8)
    with _quiet():
        torch.onnx.export(
            _FromBytes(classifier).requires_grad_(False),
            (example,),
            file,  # type: ignore[arg-type]
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(file.getvalue())
    onnx.helper.set_model_props(model, {k: as_text(v) for k, v in facts_of(classifier).items()})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def facts_of(classifier: Classifier) -> dict[str, Any]:
    """Return what travels in an exported file beside the model, as plain JSON values."""
    return {
        "class_names": list(classifier.class_names),
        "not_sure_below": classifier.not_sure_below,
        "temperature": classifier.temperature,
        "views": classifier.tta and dataclasses.asdict(classifier.tta),
        "input_shape": list(classifier.input_shape),
        "pixels": "uint8, RGB, 0 to 255",
        "resize": RESIZE,
        "recipe": dict(classifier.recipe) if classifier.recipe else None,
        "made_with": f"cifarlab {importlib.metadata.version('cifarlab')}",
    }


def as_text(value: Any) -> str:
    """Return text as it is and any other value as JSON: ONNX metadata holds texts only."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def missing_packages() -> UsageError:
    return UsageError(
        "this format needs the packages onnx and onnxruntime, which are not installed; "
        "run: pip install 'cifarlab[onnx]'"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop advice for people who write exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
