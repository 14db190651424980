"""Classes and functions of the user's, named by hand, that a model file may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cifarlab.backend import keras
from cifarlab.errors import UsageError

# Put before the names in a description, so that none is mistaken for a stock part.
GIVEN = "given>"


def scope_of(custom_objects: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what Keras is to find under each name in a description.

    Args:
        custom_objects: classes and functions by name, as ``keras.saving.load_model`` takes them.

    Raises:
        UsageError: not such a mapping, or one of Keras's own classes, which nobody needs to name
            and some of which run code from the file.
    """
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, Mapping):
        raise UsageError(
            f"custom_objects is a {type(custom_objects).__name__}; "
            "give your classes by name: custom_objects={'MyLayer': MyLayer}"
        )
    scope: dict[str, Any] = {}
    for name, code in custom_objects.items():
        if not isinstance(name, str) or not callable(code):
            raise UsageError(
                f"custom_objects has {name!r}: {code!r}; "
                "give your classes by name: custom_objects={'MyLayer': MyLayer}"
            )
        if str(getattr(code, "__module__", "")).startswith("keras."):
            raise UsageError(
                f"custom_objects has {name!r}, which is Keras's own; name classes of yours only"
            )
        scope |= {GIVEN + name: code, keras.saving.get_registered_name(code): code}
        # A class of the same name as a stock layer's is known by its registered name only.
        if not hasattr(keras.layers, name) and not hasattr(keras, name):
            scope[name] = code
    return scope


def as_given(part: dict[str, Any], scope: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a part of a description that the user has named, or ``None`` where he has not.

    It then names the user's code beyond doubt, whatever else is registered in this process.
    """
    name, module = part.get("class_name"), part.get("module")
    if not isinstance(name, str) or str(module).startswith("keras."):
        return None
    if name == "function":
        known = isinstance(part.get("config"), str) and part["config"] in scope
        return dict(part) if known else None
    code = scope.get(GIVEN + name, scope.get(name) if ">" in name else None)
    if code is None:
        return None
    registered = part.get("registered_name")
    if registered not in (None, name, keras.saving.get_registered_name(code)):
        return None
    # The older form has neither, and names what it means by its class name.
    if module is None and registered is None:
        return dict(part)
    return {**part, "module": "given", "registered_name": GIVEN + name}
