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
    part = {key: modern(item) for key, item in value.items()}
    name = part.get("class_name")
    if not isinstance(name, str):
        return part
    _rename_module(part, name)
    if name == "Policy" and isinstance(part.get("config"), dict):
        return part["config"].get("name", "float32")
    # The oldest files have the layers alone.
    if name == "Sequential" and isinstance(part.get("config"), list):
        part["config"] = {"layers": part["config"]}
    if isinstance(part.get("config"), dict):
        part["config"] = _settings(name, part["config"])
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
    if name == "Sequential" and isinstance(kept.get("layers"), list):
        kept["layers"] = _with_input(kept["layers"])
    elif name == "InputLayer" and "batch_input_shape" in kept:
        kept["batch_shape"] = kept.pop("batch_input_shape")
    return kept


def _with_input(layers: list[Any]) -> list[Any]:
    """Return the layers of a Sequential with an input of its own, which older ones leave out."""
    configs = [layer.get("config") for layer in layers if isinstance(layer, dict)]
    shapes = [
        config.pop("batch_input_shape", None) if isinstance(config, dict) else None
        for config in configs
    ]
    if not shapes or shapes[0] is None:
        return layers
    dtype = configs[0].get("dtype", "float32")
    given = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {
            "batch_shape": shapes[0],
            "dtype": dtype if isinstance(dtype, str) else "float32",
            "name": f"{configs[0].get('name', 'layer')}_input",
        },
        "registered_name": None,
    }
    return [given, *layers]
