"""Recipes by name, and the values that they consist of. A new one is added to ``RECIPES`` here.

May use errors.
"""

from __future__ import annotations

from cifarlab.errors import UsageError
from cifarlab.recipes.airbench import AIRBENCH94
from cifarlab.recipes.baseline import BASELINE, BASELINE_UNSCALED
from cifarlab.recipes.fast import FAST94, FAST95, FAST96
from cifarlab.recipes.finetune import FINETUNE
from cifarlab.recipes.pretrained import PRETRAINED94
from cifarlab.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        BASELINE,
        BASELINE_UNSCALED,
        AIRBENCH94,
        FAST94,
        FAST95,
        FAST96,
        PRETRAINED94,
        FINETUNE,
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe called ``name``.

    Raises:
        UsageError: there is none; the message lists the existing ones.

    Example:
        >>> find_recipe("fast94").epochs
        10
    """
    if name not in RECIPES:
        raise UsageError(f"no recipe is called {name!r}; choose from {', '.join(RECIPES)}")
    return RECIPES[name]
