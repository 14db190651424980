"""A recipe fitted to images of another size: its lengths scale, and stay possible."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.recipes import RECIPES
from cifarlab.recipes.airbench import AIRBENCH94
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.fast import FAST94, FAST96
from cifarlab.recipes.fitting import FEWEST_WHITENED, MOST_PIXELS, SMALLEST_SIDE, fitted
from cifarlab.recipes.parts import Cutout, TestTimeAugmentation, Translate
from cifarlab.recipes.recipe import Recipe, from_json, to_json

recipes = st.sampled_from(list(RECIPES.values()))
sides = st.integers(8, 256)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_images_of_the_recipes_own_size_change_nothing(recipe: Recipe) -> None:
    assert fitted(recipe, 32, 32) is recipe


@given(recipes, sides, sides)
def test_every_length_is_possible_at_every_size(recipe: Recipe, height: int, width: int) -> None:
    result = fitted(recipe, height, width)
    shorter = min(height, width)
    assert result.image_size == (height, width)
    for part in result.augment:
        if isinstance(part, Translate):
            assert 1 <= part.pixels < shorter
        if isinstance(part, Cutout):
            assert 1 <= part.size <= shorter
    if result.tta is not None:
        assert result.tta.shift < shorter
    for size in result.resolution:
        sizes = (size, size) if isinstance(size, int) else size
        for side, own in zip(sizes, (height, width), strict=True):
            assert min(SMALLEST_SIDE, own) <= side <= own
    if recipe.resolution:
        assert result.resolution[-1] in ((height, width), height)


@given(recipes, sides, sides)
def test_memory_does_not_grow_with_the_images(recipe: Recipe, height: int, width: int) -> None:
    result = fitted(recipe, height, width)
    at_once = result.micro_batch or result.batch_size
    most = (recipe.micro_batch or 0) * 32 * 32 or MOST_PIXELS
    assert at_once * height * width <= max(most, height * width)
    assert at_once <= (recipe.micro_batch or recipe.batch_size)
    if result.whitening is not None:
        assert FEWEST_WHITENED <= result.whitening.images <= 5000


@given(recipes, sides, sides)
def test_fitting_again_changes_nothing_and_it_survives_json(
    recipe: Recipe, height: int, width: int
) -> None:
    result = fitted(recipe, height, width)
    assert fitted(result, height, width) is result
    assert from_json(json.loads(json.dumps(to_json(result)))) == result


@given(st.integers(1, 3000), st.integers(1, 3000), sides)
def test_a_batch_is_cut_into_equal_parts(batch_size: int, micro_batch: int, side: int) -> None:
    recipe = dataclasses.replace(AIRBENCH94, batch_size=batch_size, micro_batch=micro_batch)
    size = fitted(recipe, side, side).micro_batch
    assert size is not None
    assert size >= 1
    if size < min(micro_batch, batch_size):
        parts = math.ceil(batch_size / size)
        assert size == math.ceil(batch_size / parts)


def test_lengths_follow_the_shorter_side_and_resolutions_both() -> None:
    wide = fitted(FAST96, 64, 128)
    assert wide.augment[1:] == (Translate(pixels=8), Cutout(size=24))
    assert wide.tta == TestTimeAugmentation(shift=2, share=0.25)
    assert wide.resolution[0] == (40, 80)
    assert wide.micro_batch == 60
    small = fitted(FAST94, 8, 8)
    assert small.augment[1] == Translate(pixels=1)
    assert small.tta is not None
    assert small.tta.shift == 1
    assert set(small.resolution) == {8}
    digits = fitted(FAST94, 28, 28)
    assert digits.augment[1] == Translate(pixels=2)
    assert digits.resolution[::3] == (18, 21, 25, 28)
    assert digits.micro_batch == FAST94.micro_batch


def test_without_micro_batches_only_very_large_batches_are_cut() -> None:
    assert fitted(BASELINE, 64, 64).micro_batch is None
    assert fitted(BASELINE, 256, 256).micro_batch == 32
    assert fitted(AIRBENCH94, 64, 64).micro_batch == 500


def test_lengths_of_nothing_stay_nothing() -> None:
    still = dataclasses.replace(BASELINE, tta=TestTimeAugmentation(shift=0))
    result = fitted(still, 64, 64)
    assert result.tta == still.tta


def test_a_recipe_may_be_made_for_another_size() -> None:
    own = dataclasses.replace(BASELINE, image_size=(64, 64), augment=(Translate(pixels=4),))
    assert fitted(own, 64, 64) is own
    assert fitted(own, 32, 32).augment == (Translate(pixels=2),)
