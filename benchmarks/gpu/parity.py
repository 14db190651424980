"""Whether the engine computes on a GPU what it computes on the CPU.

Every lowered layer, the pretrained model, and an epoch of training, each in float32 and in
bfloat16, beside the CPU. Nothing is chosen by these figures, so images of the test split may serve.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.layer_parity import Case, case, on_one_thread, without_tf32, worst_error
from benchmarks.gpu.setup import Rows, Setup
from benchmarks.images import SHAPE, synthetic
from benchmarks.layer_examples import EXAMPLES, Example
from cifarlab.backend import keras
from cifarlab.classifier import Classifier
from cifarlab.data.catalog import load_dataset
from cifarlab.data.dataset import Dataset
from cifarlab.lowering.model import CPU
from cifarlab.lowering.prepared import prepare
from cifarlab.lowering.tta import tta_logits
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.parts import ModelSpec
from cifarlab.recipes.recipe import Recipe
from cifarlab.runtime.device import compiles
from cifarlab.training.beginning import LoopOptions
from cifarlab.training.loop import fit
from cifarlab.training.setup import build_model, compile_model

Images = np.ndarray[Any, Any]
Values = Mapping[str, Any]

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# Float32 on a GPU as PyTorch comes: convolutions round their factors to TF32.
TF32 = "tf32"

# Norm of the difference over norm of the reference. Float32 rounds by up to 2^-24, 6e-8: on a CPU
# 4e-7 was the largest error. Bfloat16 rounds by up to 2^-8, 4e-3, once for each layer: 1e-2 was.
LAYER_TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
# Largest difference of a probability. On a CPU, of 2,000 validation images, 1,000 generated and 512
# random ones: 5e-6 between the prepared and the lowered form, 0.04 between float32 and bfloat16.
# TF32 rounds by up to 2^-11, an eighth of what bfloat16 does.
PROBABILITY_TOLERANCE = {"float32": 1e-4, TF32: 2e-2, "bfloat16": 1e-1}
# Relative difference of an epoch's mean loss. Training makes any rounding larger: on a CPU, one run
# each, another number of threads gave 0.3%, bfloat16 0.7%, first weights changed by a 2^-8th 1%.
LOSS_TOLERANCE = {"float32": 1e-2, "bfloat16": 3e-2}

SEED = 0
PRETRAINED_IMAGES, TINY_PRETRAINED_IMAGES = 2000, 64
# To train on, and to evaluate on afterwards. Whole batches: each other size is compiled for itself.
EPOCH_IMAGES, TINY_EPOCH_IMAGES = (156 * 64, 1000), (4 * 64, 64)
LONGEST_FAILURE = 300


def rows(setup: Setup) -> Rows:
    """Yield a row for each layer, for the pretrained model and for an epoch, by precision.

    Each has ``check``, ``precision`` and ``ok``; one that could not be computed has ``failure``.
    """
    device = torch.device(setup.device)
    yield from layer_rows(EXAMPLES, device)
    data = load_dataset(setup.data)
    count = TINY_PRETRAINED_IMAGES if setup.tiny else PRETRAINED_IMAGES
    yield from pretrained_rows(images_to_classify(data, count), device)
    yield from epoch_rows(setup, data, device)


def attempt(facts: Values, compute: Callable[[], Values]) -> Values:
    """Return the facts with what ``compute`` returns, or with how it failed."""
    try:
        return {**facts, **compute()}
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return {**facts, "ok": False, "failure": text[:LONGEST_FAILURE]}


# Layers


def layer_rows(examples: Mapping[type, Sequence[Example]], device: torch.device) -> Rows:
    """Yield a row for each kind of layer and precision: the largest error of all its examples."""
    for kind, several in examples.items():
        cases = functools.cache(functools.partial(_cases, several))
        for name in PRECISIONS:
            facts = {"check": "layer", "layer": kind.__name__, "precision": name}
            yield attempt(facts, functools.partial(_compare_layer, cases, device, name))


def _cases(examples: Sequence[Example]) -> list[Case]:
    return [case(example) for example in examples]


def _compare_layer(cases: Callable[[], list[Case]], device: torch.device, name: str) -> Values:
    with without_tf32(), on_one_thread():
        error = worst_error(cases(), device, PRECISIONS[name])
    tolerance = LAYER_TOLERANCE[name]
    return {
        "error": error,
        "tolerance": tolerance,
        "ok": error < tolerance,
        "examples": len(cases()),
    }


# The pretrained model


def images_to_classify(data: Dataset, count: int) -> Images:
    """Return up to ``count`` test images, uint8 ``[N, 32, 32, 3]``; random ones if they differ."""
    images = data.test.images
    return np.array(images[:count]) if images.shape[1:] == SHAPE else synthetic(count)[0]


def pretrained_rows(images: Images, device: torch.device) -> Rows:
    """Yield a row for each precision: how far its probabilities are from the CPU's in float32."""
    reference = functools.cache(functools.partial(probabilities, images, CPU, torch.float32))
    for name in (*PRECISIONS, TF32):
        compute = functools.partial(_compare_probabilities, images, device, name, reference)
        yield attempt({"check": "pretrained", "precision": name}, compute)


def _compare_probabilities(
    images: Images, device: torch.device, name: str, reference: Callable[[], Images]
) -> Values:
    expected = reference()
    if name == TF32:
        actual = probabilities(images, device, torch.float32)
    else:
        with without_tf32():
            actual = probabilities(images, device, PRECISIONS[name])
    if not np.isfinite(actual).all():
        raise ValueError("probabilities are not finite")
    difference, tolerance = float(np.abs(actual - expected).max()), PROBABILITY_TOLERANCE[name]
    return {
        "largest_difference": difference,
        "tolerance": tolerance,
        "ok": difference < tolerance,
        "differing_classes": int((actual.argmax(1) != expected.argmax(1)).sum()),
        "images": len(images),
    }


def probabilities(images: Images, device: torch.device, precision: torch.dtype) -> Images:
    """Return what the pretrained classifier's ``predict_proba`` returns, in any precision.

    Args:
        images: uint8 ``[N, 32, 32, 3]``.
    """
    with keras.device(device.type):
        classifier = Classifier.pretrained(str(device))
        prepared = prepare(classifier.lowered)
        logits = tta_logits(prepared, torch.from_numpy(images), classifier.tta, precision)
    return (logits / classifier.temperature).softmax(1).cpu().numpy()


# An epoch of training


def epoch_rows(setup: Setup, data: Dataset, device: torch.device) -> Rows:
    """Yield a row for each precision, and again compiled where training on the device is that.

    All start from the same weights, and the CPU trains in float32.
    """
    recipe = dataclasses.replace(BASELINE, epochs=1)
    if setup.tiny:
        small = ModelSpec(name="baseline", arguments={"filters": (4, 6), "units": 8})
        recipe = dataclasses.replace(recipe, model=small)
    part = some_of(data, *(TINY_EPOCH_IMAGES if setup.tiny else EPOCH_IMAGES))
    reference = functools.cache(functools.partial(train, recipe, part, CPU, torch.float32))
    for compiled in (False, True) if compiles(device) else (False,):
        for name in PRECISIONS:
            compute = functools.partial(
                _compare_epochs, recipe, part, device, name, reference, compiled=compiled
            )
            check = "compiled epoch" if compiled else "epoch"
            yield attempt({"check": check, "precision": name}, compute)


def some_of(data: Dataset, train: int, validation: int) -> Dataset:
    """Return the dataset with at most so many images for training and validation, at random."""
    draws = np.random.default_rng(SEED)
    chosen = draws.permutation(len(data.train))[:train]
    kept = draws.permutation(len(data.validation))[:validation]
    return dataclasses.replace(
        data, train=data.train.subset(chosen), validation=data.validation.subset(kept)
    )


def _compare_epochs(
    recipe: Recipe,
    data: Dataset,
    device: torch.device,
    name: str,
    reference: Callable[[], Mapping[str, float]],
    *,
    compiled: bool,
) -> Values:
    expected = reference()
    actual = train(recipe, data, device, PRECISIONS[name], compiled=compiled)
    difference, after = (
        abs(actual[key] - expected[key]) / expected[key] for key in ("loss", "val_loss")
    )
    tolerance = LOSS_TOLERANCE[name]
    return {
        "loss_cpu": expected["loss"],
        "loss_device": actual["loss"],
        "relative_difference": difference,
        "accuracy_cpu": expected["accuracy"],
        "accuracy_device": actual["accuracy"],
        "validation_loss_cpu": expected["val_loss"],
        "validation_loss_device": actual["val_loss"],
        "validation_relative_difference": after,
        "tolerance": tolerance,
        "images": len(data.train),
        "ok": difference < tolerance and after < tolerance,
    }


def train(
    recipe: Recipe,
    data: Dataset,
    device: torch.device,
    precision: torch.dtype,
    *,
    compiled: bool = False,
) -> Mapping[str, float]:
    """Train the recipe's only epoch; return its row of the history, as ``fit`` gives it."""
    # Keras draws on the device that it has chosen, and draws something else on each.
    with keras.device(CPU.type):
        weights = build_model(recipe, data, SEED).get_weights()
    with keras.device(device.type), without_tf32():
        model = build_model(recipe, data, SEED)
        model.set_weights(weights)
        compile_model(model, recipe)
        options = LoopOptions(
            device=device,
            precision=precision,
            seed=SEED,
            compiled=compiled,
        )
        (row,) = fit(model, data.train, data.validation, recipe, options)
    return row
