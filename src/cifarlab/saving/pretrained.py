"""The pretrained model that comes with the package, in half precision.

The file is a safetensors file (no pickle). Its tensors are the Keras model's weights by path;
its metadata has the recipe that builds the model, its class names and its measured results.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError
from cifarlab.files import atomic_write
from cifarlab.models import MODELS
from cifarlab.recipes.recipe import Recipe, from_json, to_json
from cifarlab.saving.model_file import LoadedModel

NAME = "cifar10"
FILE = Path(__file__).with_name("weights") / f"{NAME}.safetensors"
LARGEST = 12 * 2**20


def read_pretrained(path: Path = FILE) -> LoadedModel:
    """Return the pretrained model with its class names and recipe.

    Raises:
        InputError: the file is missing or damaged.
    """
    facts, tensors = _read(path)
    recipe = from_json(facts["recipe"])
    build = MODELS[recipe.model.name]
    shape, names = tuple(facts["input_shape"]), tuple(facts["class_names"])
    model = build(shape, len(names), **recipe.model.arguments)
    for variable in model.variables:
        variable.assign(tensors[variable.path].astype("float32"))
    return LoadedModel(
        model=model,
        class_names=names,
        recipe=facts["recipe"],
        temperature=facts.get("temperature", 1.0),
        not_sure_below=facts.get("not_sure_below"),
    )


def read_card(path: Path = FILE) -> dict[str, Any]:
    """Return the measured results of the pretrained model as plain JSON values.

    Raises:
        InputError: the file is missing or damaged.
    """
    card: dict[str, Any] = _read(path)[0]["card"]
    return card


def write_pretrained(
    path: Path,
    model: KerasModel,
    class_names: Sequence[str],
    recipe: Recipe,
    card: Mapping[str, Any],
    temperature: float = 1.0,
    not_sure_below: float | None = None,
) -> None:
    """Write a model that was built from ``recipe``, its weights rounded to half precision.

    ``temperature`` and ``not_sure_below`` are as in ``LoadedModel``.

    Raises:
        InputError: a weight is too large for half precision, or the file would be larger than
            12 MiB.
        ResourceError: the file cannot be written.
    """
    with np.errstate(over="ignore"):
        weights = {
            v.path: keras.ops.convert_to_numpy(v).astype(np.float16) for v in model.variables
        }
    broken = [name for name, weight in weights.items() if not np.isfinite(weight).all()]
    if broken:
        raise InputError(
            f"{broken[0]}: half precision cannot hold its values (above 65,504); train it again"
        )
    facts = {
        "recipe": to_json(recipe),
        "input_shape": list(model.input_shape[1:]),
        "class_names": list(class_names),
        "temperature": temperature,
        "not_sure_below": not_sure_below,
        "card": dict(card),
    }
    content = safetensors.numpy.save(weights, {"cifarlab": json.dumps(facts)})
    if len(content) > LARGEST:
        raise InputError(f"{path}: {len(content):,} bytes; at most {LARGEST:,} go into the package")
    path.parent.mkdir(exist_ok=True)
    atomic_write(path, lambda file: file.write(content))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    try:
        with safetensors.safe_open(path, framework="np") as file:
            facts = json.loads(file.metadata()["cifarlab"])
            return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise InputError(
            f"{path}: the pretrained model cannot be read ({error}); install cifarlab again"
        ) from error
