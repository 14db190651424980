"""A checked description becomes a model, unless that would take too much memory."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from typing import Any

from cifarlab.backend import keras
from cifarlab.errors import InputError, UnsafeError
from cifarlab.saving.safe_config import MODELS

MAX_PARAMETERS = 250_000_000
# So few parameters are always built, without asking what the file holds.
FREE_PARAMETERS = 1_000_000


def rebuild(config: Any, held: int, where: str) -> keras.Model:
    """Build the described model, first without memory to learn what it would take.

    Args:
        config: a description that ``safe_config.checked_config`` has passed.
        held: how many values the file holds that describes it.
        where: what messages call the file.

    Returns:
        The model with fresh weights, not compiled.

    Raises:
        InputError: it is no description of a model, or Keras cannot build it.
        UnsafeError: it has more parameters than ``MAX_PARAMETERS``, or far more than
            the file holds.
    """
    if not (isinstance(config, dict) and config.get("class_name") in MODELS):
        raise InputError(f"{where}: its description is not that of a model; save it with Keras")
    declared = _count_parameters(_build(config, where, device="meta"))
    if declared > MAX_PARAMETERS or declared > max(FREE_PARAMETERS, 2 * held):
        raise UnsafeError(
            f"{where}: refused: it declares {declared:,} parameters and holds {held:,} values; "
            f"at most {MAX_PARAMETERS:,} and twice what it holds are built; get it again"
        )
    return _build(config, where, device=None)


def _build(config: Any, where: str, *, device: str | None) -> keras.Model:
    """Return the model that the checked ``config`` describes, with fresh weights.

    On the ``"meta"`` device of PyTorch tensors have a shape and no memory.
    """
    # Keras has no public name for these scopes. They end with the block, and the first
    # holds even where the user has called keras.config.enable_unsafe_deserialization().
    scopes = keras.src.saving.serialization_lib
    config = json.loads(json.dumps(config))  # Keras changes what it is given
    try:
        with (
            scopes.SafeModeScope(True),
            scopes.ObjectSharingScope(),
            keras.device(device) if device else nullcontext(),
        ):
            if config.get("module") is not None:
                model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            else:
                known = {"Sequential": keras.Sequential, "Model": keras.Model}
                known["Functional"] = keras.src.models.Functional
                model = keras.legacy.saving.deserialize_keras_object(config, module_objects=known)
    # A description is free to ask any layer for anything, so any exception can come.
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(
            f"{where}: its description cannot be built ({reason}); save it with Keras 3 again"
        ) from None
    if not isinstance(model, keras.Model) or not model.built:
        raise InputError(f"{where}: it does not say what the model's input is; save it once built")
    return model


def _count_parameters(model: keras.Model) -> int:
    return sum(math.prod(variable.shape) for variable in model.variables)
