"""Few images get enough steps; many change nothing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.recipes import RECIPES
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.fitting import fitted
from cifarlab.recipes.parts import Translate
from cifarlab.training.few_images import adapted
from cifarlab.training.setup import override

CIFAR10 = {"train": 45_000, "train+validation": 50_000}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_cifar10_is_trained_as_the_recipe_says(recipe):
    trained = adapted(recipe, CIFAR10[recipe.train_on])
    assert trained == dataclasses.replace(recipe, few_images=None)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
@given(images=st.integers(2, 60_000))
def test_there_are_enough_steps_whatever_the_number_of_images(recipe, images):
    trained = adapted(recipe, images)
    few = recipe.few_images
    steps = -(-images // trained.batch_size)
    assert trained.epochs == few.most_epochs or trained.epochs * steps >= few.updates
    assert recipe.epochs <= trained.epochs <= max(recipe.epochs, few.most_epochs)
    assert trained.batch_size <= recipe.batch_size
    if trained.stop is not None:
        assert trained.stop.patience * steps >= few.patience
        assert trained.stop.patience >= recipe.stop.patience
    assert adapted(trained, images) == trained


def test_a_recipe_without_it_is_trained_as_it_says():
    plain = dataclasses.replace(BASELINE, few_images=None)
    assert adapted(plain, 90) == plain


def test_what_the_user_chose_is_trained():
    trained = adapted(override(BASELINE, epochs=3, batch_size=50), 90)
    assert (trained.epochs, trained.batch_size) == (3, 50)
    assert trained.augment == BASELINE.augment
    assert adapted(override(BASELINE, epochs=3), 90).batch_size == 16
    assert adapted(override(BASELINE, batch_size=50), 90).epochs > 100


def test_a_variant_with_other_epochs_trains_these():
    assert adapted(dataclasses.replace(BASELINE, epochs=3), 90).epochs == 3
    assert adapted(dataclasses.replace(BASELINE, batch_size=32), 90).batch_size == 32


@pytest.mark.parametrize(("side", "pixels"), [(8, 1), (28, 4), (32, 4), (64, 8)])
def test_few_images_are_shifted_by_a_share_of_their_side(side, pixels):
    trained = fitted(adapted(BASELINE, 90), side, side)
    assert trained.augment == (Translate(pixels=pixels),)
    assert adapted(BASELINE, 45_000).augment == BASELINE.augment
