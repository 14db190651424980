"""Recipes are values: they survive JSON, list their differences, and refuse invalid values."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifarlab.errors import InputError, UsageError
from cifarlab.models import MODELS
from cifarlab.recipes import RECIPES, find_recipe
from cifarlab.recipes.baseline import BASELINE
from cifarlab.recipes.finetune import FINETUNED
from cifarlab.recipes.parts import SGD, Adam, Cosine, Flip, Muon, Translate
from cifarlab.recipes.recipe import (
    EVERYTHING_BUT_TEST,
    KINDS,
    Recipe,
    differences,
    from_json,
    to_json,
)
from support import one_line


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_every_recipe_survives_json_and_names_a_model(recipe):
    assert from_json(json.loads(json.dumps(to_json(recipe)))) == recipe
    assert recipe.model.name in {*MODELS, FINETUNED}
    assert find_recipe(recipe.name) is recipe
    assert recipe.summary
    assert len(recipe.summary) <= 70


any_optimizer = st.one_of(
    st.builds(Muon, iterations=st.integers(1, 9)),
    st.builds(Adam, lr=st.floats(1e-9, 1.0)),
    st.builds(SGD, lr=st.floats(1e-9, 1.0), nesterov=st.booleans()),
)
augmentations = st.lists(st.one_of(st.just(Flip()), st.builds(Translate, pixels=st.integers(1, 8))))


@given(st.lists(any_optimizer, min_size=1), augmentations, st.integers(1, 10**6), st.floats(0, 0.5))
def test_any_variant_survives_json(optimizers, augment, epochs, warmup):
    recipe = dataclasses.replace(
        BASELINE,
        optimizers=tuple(optimizers),
        augment=tuple(augment),
        epochs=epochs,
        schedule=Cosine(warmup=warmup),
        stop=None,
    )
    assert from_json(json.loads(json.dumps(to_json(recipe)))) == recipe


def test_every_part_is_frozen():
    assert all(part.__dataclass_params__.frozen for part in KINDS.values())


def test_differences_name_the_field_and_both_values():
    longer = dataclasses.replace(BASELINE, epochs=BASELINE.epochs + 1)
    assert differences(BASELINE, BASELINE) == []
    assert differences(BASELINE, longer) == [f"epochs: {BASELINE.epochs} -> {longer.epochs}"]


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"micro_batch": 0},
        {"optimizers": ()},
        {"optimizers": (Adam(lr=0.0),)},
        {"resolution": (16, 0)},
        {"keep": "worst"},
        {"train_on": "test"},
        # There is no validation split to choose the best epoch on.
        {"train_on": EVERYTHING_BUT_TEST},
    ],
)
def test_invalid_values_are_a_usage_error(changes):
    with pytest.raises(UsageError) as error:
        dataclasses.replace(BASELINE, **changes)
    assert repr(next(iter(changes.values()))) in one_line(error) or "0.0" in one_line(error)


def test_resolutions_share_the_epochs_and_the_last_one_ends_them():
    recipe = dataclasses.replace(BASELINE, epochs=8, resolution=(16, 24, 24, 32))
    assert [recipe.resolution_in(e) for e in range(8)] == [16, 16, 24, 24, 24, 24, 32, 32]
    short = dataclasses.replace(recipe, epochs=3)
    assert [short.resolution_in(e) for e in range(3)] == [24, 24, 32]
    assert BASELINE.resolution_in(5) is None


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(UsageError) as error:
        find_recipe("basline")
    assert all(name in one_line(error) for name in ("basline", *RECIPES))


@pytest.mark.parametrize("value", [{"kind": "Nonsense"}, {"kind": "Adam", "speed": 3}])
def test_a_recipe_of_another_version_is_bad_input(value):
    with pytest.raises(InputError) as error:
        from_json(value)
    assert "another version" in one_line(error)


def test_the_unscaled_variant_differs_in_the_scale_alone():
    unscaled = RECIPES["baseline_unscaled"]
    assert {d.split(":")[0] for d in differences(BASELINE, unscaled)} == {
        "name",
        "summary",
        "model",
    }
    assert isinstance(unscaled, Recipe)
    assert unscaled.model.arguments == {"scale": 1.0}
