"""Every recipe on images of every kind of shape: it trains, measures itself, and reads files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifarlab.classifier import Classifier
from cifarlab.data.dataset import Dataset, Split
from cifarlab.explain import first_layer_filters, grad_cam, integrated_gradients
from cifarlab.recipes import RECIPES
from cifarlab.recipes.recipe import Recipe
from cifarlab.training.run import Run
from cifarlab.training.train import TrainOptions, resume, train

SHAPES = ((8, 8, 1), (28, 28, 1), (32, 64, 3), (48, 32, 1), (64, 64, 3))
FLAT = ((8, 40, 3), (10, 256, 1), (256, 9, 3))
CPU = TrainOptions(device="cpu", precision="float32")


def split(shape: tuple[int, int, int], count: int, seed: int) -> Split:
    """Noise whose brightness tells the class."""
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).integers(0, 100, (count, *shape))
    return Split(images=(noise + 100 * labels[:, None, None, None]).astype(np.uint8), labels=labels)


def dataset(shape: tuple[int, int, int]) -> Dataset:
    train, validation, test = (split(shape, count, i) for i, count in enumerate((8, 2, 4)))
    return Dataset(
        name="noise",
        source="drawn by the tests",
        class_names=("dark", "bright"),
        train=train,
        validation=validation,
        test=test,
    )


def shrunk(recipe: Recipe) -> Recipe:
    """The recipe with few filters, one step and all else as it is."""
    few = {"airnet": {"widths": (4, 6, 8)}, "baseline": {"filters": (4, 6)}}
    arguments = {**recipe.model.arguments, **few.get(recipe.model.name, {})}
    model = replace(recipe.model, arguments=arguments)
    # The first epoch has the lowest resolution that one of two may have.
    return replace(recipe, model=model, epochs=2, resolution=recipe.resolution[::3])


def trained(recipe: Recipe, shape: tuple[int, int, int], directory: Path) -> Run:
    return train(shrunk(recipe), dataset(shape), directory=directory, options=CPU)


def check(run: Run, shape: tuple[int, int, int], directory: Path) -> Classifier:
    assert run.recipe.image_size == shape[:2]
    classifier = Classifier.load(run.directory, device="cpu")
    assert classifier.input_shape == shape
    image = dataset(shape).test.images[0]
    file = directory / "image.png"
    Image.fromarray(image if shape[2] == 3 else image[:, :, 0]).save(file)
    expected = run.predictions["test"].probabilities[:1]
    # Measured without the temperature, and with a share of shifted copies where it has one.
    plain = replace(classifier, temperature=1.0)
    np.testing.assert_allclose(plain.predict(file).probabilities, expected, atol=1e-5)
    return classifier


# A backbone enlarges small images, which takes a while.
MARKS = {"finetune": pytest.mark.slow}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "recipe", [pytest.param(r, id=name, marks=MARKS.get(name, ())) for name, r in RECIPES.items()]
)
def test_every_recipe_trains_and_predicts(
    recipe: Recipe, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    check(trained(recipe, shape, tmp_path / "run"), shape, tmp_path)


@pytest.mark.parametrize("shape", FLAT, ids=str)
@pytest.mark.parametrize("name", ["baseline", "fast94"])
def test_very_flat_and_very_tall_images_do_too(
    name: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    check(trained(RECIPES[name], shape, tmp_path / "run"), shape, tmp_path)


@pytest.mark.parametrize("shape", [*SHAPES, *FLAT], ids=str)
@pytest.mark.parametrize("name", ["baseline", "fast94"])
def test_saliency_has_the_shape_of_the_images(name: str, shape: tuple[int, int, int]) -> None:
    from cifarlab.models import MODELS

    recipe = shrunk(RECIPES[name])
    model = MODELS[recipe.model.name](shape, 2, **recipe.model.arguments)
    classifier = Classifier.from_keras(model, ("dark", "bright"), "cpu")
    images = dataset(shape).test.images
    for saliency in (
        grad_cam(classifier, images),
        integrated_gradients(classifier, images, steps=2),
    ):
        assert saliency.shape == (4, *shape[:2])
        assert ((saliency >= 0) & (saliency <= 1)).all()
    assert first_layer_filters(classifier).shape[3] == shape[2]


def test_a_resumed_run_goes_on_with_the_recipe_for_its_images(tmp_path: Path) -> None:
    from cifarlab.errors import RunInterruptedError
    from tiny import SignalAt

    recipe, data = shrunk(RECIPES["fast94"]), dataset((32, 64, 3))
    whole = train(recipe, data, directory=tmp_path / "whole", options=CPU)
    with pytest.raises(RunInterruptedError):
        train(recipe, data, directory=tmp_path / "cut", options=CPU, progress=SignalAt({1: 15}))
    going_on = resume(tmp_path / "cut", data, recipe=recipe)
    assert going_on.recipe == whole.recipe
    np.testing.assert_array_equal(
        going_on.predictions["test"].probabilities, whole.predictions["test"].probabilities
    )
