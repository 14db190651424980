"""Which range of pixels a model was made for, measured on a few labelled images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cifarlab.backend import KerasModel
from cifarlab.data.split import Split
from cifarlab.evaluation.metrics import balanced_accuracy
from cifarlab.lowering.model import lower
from cifarlab.lowering.plain_form import AS_THEY_ARE, SCALINGS, scales_pixels

IMAGES = 200
BATCH = 50
# Another range must be better by this much, in balanced accuracy, ...
CLEARLY_BETTER = 0.2
# ... and its loss below this part of what guessing loses: not by luck.
KNOWS = 0.75


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How a model does on images in one range: balanced accuracy 0 to 1, mean cross-entropy."""

    accuracy: float
    loss: float


def choose_pixels(model: KerasModel, split: Split) -> tuple[str, str]:
    """Return the range of pixels that a model knows best, and a line that says so where it matters.

    A range is taken instead of 0 to 255 where, on up to 200 of the images, as many of each class
    as there are, its balanced accuracy is 20 points higher and its loss below three quarters of
    what guessing loses. Models that scale pixels themselves, or have never been trained, stay as
    they are.

    Args:
        model: plain, as ``lowering.plain_form`` returns it, with an output for each class.
        split: images for training or validation, with labels; never those of the test.

    Returns:
        One of ``lowering.plain_form.SCALINGS``, and the line, empty where nothing changes.
    """
    if not len(split) or scales_pixels(model) or "float" not in str(model.inputs[0].dtype):
        return AS_THEY_ARE, ""
    images, labels = _sample(split, int(model.output_shape[-1]))
    as_they_are = measure_range(model, images, labels, AS_THEY_ARE)
    if as_they_are.accuracy > 1 - CLEARLY_BETTER:
        return AS_THEY_ARE, ""
    others = {
        name: measure_range(model, images, labels, name) for name in SCALINGS if name != AS_THEY_ARE
    }
    best = max(others, key=lambda name: (others[name].accuracy, -others[name].loss))
    found = others[best]
    guessing = math.log(model.output_shape[-1])
    if found.accuracy - as_they_are.accuracy < CLEARLY_BETTER or found.loss > KNOWS * guessing:
        return AS_THEY_ARE, ""
    return best, (
        f"pixels are brought to {best}, as this model was made for: of {len(labels)} images it "
        f"knows {found.accuracy:.0%} that way and {as_they_are.accuracy:.0%} at {AS_THEY_ARE}, by "
        f"a Rescaling layer in front; --pixels {AS_THEY_ARE} leaves them as they are"
    )


def measure_range(
    model: KerasModel, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], pixels: str
) -> Measured:
    """Measure a model on uint8 images that are brought to a range first."""
    scale, offset = SCALINGS[pixels]
    lowered = lower(model).eval()
    lowered.strip_softmax()
    rows = []
    with torch.no_grad():
        for first in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.array(images[first : first + BATCH])).float()
            rows.append(lowered(batch * scale + offset).float())
    logits, truth = torch.cat(rows), torch.from_numpy(labels)
    classes = logits.shape[1]
    cells = np.bincount(labels * classes + logits.argmax(1).numpy(), minlength=classes * classes)
    loss = float(F.cross_entropy(logits, truth))
    return Measured(
        accuracy=balanced_accuracy(cells.reshape(classes, classes)),
        loss=loss if math.isfinite(loss) else math.inf,
    )


def _sample(split: Split, classes: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return up to ``IMAGES`` images and labels, spread over the classes and within each."""
    each = max(1, IMAGES // classes)
    chosen: list[int] = []
    for label in range(classes):
        places = np.flatnonzero(split.labels == label)
        count = min(each, len(places))
        chosen.extend(places[np.linspace(0, len(places) - 1, count).astype(int)] if count else [])
    sample = split.subset(np.sort(np.array(chosen, dtype=np.int64)))
    return sample.images, sample.labels.astype("int64")
