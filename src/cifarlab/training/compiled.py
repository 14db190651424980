"""What a model was compiled with: read from it or its file, recorded, and built again.

Nothing that a file names is run: of a record only Keras's own optimizers, schedules, losses and
metrics are built.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, UsageError, warn_user
from cifarlab.files import printable
from cifarlab.recipes.parts import AsCompiled
from cifarlab.training.losses import is_stock

ARGUMENTS = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
# Ways to run, which change no result.
OTHER_ARGUMENTS = ("run_eagerly", "steps_per_execution", "jit_compile", "auto_scale_loss")
# The rooms of Keras whose classes a record may name.
HOMES = {
    "keras.optimizers": keras.optimizers,
    "keras.optimizers.schedules": keras.optimizers.schedules,
    "keras.losses": keras.losses,
    "keras.metrics": keras.metrics,
}


def read_compiled(model: KerasModel) -> AsCompiled | None:
    """Return what a model was compiled with, ``None`` where it was not."""
    if not getattr(model, "compiled", False):
        return None
    own = tuple(dict.fromkeys(_own_parts(model)))
    try:
        config = dict(model.get_compile_config() or {})
        # Keras's ``.h5`` writer takes it out of a model that it has saved.
        config["optimizer"] = keras.saving.serialize_keras_object(model.optimizer)
        config = _plain(config)
    # The code of classes that others wrote may raise anything.
    except Exception:
        config = {}
        own = own or ("what it was compiled with, which Keras cannot describe",)
    return AsCompiled(config=config, own=own)


def read_compiled_file(path: Path) -> AsCompiled | None:
    """Return what the model in a file was compiled with; nothing that it names is built.

    Keras takes the optimizer out of the description of a model that was saved as ``.h5`` before:
    then it is Adam, with a warning.
    """
    config = dict(_compile_config(path))
    if not config.get("optimizer") and not config.get("loss"):
        return None
    if not config.get("optimizer"):
        config["optimizer"] = keras.saving.serialize_keras_object(keras.optimizers.Adam())
        warn_user(
            f"{printable(path)}: was compiled with a loss, and holds no optimizer (Keras leaves it "
            "out once a model has been saved as .h5); trained with Adam"
        )
    return AsCompiled(config={name: config[name] for name in ARGUMENTS if name in config})


def compile_as(model: KerasModel, compiled: AsCompiled) -> None:
    """Compile a model as a record says, with new objects of Keras's own classes.

    Raises:
        InputError: the record names anything else, which only the user's own code has.
    """
    if compiled.own:
        raise _needs_code(model, ", ".join(compiled.own))
    try:
        arguments = {
            name: _built(compiled.config.get(name), name, model)
            for name in ARGUMENTS
            if compiled.config.get(name) is not None
        }
        model.compile(**arguments)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"model {model.name!r}: what it was compiled with cannot be built again "
            f"({' '.join(str(error).split())[:160]}); give the compiled model from Python"
        ) from error


def load_optimizer_state(model: KerasModel, path: Path) -> int:
    """Give a compiled model's optimizer the state that a ``.keras`` file holds of it.

    Returns:
        The number of steps that it has done; 0 where the file holds no state that fits.
    """
    optimizer = model.optimizer
    optimizer.build(model.trainable_variables)
    try:
        import h5py

        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content) as file:
            store = file["optimizer/vars"]
            arrays = [store[str(i)][()] for i in range(len(store))]
    except (OSError, KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile):
        return 0
    variables = optimizer.variables
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        return 0
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return int(optimizer.iterations)


@contextmanager
def as_compiled_before(model: KerasModel) -> Iterator[None]:
    """Leave the block with the optimizer, loss and metrics that the model was compiled with."""
    kept = _compile_arguments(model)
    try:
        yield
    finally:
        if kept is not None:
            model.compile(**kept)


def compile_alike(model: KerasModel, other: KerasModel) -> None:
    """Compile ``model`` with the very objects that ``other`` was compiled with, if it was.

    Args:
        model: of the same layers, with one output; what names that of ``other`` is about it.
    """
    arguments = _compile_arguments(other)
    if arguments is not None:
        model.compile(**{name: _of_only_output(value) for name, value in arguments.items()})


def _of_only_output(value: Any) -> Any:
    single = isinstance(value, Mapping) and len(value) == 1
    return next(iter(value.values())) if single else value


def _compile_arguments(model: KerasModel) -> dict[str, Any] | None:
    """Return what a model was compiled with, as the arguments of ``compile``; the same objects."""
    if not getattr(model, "compiled", False):
        return None
    metrics = getattr(model, "_compile_metrics", None)
    losses = getattr(model, "_compile_loss", None)
    return {
        "optimizer": model.optimizer,
        "loss": model.loss,
        "loss_weights": getattr(losses, "_user_loss_weights", None),
        "metrics": getattr(metrics, "_user_metrics", None),
        "weighted_metrics": getattr(metrics, "_user_weighted_metrics", None),
        "run_eagerly": model.run_eagerly,
        "steps_per_execution": model.steps_per_execution,
        "jit_compile": model.jit_compile,
    }


@contextmanager
def inner_uncompiled(model: KerasModel, finished: KerasModel) -> Iterator[None]:
    """Have no model inside of the two compiled in the block, so that files hold one optimizer.

    Such as a model of the user's inside its plain form, or a body that was once trained alone.
    """
    inside = {
        id(layer): layer
        for outer in (model, finished)
        for layer in outer._flatten_layers(include_self=False)
        if layer is not model and getattr(layer, "compiled", False)
    }
    optimizers = [(layer, layer.optimizer) for layer in inside.values()]
    for layer, _ in optimizers:
        layer.compiled, layer.optimizer = False, None
    try:
        yield
    finally:
        for layer, optimizer in optimizers:
            layer.compiled, layer.optimizer = True, optimizer


@contextmanager
def rate_as_before(model: KerasModel, compiled: AsCompiled) -> Iterator[None]:
    """Leave the block with the optimizer's own learning rate, where a run had another one."""
    if compiled.learning_rate is None:
        yield
        return
    before = float(model.optimizer.learning_rate)
    try:
        yield
    finally:
        model.optimizer.learning_rate = before


def _own_parts(model: KerasModel) -> Iterator[str]:
    """Yield the names of classes and functions of the user's in what a model was compiled with."""
    metrics = getattr(model, "_compile_metrics", None)
    parts = [
        model.optimizer,
        getattr(model.optimizer, "_learning_rate", None),
        getattr(model.optimizer, "inner_optimizer", None),
        *getattr(model.optimizer, "optimizers", ()),
        *keras.tree.flatten(model.loss),
        *keras.tree.flatten(getattr(metrics, "_user_metrics", None)),
        *keras.tree.flatten(getattr(metrics, "_user_weighted_metrics", None)),
    ]
    for part in parts:
        if part is None or isinstance(part, (str, int, float)):
            continue
        # Keras's objects wrap functions, which may be the user's.
        for piece in (part, getattr(part, "fn", None), getattr(part, "_fn", None)):
            if piece is not None and (isinstance(piece, functools.partial) or not is_stock(piece)):
                yield str(getattr(piece, "__name__", type(piece).__name__))
    if hasattr(model.optimizer, "optimizers"):
        yield type(model.optimizer).__name__


def _plain(value: Any) -> Any:
    """Return values that JSON holds; what it cannot hold is named."""
    return json.loads(json.dumps(value, default=_name_of, allow_nan=True))


def _name_of(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(getattr(value, "__name__", type(value).__name__))


def _built(value: Any, argument: str, model: KerasModel) -> Any:
    """Return new objects of Keras's own classes for one argument of ``compile``."""
    checked = _checked(value, model)
    if argument == "optimizer":
        return keras.optimizers.get(checked)
    if argument == "loss" and isinstance(checked, Mapping) and "class_name" in checked:
        return keras.losses.get(checked)
    if argument in ("metrics", "weighted_metrics"):
        return _metrics(checked)
    return checked


def _metrics(value: Any) -> Any:
    if isinstance(value, Mapping) and "class_name" in value:
        return keras.metrics.get(value)
    if isinstance(value, Mapping):
        return {name: _metrics(item) for name, item in value.items()}
    return [_metrics(item) for item in value] if isinstance(value, list) else value


def _checked(value: Any, model: KerasModel) -> Any:
    """Return a description that names parts of Keras only, each with its home.

    Raises:
        InputError: it names anything else.
    """
    if isinstance(value, (list, tuple)):
        return [_checked(item, model) for item in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:
        return {name: _checked(item, model) for name, item in value.items()}
    name, config = str(value["class_name"]), value.get("config")
    if name == "function":
        # Keras's functions have names in small letters, and are found by them.
        for home in (keras.losses, keras.metrics):
            if is_stock(getattr(home, str(config), None)) and str(config).islower():
                return str(config)
        raise _needs_code(model, str(config))
    module = str(value.get("module") or "keras")
    home_name = next(
        (h for h, home in HOMES.items() if isinstance(getattr(home, name, 0), type)), ""
    )
    if not home_name or module.split(".")[0] != "keras":
        raise _needs_code(model, name)
    checked = _checked(config, model)
    return {"module": home_name, "class_name": name, "config": checked, "registered_name": None}


def _needs_code(model: KerasModel, names: str) -> InputError:
    return InputError(
        f"model {model.name!r} was compiled with code that no file holds ({names[:160]}); give "
        "the compiled model from Python: cifarlab.train(model, data), or "
        "cifarlab.resume(directory, model=model)"
    )


def _compile_config(path: Path) -> Mapping[str, Any]:
    """Return the compilation that a file records; empty where there is none."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json")).get("compile_config")
        else:
            import h5py

            with h5py.File(path) as file:
                config = json.loads(file.attrs.get("training_config", "null"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return {}
    if not isinstance(config, Mapping):
        return {}
    # The older form says optimizer_config.
    return {"optimizer": config.get("optimizer_config"), **config}


def check_rate(model: KerasModel, learning_rate: float | None) -> None:
    """Raise ``UsageError`` where a learning rate cannot stand in for the optimizer's own."""
    if learning_rate is None:
        return
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rate = getattr(optimizer, "_learning_rate", None)
    several = hasattr(optimizer, "optimizers")
    if several or not isinstance(rate, keras.Variable):
        kind = type(optimizer if several or rate is None else rate).__name__
        raise UsageError(
            f"learning rate {learning_rate:g}: model {model.name!r} was compiled with {kind}, "
            "which sets its own rates; leave the learning rate out, or compile the model with a "
            "number"
        )
