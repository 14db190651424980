"""The recipe for few images: a trained network with a new last layer, trained a little further.

The new layer is fitted to the features of the training images before the first epoch, so that the
network begins as a good classifier; the epochs then change all of it a little.
"""

from __future__ import annotations

from cifarlab.recipes.parts import (
    SGD,
    Cosine,
    CrossEntropy,
    FewImages,
    Flip,
    ModelSpec,
    TestTimeAugmentation,
    Translate,
)
from cifarlab.recipes.recipe import Recipe

# The name of the model that ``finetuning`` builds.
FINETUNED = "finetuned"
START = "efficientnet_lite0"

FINETUNE = Recipe(
    name="finetune",
    summary="a pretrained network, fine-tuned: for few images",
    model=ModelSpec(name=FINETUNED, arguments={"start": START, "unfreeze": "all"}),
    epochs=5,
    batch_size=32,
    optimizers=(SGD(lr=0.005, momentum=0.9, nesterov=True),),
    schedule=Cosine(warmup=0.1),
    augment=(Flip(), Translate(pixels=4)),
    loss=CrossEntropy(label_smoothing=0.1),
    keep="last",
    tta=TestTimeAugmentation(mirror=True, shift=0),
    few_images=FewImages(epochs=5, batch_size=32, updates=200, most_epochs=40),
)
