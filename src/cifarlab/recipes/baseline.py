"""The baseline network, and a variant without the scaling of pixels to [0, 1].

Command: ``cifarlab train baseline``. Figures: see README.md, for few images docs/uneven_data.md.

Below some 16,000 images there are more epochs, and images are shifted instead of mirrored: that
helps the more, the fewer they are, and does no harm to digits and letters.
"""

from __future__ import annotations

from dataclasses import replace

from cifarlab.recipes.parts import Adam, EarlyStopping, FewImages, Flip, Linear, ModelSpec
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
    few_images=FewImages(
        epochs=10, batch_size=64, updates=2500, patience=500, shift=1 / 8, label_smoothing=0.1
    ),
)

BASELINE_UNSCALED = replace(
    BASELINE,
    name="baseline_unscaled",
    summary="the baseline on pixels 0 to 255, without scaling to [0, 1]",
    model=ModelSpec(name="baseline", arguments={"scale": 1.0}),
)
