"""The recipe of the model in the box.

Command: ``cifarlab.train("boxed94", cifarlab.load("cifar10", validation_fraction=0.02))``, then
``python -m tools.box_model``; docs/model_card.md has what came of it.

``fast94`` with twice its epochs, because a model that is shipped is trained once. Two looks at a
picture, not six, because it answers people who wait. A few pictures are held out to choose a
temperature and a threshold for "not sure" on; nothing else is chosen on them.
"""

from __future__ import annotations

from dataclasses import replace

from cifarlab.recipes.fast import FAST94
from cifarlab.recipes.parts import Views
from cifarlab.recipes.recipe import TRAIN

BOXED94 = replace(
    FAST94,
    name="boxed94",
    summary="the model in the box: fast94, trained longer",
    epochs=20,
    resolution=(20,) * 4 + (24,) * 5 + (28,) * 5 + (32,) * 6,
    test_time=Views(mirror=True, shift=0),
    train_on=TRAIN,
)
