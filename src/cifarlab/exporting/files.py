"""The exported files themselves, one function per format; nothing here compares or measures."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cifarlab.classifier import Classifier
from cifarlab.exporting.operators import more_operators
from cifarlab.exporting.preparing import preparation
from cifarlab.exporting.single_model import single_model
from cifarlab.exporting.tracing import EXAMPLE_IMAGES, ConstantSizes, quiet, traceable, unrolled
from cifarlab.files import atomic_write
from cifarlab.lowering.model import lower
from cifarlab.saving.model_file import save_model

# Every runtime of recent years supports ONNX's operators of this version.
OPSET = 17
INPUT, OUTPUT = "images", "probabilities"


class _FromBytes(nn.Module):
    """uint8 ``[n, H, W, C]`` in, float32 probabilities ``[n, K]`` out."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = lower(single_model(classifier)).eval()

    def forward(self, images: Tensor) -> Tensor:
        probabilities: Tensor = self.network(images.float())
        return probabilities


def write_keras(classifier: Classifier, path: Path) -> None:
    """Write ``.keras`` or ``.h5``, which plain Keras loads; see ``save_model`` for errors.

    Temperature and test-time augmentation are layers of the model, so the recipe beside it names
    neither.
    """
    recipe = {**(classifier.recipe or {}), "tta": None}
    save_model(
        single_model(classifier),
        path,
        class_names=classifier.class_names,
        recipe=recipe,
        not_sure_below=classifier.not_sure_below,
        resize_mode=classifier.resize_mode,
        bits=classifier.bits,
    )


def write_torch(classifier: Classifier, path: Path) -> None:
    """Write a ``.pt2`` that ``torch.export.load`` reads without Keras or cifarlab."""
    module = _FromBytes(classifier).requires_grad_(False)
    example = torch.zeros(EXAMPLE_IMAGES, *classifier.input_shape, dtype=torch.uint8)
    with quiet(), traceable(module.network), unrolled(module.network):
        program = torch.export.export(
            module, (example,), dynamic_shapes={INPUT: {0: torch.export.Dim("n", min=1)}}
        )
        file = io.BytesIO()
        notes = json.dumps(facts_of(classifier))
        torch.export.save(program, file, extra_files={"cifarlab.json": notes})
    atomic_write(path, lambda target: target.write(file.getvalue()))


def onnx_bytes(classifier: Classifier) -> bytes:
    """Return one self-contained ONNX file, any number of images per call, facts as metadata.

    The package onnx must be installed.
    """
    import onnx

    file = io.BytesIO()
    example = torch.zeros(EXAMPLE_IMAGES, *classifier.input_shape, dtype=torch.uint8)
    module = _FromBytes(classifier).requires_grad_(False)
    with quiet(), traceable(module.network), ConstantSizes(), more_operators(OPSET):
        torch.onnx.export(
            module,
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
    """Return what is stored in an exported file beside the model, as plain JSON values."""
    return {
        "class_names": list(classifier.class_names),
        "not_sure_below": classifier.not_sure_below,
        "temperature": classifier.temperature,
        "tta": classifier.tta and dataclasses.asdict(classifier.tta),
        **preparation(classifier.image_format),
        "recipe": dict(classifier.recipe) if classifier.recipe else None,
        "made_with": f"cifarlab {importlib.metadata.version('cifarlab')}",
    }


def as_text(value: Any) -> str:
    """Return text as it is and any other value as JSON: ONNX metadata holds texts only."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
