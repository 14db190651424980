"""The worker that trains with plain ``keras.Model.fit`` on the backend of ``KERAS_BACKEND``.

It never imports cifarlab, which accepts no backend but PyTorch: the model arrives as the
JSON that ``model.to_json()`` gives.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.answering import RefusalError, Settings, serve


def prepare(settings: Settings) -> tuple[Mapping[str, Any], Callable[[], object]]:
    """Return the facts and one epoch of ``fit``, one step for each full batch."""
    backend = os.environ["KERAS_BACKEND"]
    for library in (backend, "keras", "numpy"):
        if importlib.util.find_spec(library) is None:
            raise RefusalError("missing", library)
    import keras

    from benchmarks.pictures import CLASSES, synthetic

    model = keras.models.model_from_json(
        with_precision(settings["architecture"], settings["precision"])
    )
    model.compile(
        keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    images, labels = synthetic(settings["steps"] * settings["batch_size"])
    images = images.astype(settings["pictures"])
    targets = keras.utils.to_categorical(labels, CLASSES)
    facts = {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "jit_compile": model.jit_compile,
    }
    return facts, lambda: model.fit(images, targets, settings["batch_size"], verbose=0)


def with_precision(architecture: str, precision: str) -> str:
    """Return a model's JSON with ``precision`` as the dtype policy of all layers but the last.

    The last one gives the probabilities and stays float32, as Keras's guide to mixed
    precision advises.
    """
    model = json.loads(architecture)
    for layer in model["config"]["layers"][:-1]:
        _set_policies(layer, precision)
    return json.dumps(model)


def _set_policies(part: Any, precision: str) -> None:
    if isinstance(part, list):
        for item in part:
            _set_policies(item, precision)
    elif isinstance(part, dict):
        if part.get("class_name") == "DTypePolicy":
            part["config"]["name"] = precision
        for item in part.values():
            _set_policies(item, precision)


if __name__ == "__main__":
    serve(prepare)
