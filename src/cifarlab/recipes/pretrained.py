"""The recipe of the pretrained model.

Command: ``cifarlab.train("pretrained94", cifarlab.load_dataset("cifar10",
validation_fraction=0.02))``, then ``python -m tools.pack_pretrained``; docs/model_card.md has the
results.

``fast94`` with twice its epochs, because a model that is shipped is trained only once. Test-time
augmentation uses the image and its mirror image, without shifts, for short response times. A few
images are held out to choose a temperature and a threshold for "not sure"; nothing else is chosen
on them.
"""

from __future__ import annotations

from dataclasses import replace

from cifarlab.recipes.fast import BATCH, FAST94
from cifarlab.recipes.parts import FewImages, TestTimeAugmentation
from cifarlab.recipes.recipe import TRAIN

PRETRAINED94 = replace(
    FAST94,
    name="pretrained94",
    summary="the pretrained model: fast94, trained longer",
    epochs=20,
    few_images=FewImages(epochs=20, batch_size=BATCH, updates=300),
    resolution=(20,) * 4 + (24,) * 5 + (28,) * 5 + (32,) * 6,
    tta=TestTimeAugmentation(mirror=True, shift=0),
    train_on=TRAIN,
)
