"""Build the model that a checked description describes, within limits of memory."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UnsafeError
from cifarlab.saving.safe_config import MODELS

MAX_PARAMETERS = 250_000_000
# Up to this many parameters are always built, whatever the file holds.
FREE_PARAMETERS = 1_000_000
# Of the reason why a description cannot be built, in characters.
LONGEST = 400


def rebuild(config: Any, held: int, where: str, own: Mapping[str, Any] | None = None) -> KerasModel:
    """Build the described model, first without memory to count its parameters.

    Args:
        config: a description that ``safe_config.checked_config`` has passed.
        held: number of values in the file.
        where: the name of the file in messages.
        own: code of the user's that the description names, as ``own_code.scope_of`` returns it.

    Returns:
        The model with fresh weights, not compiled.

    Raises:
        InputError: it is no description of a model, or Keras cannot build it.
        UnsafeError: it has more parameters than ``MAX_PARAMETERS``, or far more than
            the file holds.
    """
    own = own or {}
    named = config.get("class_name") if isinstance(config, dict) else None
    if named not in MODELS and not any(str(named) == name for name in own):
        raise InputError(f"{where}: its description is not that of a model; save it with Keras")
    declared = _count_parameters(_build(config, where, own, device="meta"))
    if declared > MAX_PARAMETERS or declared > max(FREE_PARAMETERS, 2 * held):
        raise UnsafeError(
            f"{where}: refused: it declares {declared:,} parameters and holds {held:,} values; "
            f"at most {MAX_PARAMETERS:,} and twice what it holds are built; get it again"
        )
    return _build(config, where, own, device=None)


def _build(config: Any, where: str, own: Mapping[str, Any], *, device: str | None) -> KerasModel:
    """Return the model that the checked ``config`` describes, with fresh weights.

    On PyTorch's ``"meta"`` device tensors have a shape and no memory.
    """
    # Keras has no public name for these scopes. They end with the block, and the first
    # holds even where the user has called keras.config.enable_unsafe_deserialization().
    scopes = keras.src.saving.serialization_lib
    config = json.loads(json.dumps(config))  # Keras changes its argument
    try:
        with (
            scopes.SafeModeScope(safe_mode=True),
            scopes.ObjectSharingScope(),
            keras.saving.custom_object_scope(own),
            keras.device(device) if device else nullcontext(),
        ):
            if config.get("module") is not None:
                model = keras.saving.deserialize_keras_object(config, safe_mode=True)
            else:
                known = {"Sequential": keras.Sequential, "Model": keras.Model}
                known["Functional"] = keras.src.models.Functional
                model = keras.legacy.saving.deserialize_keras_object(config, module_objects=known)
    # A description can have any arguments for any layer, so any exception is possible.
    except Exception as error:
        raise InputError(
            f"{where}: its description cannot be built ({_reason(error)}); load it where it was "
            "made, and save it there as .keras with Keras 3"
        ) from None
    if not isinstance(model, keras.Model) or not model.built:
        raise InputError(
            f"{where}: it does not describe the model's input; save the model after it is built"
        )
    return model


def _reason(error: Exception) -> str:
    """Return why Keras cannot build it, without the description, which Keras repeats."""
    text = " ".join(str(error).split()) or type(error).__name__
    # Of a layer's error, the innermost is what went wrong.
    inner = text.rpartition("Exception encountered: ")[2] or text
    return inner[:LONGEST] + ("..." if len(inner) > LONGEST else "")


def _count_parameters(model: KerasModel) -> int:
    return sum(math.prod(variable.shape) for variable in model.variables)
