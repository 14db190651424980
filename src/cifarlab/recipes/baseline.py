"""The original network and its twin without the scaling to [0, 1].

Command: ``cifarlab train baseline``. Figures: see README.md.
"""

from __future__ import annotations

from dataclasses import replace

from cifarlab.recipes.parts import Adam, EarlyStopping, Flip, Linear, ModelSpec
from cifarlab.recipes.recipe import Recipe

BASELINE = Recipe(
    name="baseline",
    summary="two convolutions, Adam, early stopping: a first CNN",
    model=ModelSpec(name="baseline"),
    epochs=10,
    batch_size=64,
    optimizers=(Adam(lr=1e-3),),
    schedule=Linear(),
    augment=(Flip(),),
    stop=EarlyStopping(monitor="val_loss", patience=3),
)

BASELINE_UNSCALED = replace(
    BASELINE,
    name="baseline_unscaled",
    summary="the baseline fed with 0 to 255: what does scaling to [0, 1] buy?",
    model=ModelSpec(name="baseline", arguments={"scale": 1.0}),
)
