"""Which changes to ``fast94`` are worth it: each trained with the same seeds, on validation.

They are taken in turn, seed 0 of every variant, then seed 1 of every variant, for as long as the
suite lets it run: the longer, the smaller the differences that can be told apart. The origin of a
change is said beside it; docs/log.md has the results.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.gpu.device_form import DeviceForm
from benchmarks.gpu.setup import Rows, Setup
from cifarlab.data.catalog import load_dataset
from cifarlab.recipes.fast import BIAS_RATE, DECAY, FAST94, MOMENTUM
from cifarlab.recipes.parts import SGD, CrossEntropy, Linear, Lookahead, ModelSpec, Muon, Piecewise
from cifarlab.recipes.recipe import TRAIN, Recipe
from cifarlab.runtime.device import choose_precision

SEEDS = 25
TINY_SEEDS = 1


def with_model(recipe: Recipe, **changes: Any) -> Recipe:
    """Return ``recipe`` with some of its model's arguments changed."""
    arguments = {**recipe.model.arguments, **changes}
    return dataclasses.replace(recipe, model=ModelSpec(name=recipe.model.name, arguments=arguments))


# Whole batches fill a GPU. Batch normalisation then sees 1,500 images at once, and its moving
# averages are taken a third as often.
FAST94_GPU = dataclasses.replace(
    with_model(FAST94, momentum=0.9**3),
    name="fast94_gpu",
    summary="fast94 with whole batches, as a GPU is given it",
    micro_batch=None,
)

MUON = FAST94.optimizers[0]
assert isinstance(MUON, Muon)
# Down as all others until 60% of the steps, then quicker; not trained from 80% on.
COOLED = Piecewise(points=((0.0, 1.0), (0.6, 0.4), (0.8, 0.0)))
BLOCK1 = (
    dataclasses.replace(MUON, on="block1_conv*/kernel", schedule=COOLED),
    SGD(
        lr=BIAS_RATE,
        momentum=MOMENTUM,
        weight_decay=DECAY / BIAS_RATE,
        on="block1_norm*/beta",
        schedule=COOLED,
    ),
)
# The published tail averages every 4 steps, from 8 steps before the decay ends.
DECAYED, TAIL = 8.5 / 8.875, 8 / 330

VARIANTS: Mapping[str, Recipe] = {
    "base": FAST94_GPU,
    # Lookahead over the whole run, as in airbench94, with a floor under the rates.
    "lookahead, floor 0.07": dataclasses.replace(
        FAST94_GPU, schedule=Linear(end=0.07), lookahead=Lookahead()
    ),
    # Averages near the end only: Fulcrum's "E1".
    "averaged tail, floor 0.05": dataclasses.replace(
        FAST94_GPU,
        schedule=Linear(end=0.05, until=DECAYED),
        lookahead=Lookahead(every=4, decay=0.7, power=0.0, start=DECAYED - TAIL),
    ),
    "block 1 cooled and frozen": dataclasses.replace(
        FAST94_GPU, optimizers=(*BLOCK1, *FAST94.optimizers)
    ),
    "label smoothing 0.2": dataclasses.replace(
        FAST94_GPU, loss=CrossEntropy(label_smoothing=0.2, reduction="sum")
    ),
    "cosine filters": with_model(FAST94_GPU, cosine_filters=True),
    "batch 1000, Muon 0.15": dataclasses.replace(
        with_model(FAST94_GPU, momentum=0.9**2),
        batch_size=1000,
        optimizers=(dataclasses.replace(MUON, lr=0.15), *FAST94.optimizers[1:]),
    ),
    "18 pixels for 20": dataclasses.replace(
        FAST94_GPU, resolution=tuple(18 if s == 20 else s for s in FAST94.resolution)
    ),
    "widths 64-192-192": with_model(FAST94_GPU, widths=(64, 192, 192)),
    "widths 64-192-256": with_model(FAST94_GPU, widths=(64, 192, 256)),
}


def tiny(recipe: Recipe) -> Recipe:
    """Return ``recipe`` small enough to try the suite on a CPU in seconds."""
    widths = tuple(width // 16 for width in recipe.model.arguments["widths"])
    return dataclasses.replace(
        with_model(recipe, widths=widths),
        epochs=2,
        batch_size=recipe.batch_size // 10,
        micro_batch=None if recipe.micro_batch is None else recipe.micro_batch // 10,
        # Each size is compiled for itself, which is what takes the time.
        resolution=recipe.resolution[:1],
    )


def rows(setup: Setup) -> Rows:
    """Yield a row for each run: its variant, seed, validation accuracy and seconds.

    An variant that fails is said so once and left out of the following rounds.
    """
    device = torch.device(setup.device)
    precision = choose_precision("auto", device)
    data = load_dataset(setup.data)
    variants = {name: tiny(recipe) if setup.tiny else recipe for name, recipe in VARIANTS.items()}
    forms: dict[str, DeviceForm] = {}
    for seed, name in itertools.product(range(TINY_SEEDS if setup.tiny else SEEDS), variants):
        if seed > 0 and name not in forms:
            continue
        try:
            if name not in forms:
                recipe = dataclasses.replace(variants[name], train_on=TRAIN)
                new = DeviceForm(recipe, data, data.validation, device, precision)
                new.warm_up()
                forms[name] = new
            accuracy, seconds = forms[name].train(seed)
        except Exception as error:
            forms.pop(name, None)
            yield {"variant": name, "failure": f"{type(error).__name__}: {error}".splitlines()[0]}
            continue
        yield {"variant": name, "seed": seed, "accuracy": accuracy, "seconds": seconds}
