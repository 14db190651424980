"""``fit``, ``evaluate`` and ``predict`` of a Keras model, with Keras's arguments and results.

The loops are Keras's own methods; only the work on a batch is done in another way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from cifarlab.backend import KerasModel, keras
from cifarlab.fitting.accelerator import Accelerator, nowhere, on_stderr
from cifarlab.runtime.device import choose_precision

# Taken once, so that they are Keras's own inside ``fast_fit`` too.
KERAS_OWN: Mapping[str, Callable[..., Any]] = {
    "fit": keras.Model.fit,
    "evaluate": keras.Model.evaluate,
    "predict": keras.Model.predict,
}


def fit(
    model: KerasModel,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: str | int = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool | str = True,
    class_weight: Any = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | list[int] = 1,
    *,
    precision: str = "auto",
    strict: bool = False,
) -> Any:
    """Train a compiled Keras model as ``model.fit`` does, faster.

    The arguments but the last two, their defaults, the order of callbacks, the printed lines and
    the returned ``keras.callbacks.History`` are those of ``keras.Model.fit``. The model, its
    optimizer's variables and its metrics change in place, and are current whenever a callback
    runs. What has no fast form runs as Keras runs it, and a line on stderr says what and why
    (none with ``verbose=0``).

    Args:
        precision: ``"float32"`` gives Keras's numbers but for rounding; ``"bfloat16"`` computes
            products while training in bfloat16, everything else in float32; ``"auto"`` does so
            where the processor has it.
        strict: raise ``NoFastFormError`` where all of it would run at Keras's own speed.

    Raises:
        NoFastFormError: see ``strict``; before the first batch.
        UsageError: an unknown precision.
        ValueError, TypeError: whatever ``keras.Model.fit`` raises.

    Example:
        >>> import numpy as np
        >>> import cifarlab
        >>> import keras
        >>> dense = keras.layers.Dense(2, activation="softmax")
        >>> model = keras.Sequential([keras.Input((4,)), dense])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> x, y = np.ones((8, 4)), np.zeros(8)
        >>> history = cifarlab.fit(model, x, y, epochs=2, verbose=0)
        >>> sorted(history.history), history.epoch
        (['loss'], [0, 1])
    """
    message = nowhere if verbose == 0 else on_stderr
    accelerator = Accelerator(precision=precision, strict=strict, message=message)
    arguments = {
        "x": x,
        "y": y,
        "batch_size": batch_size,
        "epochs": epochs,
        "verbose": verbose,
        "callbacks": callbacks,
        "validation_split": validation_split,
        "validation_data": validation_data,
        "shuffle": shuffle,
        "class_weight": class_weight,
        "sample_weight": sample_weight,
        "initial_epoch": initial_epoch,
        "steps_per_epoch": steps_per_epoch,
        "validation_steps": validation_steps,
        "validation_batch_size": validation_batch_size,
        "validation_freq": validation_freq,
    }
    return run_with(accelerator, model, "fit", arguments)


def evaluate(
    model: KerasModel,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    verbose: str | int = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
    *,
    strict: bool = False,
) -> Any:
    """Measure a compiled Keras model as ``model.evaluate`` does, faster, in float32.

    Args:
        strict: raise ``NoFastFormError`` where it would run at Keras's own speed.

    Returns:
        What ``keras.Model.evaluate`` returns: the loss, or a list or dictionary with the metrics.

    Raises:
        NoFastFormError: see ``strict``.
        ValueError, TypeError: whatever ``keras.Model.evaluate`` raises.
    """
    message = nowhere if verbose == 0 else on_stderr
    accelerator = Accelerator(strict=strict, message=message)
    arguments = {
        "x": x,
        "y": y,
        "batch_size": batch_size,
        "verbose": verbose,
        "sample_weight": sample_weight,
        "steps": steps,
        "callbacks": callbacks,
        "return_dict": return_dict,
    }
    return run_with(accelerator, model, "evaluate", arguments)


def predict(
    model: KerasModel,
    x: Any,
    batch_size: int | None = None,
    verbose: str | int = "auto",
    steps: int | None = None,
    callbacks: Any = None,
    *,
    strict: bool = False,
) -> Any:
    """Return a Keras model's outputs as ``model.predict`` does, faster, in float32.

    Args:
        strict: raise ``NoFastFormError`` where it would run at Keras's own speed.

    Returns:
        What ``keras.Model.predict`` returns: float arrays with a row for each of ``x``.

    Raises:
        NoFastFormError: see ``strict``.
        ValueError, TypeError: whatever ``keras.Model.predict`` raises.

    Example:
        >>> import numpy as np
        >>> import cifarlab
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> cifarlab.predict(model, np.ones((8, 4)), verbose=0).shape
        (8, 2)
    """
    message = nowhere if verbose == 0 else on_stderr
    accelerator = Accelerator(strict=strict, message=message)
    arguments = {
        "x": x,
        "batch_size": batch_size,
        "verbose": verbose,
        "steps": steps,
        "callbacks": callbacks,
    }
    return run_with(accelerator, model, "predict", arguments)


@contextmanager
def fast_fit(*, precision: str = "auto", strict: bool = False) -> Iterator[Accelerator]:
    """Make every ``model.fit``, ``evaluate`` and ``predict`` inside the block the fast one.

    Args:
        precision: as for ``fit``.
        strict: raise ``NoFastFormError`` where a call would run at Keras's own speed.

    Yields:
        An object whose ``records`` say of each call how it ran, why, and how long it took.

    Raises:
        UsageError: an unknown precision.
        NoFastFormError: see ``strict``; from the call itself.

    Example:
        >>> import numpy as np
        >>> import cifarlab
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> with cifarlab.fast_fit(precision="float32") as fast:
        ...     history = model.fit(np.ones((8, 4)), np.ones(8), verbose=0)
        >>> [(record.plan.call, record.plan.native) for record in fast.records]
        [('fit', True)]
    """
    choose_precision(precision, torch.device("cpu"))
    accelerator = Accelerator(precision=precision, strict=strict)
    with patched(accelerator):
        yield accelerator


@contextmanager
def patched(accelerator: Accelerator) -> Iterator[None]:
    """Put fast methods into ``keras.Model`` inside the block.

    Blocks may end in another order than they began in, as in threads: the last one that ends
    leaves Keras's own methods.
    """
    homes = {name: _home(name) for name in KERAS_OWN}
    ours = {name: _fast(accelerator, name, vars(home)[name]) for name, home in homes.items()}
    for name, home in homes.items():
        setattr(home, name, ours[name])
    try:
        yield
    finally:
        for name, home in homes.items():
            ours[name].ended = True
            method = vars(home)[name]
            while getattr(method, "ended", False):
                method = method.before
            setattr(home, name, method)


def _home(name: str) -> Any:
    """Return the class that ``keras.Model`` inherits the method from."""
    return next(base for base in keras.Model.__mro__ if name in vars(base))


def _fast(accelerator: Accelerator, name: str, before: Any) -> Any:
    # Of several blocks around a call, the innermost decides.
    keras_own = getattr(before, "keras_own", before)

    @functools.wraps(keras_own)
    def call(model: KerasModel, *args: Any, **kwargs: Any) -> Any:
        return accelerator.run(name, model, lambda: keras_own(model, *args, **kwargs))

    patch: Any = call
    patch.keras_own, patch.before, patch.ended = keras_own, before, False
    return patch


def run_with(
    accelerator: Accelerator, model: KerasModel, name: str, arguments: Mapping[str, Any]
) -> Any:
    """Call the model's method ``name``, which need not be Keras's, with fast steps."""
    if getattr(type(model), name) is KERAS_OWN[name] and name not in vars(model):
        return accelerator.run(name, model, lambda: KERAS_OWN[name](model, **arguments))
    with patched(accelerator):
        return getattr(model, name)(**arguments)
