"""The worker of plain Keras, ``fit`` or ``predict``, on the backend of ``KERAS_BACKEND``.

It imports cifarlab, which accepts no backend but PyTorch, only where ``cifarlab.fit`` is to train:
the model arrives as the JSON that ``model.to_json()`` gives.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import platform
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.answering import Message, RefusalError, serve

Prepared = tuple[Mapping[str, Any], Callable[[], object]]


def prepare(job: Message) -> Prepared:
    """Return the facts and the work of one round."""
    backend = os.environ["KERAS_BACKEND"]
    for library in (backend, "keras", "numpy"):
        if importlib.util.find_spec(library) is None:
            raise RefusalError("missing", library)
    import keras

    model = keras.models.model_from_json(with_precision(job["architecture"], job["precision"]))
    prepare_kind = _prediction if job["kind"] == "prediction" else _training
    facts, work = prepare_kind(model, job)
    device = str(model.weights[0].value.device)
    common = {
        "python": platform.python_version(),
        "keras": keras.__version__,
        backend: importlib.import_module(backend).__version__,
        "jit_compile": model.jit_compile,
        "device": device,
    }
    if backend == "torch":
        # Whether convolutions may round float32 to TF32.
        cudnn = importlib.import_module(backend).backends.cudnn
        common["tf32"] = device.startswith("cuda") and cudnn.allow_tf32
    return {**common, **facts}, work


def _training(model: Any, job: Message) -> Prepared:
    """One epoch of ``fit``, one step for each full batch."""
    import keras

    from benchmarks.images import CLASSES, synthetic

    model.compile(
        keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    images, labels = synthetic(job["steps"] * job["batch_size"])
    images = images.astype(job["images"])
    targets = keras.utils.to_categorical(labels, CLASSES)
    # It ends with the means of loss and accuracy as numbers, for which it waits for the device.
    if job["fit"] == "cifarlab":
        import cifarlab

        return {}, lambda: cifarlab.fit(model, images, targets, job["batch_size"], verbose=0)
    return {}, lambda: model.fit(images, targets, job["batch_size"], verbose=0)


def _prediction(model: Any, job: Message) -> Prepared:
    """Calls of ``predict``, each with all images in one batch, with cifarlab's weights."""
    from benchmarks.images import synthetic

    model.load_weights(job["weights"])
    images = synthetic(job["batch_size"])[0]

    def predict() -> Any:
        return model.predict(images, batch_size=len(images), verbose=0)

    def calls() -> None:
        for _ in range(job["steps"]):
            predict()

    return {"probabilities": predict().astype("float32").tolist()}, calls


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
