"""Recipes for 94%, 95% and 96% on a CPU, the fastest of those that were tried.

Command: ``cifarlab train fast94``. Expected: 94.15% +- 0.23 of the test split (mean and spread of
seeds 0, 1 and 2), 656 s on two cores of an AMD EPYC (Zen 4, AVX512-BF16), 359 s on one of the next
generation (94.08% +- 0.07, the same seeds); see docs/benchmarks.md.

Based on airbench94_muon (recipes/airbench.py), with settings of hiverge's record
(github.com/hiverge/cifar10-speedrun): SiLU in the blocks, less label smoothing, other rates and
Newton-Schulz coefficients, and shifted test-time augmentation for the least certain quarter
only. Added here: low resolution first, a whitening convolution without bias so that the first
layer needs no input gradients, and micro-batches that fit into the caches. docs/log.md has what
else was tried.
"""

from __future__ import annotations

from dataclasses import replace

from cifarlab.recipes.parts import (
    SGD,
    AlternatingFlip,
    CrossEntropy,
    Cutout,
    FewImages,
    Linear,
    ModelSpec,
    Muon,
    TestTimeAugmentation,
    Translate,
    Whitening,
)
from cifarlab.recipes.recipe import EVERYTHING_BUT_TEST, Recipe

BATCH, MICRO_BATCH = 1500, 500
DECAY = 0.0016
BIAS_RATE, HEAD_RATE, MOMENTUM = 0.0573, 0.5415, 0.825
# Batch normalisation's statistics for inference: an average over about the last 5,000 images.
NORM_MOMENTUM = 0.9

FAST94 = Recipe(
    name="fast94",
    summary="94% in 6 to 11 minutes on two cores, low resolution first",
    model=ModelSpec(
        name="airnet",
        arguments={
            "widths": (64, 256, 256),
            "activation": "silu",
            "momentum": NORM_MOMENTUM,
            "epsilon": 1e-5,
            "whitening_bias": False,
        },
    ),
    whitening=Whitening(),
    frozen=("whitening/kernel",),
    epochs=10,
    resolution=(20, 20, 24, 24, 24, 28, 28, 32, 32, 32),
    batch_size=BATCH,
    micro_batch=MICRO_BATCH,
    optimizers=(
        Muon(lr=0.205, momentum=0.655, coefficients=(3.4576, -4.7391, 2.0843)),
        SGD(lr=HEAD_RATE, momentum=MOMENTUM, weight_decay=DECAY / HEAD_RATE, on="head/kernel"),
        SGD(lr=BIAS_RATE, momentum=MOMENTUM, weight_decay=DECAY / BIAS_RATE, on="*/beta"),
    ),
    schedule=Linear(),
    augment=(AlternatingFlip(), Translate(pixels=2)),
    loss=CrossEntropy(label_smoothing=0.09, reduction="sum"),
    tta=TestTimeAugmentation(mirror=True, shift=1, share=0.25),
    few_images=FewImages(epochs=10, batch_size=BATCH, updates=300),
    keep="last",
    train_on=EVERYTHING_BUT_TEST,
)

# The widths and epochs of airbench95; every learning rate as in FAST94.
# ``cifarlab train fast95``: 95.12% of the test split, 1,425 s on two cores of a faster AMD EPYC
# (n=1; see docs/benchmarks.md).
FAST95 = replace(
    FAST94,
    name="fast95",
    summary="95%, fast94 with wider blocks and 15 epochs",
    model=replace(FAST94.model, arguments={**FAST94.model.arguments, "widths": (128, 384, 384)}),
    epochs=15,
    few_images=FewImages(epochs=15, batch_size=BATCH, updates=300),
    resolution=(20,) * 3 + (24,) * 4 + (28,) * 4 + (32,) * 4,
)

# The network and augmentation of airbench96, about as many epochs; every rate as in FAST94.
# ``cifarlab train fast96``: 96.19% of the test split, 4,254 s on the same (n=1).
FAST96 = replace(
    FAST94,
    name="fast96",
    summary="96%, a deeper network with residuals, three times as many epochs",
    model=replace(
        FAST94.model,
        arguments={
            **FAST94.model.arguments,
            "widths": (128, 384, 512),
            "depth": 3,
            "residual": True,
        },
    ),
    epochs=34,
    few_images=FewImages(epochs=34, batch_size=BATCH, updates=300),
    resolution=(20,) * 9 + (24,) * 9 + (28,) * 8 + (32,) * 8,
    augment=(AlternatingFlip(), Translate(pixels=4), Cutout(size=12)),
)
