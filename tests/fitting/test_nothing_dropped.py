"""Every argument of ``compile``, of every optimizer and every loss does what it does in Keras.

Each is given another value than its default: our result equals Keras's, and where Keras's result
changes, so does ours. An argument that Keras adds and that is in no table here fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import NoFastFormError
from cifarlab.fitting.fit import KERAS_OWN, fit
from fitting.comparison import Outcome, assert_same_outcome, outcome_of

layers, losses, optimizers = keras.layers, keras.losses, keras.optimizers

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 4)).astype("float32")
CLASSES = RNG.integers(0, 3, 8)
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]

# For each argument of an optimizer, a value and what makes it matter.
OPTIMIZER_VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "learning_rate": (lambda: optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), {}),
    "momentum": (0.7, {}),
    "nesterov": (True, {"momentum": 0.5}),
    "weight_decay": (0.3, {}),
    "clipnorm": (0.02, {}),
    "clipvalue": (0.005, {}),
    "global_clipnorm": (0.02, {}),
    "use_ema": (True, {}),
    "ema_momentum": (0.5, {"use_ema": True}),
    "ema_overwrite_frequency": (2, {"use_ema": True}),
    "loss_scale_factor": (8.0, {}),
    "gradient_accumulation_steps": (2, {}),
    "name": ("mine", {}),
    "beta_1": (0.5, {}),
    "beta_2": (0.8, {}),
    "epsilon": (0.1, {}),
    "amsgrad": (True, {"beta_2": 0.1}),
    "rho": (0.5, {}),
    "centered": (True, {}),
    "initial_accumulator_value": (0.5, {}),
    "learning_rate_power": (-0.7, {}),
    "l1_regularization_strength": (0.05, {}),
    "l2_regularization_strength": (0.05, {}),
    "l2_shrinkage_regularization_strength": (0.05, {}),
    "beta": (0.5, {}),
    "beta_2_decay": (-0.5, {}),
    "epsilon_1": (0.1, {}),
    "epsilon_2": (0.5, {}),
    "clip_threshold": (0.1, {}),
    "relative_step": (False, {"learning_rate": 2.0}),
    "warmup_steps": (3, {}),
    "adam_beta_1": (0.5, {}),
    "adam_beta_2": (0.8, {}),
    "adam_weight_decay": (0.3, {}),
    "exclude_layers": (["first"], {}),
    "exclude_embeddings": (False, {}),
    "muon_a": (3.0, {}),
    "muon_b": (-4.0, {}),
    "muon_c": (1.9, {}),
    "adam_lr_ratio": (0.3, {}),
    "ns_steps": (2, {}),
    "rms_rate": (0.5, {}),
}
# These default to true, so that their other value is false.
DEFAULTS = {("Muon", "nesterov"): (False, {}), ("Muon", "momentum"): (0.5, {})}
# What a step changes only where a number is large or small enough, or that only names something.
NEUTRAL = {
    "name": "a name",
    "loss_scale_factor": "a factor that the update takes back",
    "exclude_embeddings": "there is no embedding",
    "initial_scale": "a factor that the update takes back",
    "dynamic_growth_steps": "a factor that the update takes back",
}
# Lion takes the signs of gradients alone; Keras's Adafactor has its relative step in any case.
NEUTRAL_THERE = {
    ("Lion", "clipnorm"), ("Lion", "global_clipnorm"), ("Adafactor", "relative_step"),
}  # fmt: skip
# Without a division by rounding errors, where a gradient is nearly zero.
SAFE: dict[str, dict[str, Any]] = {
    name: {"epsilon": 1e-3}
    for name in ("Adam", "AdamW", "Nadam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Lamb",
                 "ScheduleFreeAdamW", "Muon")
}  # fmt: skip
WRAPPERS = ("LossScaleOptimizer", "MultiOptimizer")


def arguments_of(kind: Any) -> list[str]:
    return [name for name in inspect.signature(kind).parameters if name != "kwargs"]


def classes(module: Any, base: Any) -> list[str]:
    found = {n: getattr(module, n) for n in dir(module) if inspect.isclass(getattr(module, n))}
    return [n for n, kind in found.items() if issubclass(kind, base) and kind is not base]


OPTIMIZERS = [n for n in classes(optimizers, optimizers.Optimizer) if n not in WRAPPERS]
LOSSES = classes(losses, losses.Loss)
# All take the same way; some of them are enough for the fast tests.
OFTEN_USED = ("SGD", "Adam", "AdamW", "RMSprop", "Muon")
OPTIMIZER_CASES = [
    pytest.param(n, a, marks=() if n in OFTEN_USED else pytest.mark.slow)
    for n in OPTIMIZERS
    for a in arguments_of(getattr(optimizers, n))
]
LOSS_CASES = [(n, a) for n in LOSSES for a in arguments_of(getattr(losses, n))]


def network(activation: Any = "softmax") -> KerasModel:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, activation="tanh", name="first"),
            layers.Dense(3, activation=activation, name="last"),
        ]
    )


def both(
    model: KerasModel, compiled: Callable[[], dict[str, Any]], y: Any, tolerance: float = 2e-4
) -> Outcome:
    """Return our outcome, once it is Keras's."""

    def data() -> dict[str, Any]:
        return {"x": X, "y": y, "epochs": 2, "batch_size": 4, "shuffle": False, "verbose": 0}

    def fast(model: KerasModel, **arguments: Any) -> Any:
        return fit(model, precision="float32", strict=True, **arguments)

    keras_own = outcome_of(KERAS_OWN["fit"], model, compiled(), data())
    mine = outcome_of(fast, model, compiled(), data())
    assert_same_outcome(mine, keras_own, tolerance)
    return mine


def differ(one: Outcome, other: Outcome) -> bool:
    """Whether weights or losses differ by more than rounding."""
    pairs = [(value, other.weights[path]) for path, value in one.weights.items()]
    pairs.append((np.array(one.history["loss"]), np.array(other.history["loss"])))
    return any(not np.allclose(a, b, rtol=0, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize(("name", "argument"), OPTIMIZER_CASES)
def test_of_an_optimizer(name: str, argument: str) -> None:
    value, needed = DEFAULTS.get((name, argument)) or OPTIMIZER_VALUES[argument]
    base = {"learning_rate": 0.02, **SAFE.get(name, {}), **needed}

    def compiled(changes: dict[str, Any]) -> Callable[[], dict[str, Any]]:
        def make() -> dict[str, Any]:
            given = {**base, **{k: v() if callable(v) else v for k, v in changes.items()}}
            made = getattr(optimizers, name)(**given)
            return {"optimizer": made, "loss": "sparse_categorical_crossentropy"}

        return make

    model = network()
    plain = both(model, compiled({}), CLASSES)
    changed = both(model, compiled({argument: value}), CLASSES)
    neutral = argument in NEUTRAL or (name, argument) in NEUTRAL_THERE
    assert differ(plain, changed) != neutral


@pytest.mark.parametrize("argument", arguments_of(optimizers.LossScaleOptimizer))
def test_of_the_loss_scaling_optimizer(argument: str) -> None:
    values = {
        "inner_optimizer": None,
        "initial_scale": 64.0,
        "dynamic_growth_steps": 2,
        "name": "m",
    }

    def compiled() -> dict[str, Any]:
        given = {k: v for k, v in values.items() if k == argument and k != "inner_optimizer"}
        made = optimizers.LossScaleOptimizer(optimizers.Adam(0.02, epsilon=1e-3), **given)
        return {"optimizer": made, "loss": "sparse_categorical_crossentropy"}

    both(network(), compiled, CLASSES)


def test_of_the_optimizer_for_groups_of_weights() -> None:
    model = network()

    def compiled() -> dict[str, Any]:
        def choose(variable: Any) -> Any:
            bias = variable.path.endswith("bias")
            return optimizers.Adam(0.01, epsilon=1e-3) if bias else optimizers.SGD(0.1)

        made = optimizers.MultiOptimizer(choose)
        return {"optimizer": made, "loss": "sparse_categorical_crossentropy"}

    both(model, compiled, CLASSES)


LOSS_VALUES: dict[str, Any] = {
    "from_logits": True,
    "label_smoothing": 0.2,
    "axis": 0,
    "reduction": "sum",
    "name": "mine",
    "dtype": "bfloat16",
    "apply_class_balancing": True,
    "alpha": 0.8,
    "gamma": 1.0,
    "q": 0.3,
    "margin": 0.1,
    "remove_diagonal": False,
    "delta": 0.1,
    "ignore_class": 1,
    "beta": 0.8,
}


# A mean over all values either way; one value for the batch; the only axis.
SAME_LOSS = {
    ("BinaryCrossentropy", "axis"),
    ("BinaryFocalCrossentropy", "axis"),
    ("Dice", "reduction"),
    ("Tversky", "reduction"),
    ("SparseCategoricalCrossentropy", "axis"),
}


@pytest.mark.parametrize(("name", "argument"), LOSS_CASES)
def test_of_a_loss(name: str, argument: str) -> None:
    y: Any = ONE_HOT
    model = network()
    if name in ("SparseCategoricalCrossentropy", "CategoricalGeneralizedCrossEntropy", "Circle"):
        y = CLASSES
    elif name in ("Hinge", "SquaredHinge"):
        model, y = network("tanh"), 2 * ONE_HOT - 1
    elif name == "CTC":
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((4,)), layers.Dense(12), layers.Reshape((4, 3))])
        y = RNG.integers(1, 3, (8, 2))
    value, needed = LOSS_VALUES[argument], {}
    if (name, argument) == ("SparseCategoricalCrossentropy", "axis"):
        value = 1
    if name == "BinaryFocalCrossentropy" and argument == "alpha":
        needed = {"apply_class_balancing": True}

    def compiled(**changes: Any) -> Callable[[], dict[str, Any]]:
        return lambda: {
            "optimizer": optimizers.SGD(0.01),
            "loss": getattr(losses, name)(**{**needed, **changes}),
        }

    # Its own dtype rounds what comes out, and what differs in the last digit may round apart.
    tolerance = 2e-2 if argument == "dtype" else 2e-4
    plain = both(model, compiled(), y)
    changed = both(model, compiled(**{argument: value}), y, tolerance)
    if argument not in ("name", "dtype") and (name, argument) not in SAME_LOSS:
        assert differ(plain, changed)


# What changes, and the reason why Keras runs it if it does.
COMPILE_VALUES: dict[str, tuple[Callable[[], Any], str | None]] = {
    "optimizer": (lambda: optimizers.SGD(0.3), None),
    "loss": (lambda: "mse", None),
    "loss_weights": (lambda: 0.5, None),
    "metrics": (lambda: ["mae", "accuracy"], None),
    "weighted_metrics": (lambda: ["mae", "accuracy"], None),
    "run_eagerly": (lambda: True, "compile(run_eagerly=True)"),
    "steps_per_execution": (lambda: 2, "compile(steps_per_execution=2)"),
    "jit_compile": (lambda: True, "compile(jit_compile=True)"),
    "auto_scale_loss": (lambda: False, None),
}


@pytest.mark.parametrize("argument", [a for a in arguments_of(keras.Model.compile) if a != "self"])
def test_of_compile(argument: str) -> None:
    make, reason = COMPILE_VALUES[argument]
    model = network()

    def compiled() -> dict[str, Any]:
        base = {"optimizer": optimizers.SGD(0.1), "loss": "categorical_crossentropy"}
        return {**base, argument: make()}

    if reason is None:
        mine = both(model, compiled, ONE_HOT)
        if argument in ("metrics", "weighted_metrics"):
            assert set(mine.history) == {"loss", "mae", "accuracy"}
        return
    model.compile(**compiled())
    with pytest.raises(NoFastFormError) as refused:
        fit(model, X, ONE_HOT, strict=True)
    assert reason in str(refused.value)
