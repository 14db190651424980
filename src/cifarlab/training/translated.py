"""What a model was compiled with as parts of a recipe, for the range test of learning rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from cifarlab.errors import UsageError
from cifarlab.recipes.parts import SGD, Adam, CrossEntropy, Optimizer
from cifarlab.recipes.recipe import Recipe

CROSS_ENTROPIES = frozenset(
    {
        *("categorical_crossentropy", "sparse_categorical_crossentropy"),
        *("CategoricalCrossentropy", "SparseCategoricalCrossentropy"),
    }
)
# Of an optimizer's configuration: what changes training and a recipe's optimizers lack.
LACKING = (
    *("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema"),
    *("gradient_accumulation_steps", "amsgrad"),
)


def translated(recipe: Recipe) -> Recipe:
    """Return a recipe with optimizer and loss of its own in place of a compiled model's.

    Raises:
        UsageError: the model was compiled with what a recipe lacks; all of it is named.
    """
    if recipe.as_compiled is None:
        return recipe
    config = recipe.as_compiled.config
    optimizer, lacking = _optimizer(config.get("optimizer"))
    loss, wrong = _loss(config.get("loss"))
    if reasons := [*recipe.as_compiled.own, *lacking, *wrong]:
        raise UsageError(
            f"model {recipe.name!r} was compiled with {', '.join(reasons)}, which a range test of "
            "learning rates does not have; compile it with Adam or SGD and cross-entropy"
        )
    return dataclasses.replace(recipe, as_compiled=None, optimizers=(optimizer,), loss=loss)


def _optimizer(config: Any) -> tuple[Optimizer, list[str]]:
    if not isinstance(config, Mapping):
        return Adam(), [f"the optimizer {config}"]
    values = config.get("config", {})
    kind = config.get("class_name")
    if kind == "LossScaleOptimizer":
        # Keras adds it to models of half precision; scales cancel out.
        return _optimizer(values.get("inner_optimizer"))
    lacking = [f"{name}={values[name]}" for name in LACKING if values.get(name)]
    rate = values.get("learning_rate")
    if isinstance(rate, Mapping):
        lacking.append(f"the learning-rate schedule {rate.get('class_name')}")
        rate = None
    if kind == "SGD":
        momentum = values.get("momentum", 0.0)
        spec: Optimizer = SGD(
            lr=rate or 0.01, momentum=momentum, nesterov=bool(values.get("nesterov"))
        )
    else:
        spec = Adam(
            lr=rate or 1e-3,
            beta_1=values.get("beta_1", 0.9),
            beta_2=values.get("beta_2", 0.999),
            epsilon=values.get("epsilon", 1e-7),
        )
    if kind not in ("SGD", "Adam"):
        lacking.append(f"the optimizer {kind}")
    return spec, lacking


def _loss(loss: Any) -> tuple[CrossEntropy, list[str]]:
    config: Mapping[str, Any] = {}
    name = loss
    if isinstance(loss, Mapping):
        function = loss.get("class_name") == "function"
        name = loss.get("config" if function else "class_name")
        config = {} if function else loss.get("config") or {}
    if name not in CROSS_ENTROPIES:
        return CrossEntropy(), [f"the loss {name}"]
    return CrossEntropy(label_smoothing=config.get("label_smoothing") or 0.0), []
