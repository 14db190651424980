"""What a model was compiled with, as far as ``train`` has it; what it lacks is refused by name."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import UsageError
from cifarlab.recipes.parts import SGD, Adam, CrossEntropy, Optimizer

LOSSES = frozenset({"categorical_crossentropy", "sparse_categorical_crossentropy"})
REDUCTIONS = (None, "sum_over_batch_size", "mean", "mean_with_sample_weight")
# Of an optimizer's configuration: what changes training and the engine lacks.
LACKING = (
    *("weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema"),
    *("gradient_accumulation_steps", "amsgrad"),
)
OVERRIDDEN = ("train_step", "compute_loss", "test_step", "compute_metrics")
REMEDY = (
    "train it with cifarlab.fit(model, x, y), which keeps all of it, compile it with Adam or SGD "
    "and cross-entropy, or name a recipe: cifarlab.train(recipe, data, model=model)"
)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """The optimizer and the loss of a recipe that trains a model as it was compiled."""

    optimizer: Optimizer
    loss: CrossEntropy


def read_compiled(model: KerasModel) -> Compiled:
    """Return what a model was compiled with; Adam and cross-entropy where it was not.

    Raises:
        UsageError: it was compiled with, or overrides, what would be dropped; all of it is named.
    """
    reasons = [
        f"its own {name}" for name in OVERRIDDEN if getattr(type(model), name) is not _stock(name)
    ]
    optimizer = getattr(model, "optimizer", None)
    config = None if optimizer is None else keras.saving.serialize_keras_object(optimizer)
    loss = getattr(model, "loss", None)
    return _checked(model.name, config, loss, _loss_weights(model), reasons)


def read_compiled_file(path: Path, name: str) -> Compiled:
    """Return what the model in a file was compiled with, as ``read_compiled`` does.

    Nothing that the file names is built.
    """
    compiled = _compile_config(path)
    return _checked(name, compiled.get("optimizer"), compiled.get("loss"), None, [])


@contextmanager
def as_compiled_before(model: KerasModel) -> Iterator[None]:
    """Leave the block with the optimizer, loss and metrics that the model was compiled with."""
    kept = None
    if getattr(model, "compiled", False):
        metrics = getattr(model, "_compile_metrics", None)
        kept = {
            "optimizer": model.optimizer,
            "loss": model.loss,
            "loss_weights": _loss_weights(model),
            "metrics": getattr(metrics, "_user_metrics", None),
            "weighted_metrics": getattr(metrics, "_user_weighted_metrics", None),
        }
    try:
        yield
    finally:
        if kept is not None:
            model.compile(**kept)


def _checked(
    name: str, optimizer: Any, loss: Any, loss_weights: Any, reasons: list[str]
) -> Compiled:
    spec, lacking = _optimizer(optimizer)
    cross_entropy, wrong = _loss(loss)
    reasons = [*reasons, *lacking, *wrong, *(["loss weights"] if loss_weights else [])]
    if reasons:
        raise UsageError(
            f"model {name!r} has {', '.join(reasons)}, which would be dropped; {REMEDY}"
        )
    return Compiled(optimizer=spec, loss=cross_entropy)


def _optimizer(config: Any) -> tuple[Optimizer, list[str]]:
    if not isinstance(config, Mapping):
        return Adam(), [] if config is None else [f"the optimizer {config}"]
    values = config.get("config", {})
    kind = config.get("class_name")
    if kind == "LossScaleOptimizer":
        # Keras adds it to models of half precision; scales cancel out.
        return _optimizer(values.get("inner_optimizer"))
    lacking = [f"{name}={values[name]}" for name in LACKING if values.get(name)]
    rate = values.get("learning_rate")
    if isinstance(rate, Mapping):
        lacking.append(f"the learning-rate schedule {rate.get('class_name')}")
        rate = None
    if kind == "SGD":
        momentum = values.get("momentum", 0.0)
        spec: Optimizer = SGD(
            lr=rate or 0.01, momentum=momentum, nesterov=bool(values.get("nesterov"))
        )
    else:
        spec = Adam(
            lr=rate or 1e-3,
            beta_1=values.get("beta_1", 0.9),
            beta_2=values.get("beta_2", 0.999),
            epsilon=values.get("epsilon", 1e-7),
        )
    if kind not in ("SGD", "Adam"):
        lacking.append(f"the optimizer {kind}")
    return spec, lacking


def _loss(loss: Any) -> tuple[CrossEntropy, list[str]]:
    if loss is None:
        return CrossEntropy(), []
    name, config = _name_and_config(loss)
    if name not in LOSSES:
        return CrossEntropy(), [f"the loss {name}"]
    wrong = []
    if config.get("from_logits"):
        wrong.append("a loss from logits behind its softmax")
    if config.get("ignore_class") is not None:
        wrong.append(f"ignore_class={config['ignore_class']}")
    if config.get("reduction") not in REDUCTIONS:
        wrong.append(f"the loss reduction {config['reduction']!r}")
    return CrossEntropy(label_smoothing=config.get("label_smoothing") or 0.0), wrong


def _name_and_config(loss: Any) -> tuple[str, Mapping[str, Any]]:
    """Return a loss's name in small letters with underscores, and its settings."""
    if isinstance(loss, keras.losses.Loss):
        own = not type(loss).__module__.startswith("keras.")
        name = type(loss).__name__
        return (name, {}) if own else (_small(name), loss.get_config())
    if isinstance(loss, Mapping) and loss.get("class_name") == "function":
        return str(loss.get("config")), {}
    if isinstance(loss, Mapping) and "class_name" in loss:
        return _small(str(loss["class_name"])), loss.get("config") or {}
    if isinstance(loss, (list, tuple)) and len(loss) == 1:
        return _name_and_config(loss[0])
    if callable(loss):
        stock = str(getattr(loss, "__module__", "")).startswith("keras.")
        name = str(getattr(loss, "__name__", loss))
        return (name if stock else f"{name} (a function)"), {}
    return _small(str(loss)), {}


def _small(name: str) -> str:
    known = {"".join(part.capitalize() for part in n.split("_")): n for n in LOSSES}
    return known.get(name, name)


def _loss_weights(model: KerasModel) -> Any:
    return getattr(getattr(model, "_compile_loss", None), "_user_loss_weights", None)


def _stock(name: str) -> Any:
    # Where the class of a built model has none of its own, this is Keras's.
    return getattr(keras.Model, name)


def _compile_config(path: Path) -> Mapping[str, Any]:
    """Return the compilation that a file records, which is not built; empty where there is none."""
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
