"""Random models, arguments of ``compile`` and arguments of ``fit``, for comparisons with Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from cifarlab.backend import KerasModel, keras
from lowering.inputs import CLASSES
from lowering.strategies import Draw, model_from

COUNT = 12

layers, losses, metrics, optimizers = keras.layers, keras.losses, keras.metrics, keras.optimizers

# Optimizers divide by the size of the gradient. Where the true gradient is zero (a bias before
# batch normalisation), this keeps them from dividing rounding errors by each other.
EPSILON = 1e-2

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "SGD": optimizers.SGD,
    "momentum": lambda **k: optimizers.SGD(momentum=0.9, **k),
    "nesterov": lambda **k: optimizers.SGD(momentum=0.8, nesterov=True, **k),
    "Adam": lambda **k: optimizers.Adam(epsilon=EPSILON, **k),
    "amsgrad": lambda **k: optimizers.Adam(epsilon=EPSILON, amsgrad=True, **k),
    "AdamW": lambda **k: optimizers.AdamW(epsilon=EPSILON, **{"weight_decay": 0.01, **k}),
    "RMSprop": lambda **k: optimizers.RMSprop(epsilon=EPSILON, **k),
    "centered": lambda **k: optimizers.RMSprop(
        epsilon=EPSILON, centered=True, momentum=0.5, **k
    ),
    "Nadam": lambda **k: optimizers.Nadam(epsilon=EPSILON, **k),
    "Adamax": lambda **k: optimizers.Adamax(epsilon=EPSILON, **k),
    "Adagrad": lambda **k: optimizers.Adagrad(epsilon=EPSILON, **k),
    "Adadelta": lambda **k: optimizers.Adadelta(epsilon=EPSILON, **k),
    "Ftrl": lambda **k: optimizers.Ftrl(**k),
    "Lamb": lambda **k: optimizers.Lamb(epsilon=EPSILON, **k),
    "LossScale": lambda **k: optimizers.LossScaleOptimizer(optimizers.SGD(**k), 256.0),
}  # fmt: skip

SCHEDULES: tuple[Callable[[], Any], ...] = (
    lambda: 0.02,
    lambda: optimizers.schedules.ExponentialDecay(0.05, 2, 0.5),
    lambda: optimizers.schedules.CosineDecay(0.01, 3, warmup_target=0.05, warmup_steps=2),
    lambda: optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.05, 0.02, 0.01]),
)

EXTRAS: tuple[dict[str, Any], ...] = (
    {},
    {"weight_decay": 0.05},
    {"clipnorm": 0.1},
    {"clipvalue": 0.01},
    {"global_clipnorm": 0.2},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2},
    {"gradient_accumulation_steps": 2},
    {"loss_scale_factor": 16.0},
)


def own_loss(y_true: Any, y_pred: Any) -> Any:
    """A function of the user's."""
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1) * 3.0


def own_metric(y_true: Any, y_pred: Any) -> Any:
    """A function of the user's."""
    return keras.ops.max(y_pred, axis=-1) + 0.0 * keras.ops.sum(y_true, axis=-1)


# Losses of one-hot targets, then of class numbers.
DENSE_LOSSES: tuple[Callable[[], Any], ...] = (
    lambda: "categorical_crossentropy",
    lambda: "crossentropy",
    lambda: losses.CategoricalCrossentropy(label_smoothing=0.2),
    lambda: losses.CategoricalCrossentropy(from_logits=True, reduction="sum"),
    lambda: losses.CategoricalCrossentropy(reduction="mean_with_sample_weight"),
    lambda: losses.CategoricalFocalCrossentropy(alpha=0.5, gamma=1.5),
    lambda: losses.BinaryCrossentropy(label_smoothing=0.1),
    lambda: losses.BinaryFocalCrossentropy(),
    lambda: "mse",
    lambda: losses.Huber(0.3),
    lambda: losses.LogCosh(),
    lambda: "kl_divergence",
    lambda: "poisson",
    lambda: losses.Dice(),
    lambda: losses.Tversky(),
    lambda: losses.CosineSimilarity(),
    lambda: own_loss,
)  # fmt: skip
SPARSE_LOSSES: tuple[Callable[[], Any], ...] = (
    lambda: "sparse_categorical_crossentropy",
    lambda: losses.SparseCategoricalCrossentropy(from_logits=True),
    lambda: losses.SparseCategoricalCrossentropy(ignore_class=1),
)
DENSE_METRICS: tuple[Callable[[], Any], ...] = (
    lambda: "accuracy",
    lambda: "acc",
    lambda: metrics.TopKCategoricalAccuracy(2, name="top2"),
    lambda: metrics.AUC(num_thresholds=9, name="auc"),
    lambda: metrics.F1Score("macro"),
    lambda: metrics.CategoricalCrossentropy(),
    lambda: metrics.Precision(name="precision"),
    lambda: own_metric,
)
SPARSE_METRICS: tuple[Callable[[], Any], ...] = (
    lambda: "accuracy",
    lambda: metrics.SparseTopKCategoricalAccuracy(2, name="top2"),
    lambda: "sparse_categorical_crossentropy",
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """A model, how to compile it, and how to call ``fit``; both make new objects each time."""

    model: KerasModel
    compiled: Callable[[], dict[str, Any]]
    arguments: Callable[[], dict[str, Any]]
    said: str

    def __repr__(self) -> str:
        return self.said


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Arrays as a ``PyDataset``."""

    def __init__(self, arrays: Sequence[np.ndarray], size: int) -> None:
        super().__init__()
        self.arrays, self.size = arrays, size

    def __len__(self) -> int:
        return -(-len(self.arrays[0]) // self.size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        part = slice(index * self.size, (index + 1) * self.size)
        return tuple(a[part] for a in self.arrays)


def _generated(arrays: Sequence[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, ...]]:
    while True:
        yield from (Batches(arrays, size)[i] for i in range(len(arrays[0]) // size))


def a_call(draw: Draw) -> Call:
    """Draw a call whose result does not depend on chance, but for dropout and shuffling."""
    model = _with_chance(draw, model_from(draw))
    _change(draw, model)
    one_hot = draw(st.booleans())
    compiled = _compile_arguments(draw, one_hot)
    arguments, said = _fit_arguments(draw, model, one_hot)
    names = [type(layer).__name__ for layer in model._flatten_layers(include_self=False)]
    shown = f"{names}\n{compiled()}\n{said}"
    return Call(model=model, compiled=compiled, arguments=arguments, said=shown)


def _with_chance(draw: Draw, model: KerasModel) -> KerasModel:
    """Put a layer that draws random numbers before the model, or none."""
    first = draw(
        st.sampled_from(
            [
                lambda: None,
                lambda: layers.Dropout(0.3),
                lambda: layers.Dropout(0.3, seed=3),
                lambda: layers.SpatialDropout2D(0.3),
                lambda: layers.GaussianNoise(0.1),
                lambda: layers.RandomFlip("horizontal"),
            ]
        )
    )()
    if first is None:
        return model
    inputs = keras.Input(model.input_shape[1:])
    return keras.Model(inputs, model(first(inputs)))


def _change(draw: Draw, model: KerasModel) -> None:
    """Freeze some layers, give some weights a regularizer or a constraint."""
    layers_with_weights = [layer for layer in model.layers if layer.weights]
    for layer in layers_with_weights[:-1]:
        layer.trainable = draw(st.integers(0, 5)) > 0
    for variable in model.trainable_weights:
        kind = draw(st.integers(0, 9))
        if kind == 0:
            variable.regularizer = keras.regularizers.L2(0.01)
        if kind == 1 and len(variable.shape) > 1:
            variable.constraint = keras.constraints.MaxNorm(0.9, axis=0)


def _compile_arguments(draw: Draw, one_hot: bool) -> Callable[[], dict[str, Any]]:
    name = draw(st.sampled_from(sorted(OPTIMIZERS)))
    rate = draw(st.sampled_from(SCHEDULES))
    extra = draw(st.sampled_from(EXTRAS))
    if name == "LossScale":
        # The wrapper refuses or changes what is said of the optimizer inside.
        extra = {k: v for k, v in extra.items() if k in ("weight_decay", "clipvalue")}
    loss = draw(st.sampled_from(DENSE_LOSSES if one_hot else SPARSE_LOSSES))
    possible = DENSE_METRICS if one_hot else SPARSE_METRICS
    measured = draw(st.lists(st.sampled_from(possible), max_size=3, unique=True))
    weighted = draw(st.lists(st.sampled_from(possible), max_size=1))
    weights = draw(st.none() | st.just(0.5))

    def make() -> dict[str, Any]:
        return {
            "optimizer": OPTIMIZERS[name](learning_rate=rate(), **extra),
            "loss": loss(),
            "loss_weights": weights,
            "metrics": [metric() for metric in measured] or None,
            "weighted_metrics": [metric() for metric in weighted] or None,
        }

    return make


def _fit_arguments(
    draw: Draw, model: KerasModel, one_hot: bool
) -> tuple[Callable[[], dict[str, Any]], str]:
    rng = np.random.default_rng(draw(st.integers(0, 100)))
    x = rng.normal(size=(COUNT, *model.input_shape[1:])).astype("float32")
    y = rng.integers(0, CLASSES, COUNT)
    weights = rng.random(COUNT).astype("float32") + 0.5
    y = np.eye(CLASSES, dtype="float32")[y] if one_hot else y
    kind = draw(st.sampled_from(["arrays", "tensors", "loader", "generator", "dataset"]))
    size = draw(st.sampled_from([4, 5, 12]))
    chosen: dict[str, Any] = {"epochs": draw(st.integers(1, 3)), "verbose": 0}
    if draw(st.booleans()):
        chosen["initial_epoch"] = draw(st.integers(0, 1))
    held_out = draw(st.sampled_from(["no", "arrays", "weighted", "split"]))
    if held_out == "split" and kind == "arrays":
        chosen["validation_split"] = 0.25
    elif held_out != "no":
        parts = (x[:5], y[:5], weights[:5])
        chosen["validation_data"] = parts if held_out == "weighted" else parts[:2]
        chosen["validation_freq"] = draw(st.sampled_from([1, 2, [1, 3]]))
        chosen["validation_batch_size"] = draw(st.none() | st.just(3))
    weighting = draw(st.sampled_from(["no", "class", "sample"]))
    batches = [x, y] if weighting != "sample" else [x, y, weights]
    if kind in ("arrays", "tensors"):
        chosen["batch_size"] = size
        chosen["shuffle"] = draw(st.sampled_from([False, True, "batch"]))
        chosen["steps_per_epoch"] = draw(st.none() | st.just(1))
        if weighting == "sample":
            chosen["sample_weight"] = weights
        if weighting == "class":
            chosen["class_weight"] = {0: 1.0, 1: 2.0, 2: 0.3}
    elif kind == "generator":
        size = 4
        chosen["steps_per_epoch"] = 2
        chosen["shuffle"] = False
    else:
        chosen["shuffle"] = False

    def make() -> dict[str, Any]:
        if kind == "arrays":
            return {"x": x, "y": y, **chosen}
        if kind == "tensors":
            return {"x": torch.from_numpy(x), "y": torch.from_numpy(y), **chosen}
        if kind == "generator":
            return {"x": _generated(batches, size), **chosen}
        if kind == "dataset":
            return {"x": Batches(batches, size), **chosen}
        dataset = torch.utils.data.TensorDataset(*map(torch.from_numpy, batches))
        return {"x": torch.utils.data.DataLoader(dataset, batch_size=size), **chosen}

    said = {k: v for k, v in chosen.items() if "data" not in k and k != "sample_weight"}
    return make, f"{kind} {weighting} {held_out} {said}"
