"""Descriptions that Keras 2 and tf.keras wrote, in the words of Keras 3.

Keras 3 refuses the settings that its layers no longer have. They are left out where they say
nothing: a setting with another value than the one that Keras 3 always has stays, and is refused.
"""

from __future__ import annotations

import re
from typing import Any

# Settings that Keras 3 has no more, and the values with which a layer computes what it does today.
GONE: dict[str, tuple[Any, ...]] = {
    "rng_type": ("stateful", "stateless", "legacy_stateful", None),
    "auto_vectorize": (True, False),
    "time_major": (False,),
    "implementation": (0, 1, 2),
    "renorm": (False,),
    "virtual_batch_size": (None,),
    "fused": (None, True, False),
    "adjustment": (None,),
    "ragged": (False,),
    "softmax_robust_masking": (False,),
    "input_dtype": (None,),
}
# What a layer of attention was built for; Keras 3 learns it when it is called.
ATTENTION = ("query_shape", "key_shape", "value_shape")
# Convolutions that have no groups in Keras 3, ...
UNGROUPED = re.compile(r"(Separable|Depthwise)?Conv[123]D(Transpose)?")
# ... and those whose kernel is described by other settings.
NO_KERNEL = re.compile(r"(Separable|Depthwise)Conv[12]D")
KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
# Modules of Keras 2, which Keras 3 has elsewhere.
OLD_MODULE = re.compile(r"(tf_keras|tensorflow\.(python\.)?keras|keras\.(src\.)?engine)(\.|$)")
FUNCTIONAL = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "registered_name": "Functional",
}


def modern(value: Any) -> Any:
    """Return a description, or a part of one, as Keras 3 writes it."""
    if isinstance(value, list):
        return [modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("class_name")
    if name == "Sequential":
        value = value | {"config": _with_input(value.get("config"))}
    part = {key: modern(item) for key, item in value.items()}
    if not isinstance(name, str):
        return part
    _rename_module(part, name)
    if name == "Policy" and isinstance(part.get("config"), dict):
        return part["config"].get("name", "float32")
    if isinstance(part.get("config"), dict):
        part["config"] = _settings(name, part["config"])
    if isinstance(part.get("inbound_nodes"), list):
        part["inbound_nodes"] = [_node(node) for node in part["inbound_nodes"]]
    if name == "MultiHeadAttention":
        part.pop("build_config", None)
    return part


def _rename_module(part: dict[str, Any], name: str) -> None:
    module = part.get("module")
    if not isinstance(module, str):
        return
    if name in ("Functional", "Model") and OLD_MODULE.match(module):
        part |= FUNCTIONAL
    elif name == "Sequential" and OLD_MODULE.match(module):
        part |= {"module": "keras", "registered_name": None}
    elif module.startswith("tf_keras."):
        part["module"] = module.removeprefix("tf_")


def _settings(name: str, config: dict[str, Any]) -> dict[str, Any]:
    kept = {
        key: value
        for key, value in config.items()
        if not (key in GONE and any(value is v or value == v for v in GONE[key]))
    }
    if name == "MultiHeadAttention":
        kept = {key: value for key, value in kept.items() if key not in ATTENTION}
    if UNGROUPED.fullmatch(name) and kept.get("groups") == 1:
        del kept["groups"]
    if NO_KERNEL.fullmatch(name):
        kept = {key: value for key, value in kept.items() if key not in KERNEL}
    if name.startswith("SpatialDropout"):
        kept = {
            key: value for key, value in kept.items() if key not in ("trainable", "noise_shape")
        }
    axis = kept.get("axis")
    if name == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        kept["axis"] = axis[0]
    if name == "InputLayer" and "batch_input_shape" in kept:
        kept["batch_shape"] = kept.pop("batch_input_shape")
    kept.pop("batch_input_shape", None)
    if name in ("Functional", "Model"):
        for ends in ("input_layers", "output_layers"):
            kept[ends] = _single(kept.get(ends))
    return kept


def _single(ends: Any) -> Any:
    """Return the one tensor of a list of one: a model of one input is not called with a list."""
    return ends[0] if isinstance(ends, list) and len(ends) == 1 and _is_tensor(ends[0]) else ends


def _is_tensor(value: Any) -> bool:
    """Whether it is a layer's name, the number of its call, and that of the output."""
    return (
        isinstance(value, list)
        and len(value) == 3
        and isinstance(value[0], str)
        and all(type(number) is int for number in value[1:])
    )


def _node(node: Any) -> Any:
    """Return a call of a layer in the newer form where tensors are among its named arguments."""
    if not isinstance(node, list) or not node or not all(_is_call(tensor) for tensor in node):
        return node
    named = node[0][3] if len(node[0]) == 4 else {}
    if not any(_is_tensor(value) for value in named.values()):
        return node
    given = [_tensor(tensor[:3]) for tensor in node]
    return {
        "args": [given[0] if len(given) == 1 else given],
        "kwargs": {k: _tensor(v) if _is_tensor(v) else v for k, v in named.items()},
    }


def _is_call(value: Any) -> bool:
    if not isinstance(value, list) or not _is_tensor(value[:3]):
        return False
    return len(value) == 3 or (len(value) == 4 and isinstance(value[3], dict))


def _tensor(history: list[Any]) -> dict[str, Any]:
    # Keras takes shape and type from the layer, so that these stand for nothing.
    config = {"shape": [None], "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


def _with_input(config: Any) -> Any:
    """Return the settings of a Sequential with an input of its own, which older ones leave out."""
    # The oldest files have the layers alone.
    config = {"name": "sequential", "layers": config} if isinstance(config, list) else config
    layers = config.get("layers") if isinstance(config, dict) else None
    if not isinstance(layers, list) or not layers or not isinstance(layers[0], dict):
        return config
    settings = layers[0].get("config")
    if not isinstance(settings, dict) or "batch_input_shape" not in settings:
        return config
    if layers[0].get("class_name") == "InputLayer":
        return config
    given = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {
            "batch_shape": settings["batch_input_shape"],
            "dtype": "float32",
            "name": f"{settings.get('name', 'layer')}_input",
        },
        "registered_name": None,
    }
    return config | {"layers": [given, *layers]}
