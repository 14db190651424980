"""A model that is trained as it was compiled: killed and resumed is uninterrupted, bit for bit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifarlab.backend import KerasModel, keras
from cifarlab.errors import InputError, RunInterruptedError
from fitting.test_nothing_dropped import OFTEN_USED, OPTIMIZERS, SAFE
from tiny import SignalAt
from training.as_compiled import SIDE, compiled, network, train_here, weights_of

layers, losses, metrics, optimizers = keras.layers, keras.losses, keras.metrics, keras.optimizers

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


def warm_up() -> Any:
    return optimizers.schedules.CosineDecay(0.0, 5, warmup_target=0.1, warmup_steps=2)


# Settings of an optimizer that keep something from step to step.
SETTINGS: dict[str, Callable[[], Any]] = {
    "schedule": lambda: optimizers.Adam(warm_up(), epsilon=1e-3),
    "averages": lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "averages on the way": lambda: optimizers.SGD(
        0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "accumulated gradients": lambda: optimizers.Adam(0.1, gradient_accumulation_steps=4),
    "amsgrad": lambda: optimizers.Adam(0.1, amsgrad=True),
    "loss scaling": lambda: optimizers.LossScaleOptimizer(
        optimizers.Adam(0.1), 64.0, dynamic_growth_steps=2
    ),
    "several": lambda: optimizers.MultiOptimizer(
        lambda v: optimizers.Adam(0.1) if "first" in v.path else optimizers.SGD(0.1)
    ),
}
PLAIN = {
    name: lambda name=name: getattr(optimizers, name)(learning_rate=0.05, **SAFE.get(name, {}))
    for name in OPTIMIZERS
}
CASES = [
    *(pytest.param(make, id=name) for name, make in SETTINGS.items()),
    *(
        pytest.param(make, id=name, marks=() if name in OFTEN_USED else pytest.mark.slow)
        for name, make in PLAIN.items()
    ),
]


def make_model(optimizer: Callable[[], Any], net: Callable[[], Any] = network) -> KerasModel:
    return compiled(
        net(),
        lambda: {
            "optimizer": optimizer(),
            "loss": losses.CategoricalCrossentropy(label_smoothing=0.1),
            "metrics": ["accuracy", metrics.TopKCategoricalAccuracy(2, name="top2")],
        },
    )


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def bytes_of(model: KerasModel) -> list[bytes]:
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)).tobytes() for v in variables]


def killed_and_resumed(
    make: Callable[[], KerasModel], checkpoints: Path, step: int, **changes: Any
) -> tuple[KerasModel, list[dict[str, float]]]:
    stop = SignalAt({step: signal.SIGINT})
    with pytest.raises(RunInterruptedError):
        train_here(make(), checkpoints=checkpoints, progress=stop, **changes)
    model = make()
    return model, train_here(model, checkpoints=checkpoints, **changes)


@pytest.mark.parametrize("optimizer", CASES)
def test_of_each_optimizer(optimizer: Callable[[], Any], tmp_path: Path) -> None:
    whole = make_model(optimizer)
    history = train_here(whole)
    # Step 2 of 3 in the first epoch.
    model, resumed = killed_and_resumed(lambda: make_model(optimizer), tmp_path, 2)
    assert bytes_of(model) == bytes_of(whole)
    assert without_seconds(resumed) == without_seconds(history)


def chancy() -> KerasModel:
    """A network with dropout, noise and batch normalisation, drawing from what is saved."""
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.SpatialDropout2D(0.2),
            layers.GaussianNoise(0.1),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dropout(0.3, seed=3),
            layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.parametrize("step", [1, 3, 5])
def test_with_chance_and_weights_of_classes(step: int, tmp_path: Path) -> None:
    def make() -> KerasModel:
        return make_model(lambda: optimizers.AdamW(warm_up(), clipnorm=0.5), chancy)

    changes: dict[str, Any] = {"class_weights": {0: 2.0}, "sampler": "shuffled"}
    whole = make()
    history = train_here(whole, **changes)
    model, resumed = killed_and_resumed(make, tmp_path, step, **changes)
    assert bytes_of(model) == bytes_of(whole)
    assert without_seconds(resumed) == without_seconds(history)


def test_the_number_of_steps_goes_on(tmp_path: Path) -> None:
    model, _ = killed_and_resumed(lambda: make_model(SETTINGS["schedule"]), tmp_path, 4)
    assert int(model.optimizer.iterations) == 6


def test_a_rate_that_a_callback_lowered_goes_on(tmp_path: Path) -> None:
    def make() -> KerasModel:
        return make_model(lambda: optimizers.SGD(0.1))

    def lower(model: KerasModel) -> Any:
        def halve(*_: Any) -> None:
            model.optimizer.learning_rate = float(model.optimizer.learning_rate) / 2

        return keras.callbacks.LambdaCallback(on_epoch_end=halve)

    whole = make()
    train_here(whole, callbacks=[lower(whole)])
    first, second = make(), make()
    stop = SignalAt({4: signal.SIGINT})
    with pytest.raises(RunInterruptedError):
        train_here(first, checkpoints=tmp_path, progress=stop, callbacks=[lower(first)])
    train_here(second, checkpoints=tmp_path, callbacks=[lower(second)])
    assert bytes_of(second) == bytes_of(whole)
    assert float(second.optimizer.learning_rate) == pytest.approx(0.025)


def test_another_optimizer_is_not_resumed(tmp_path: Path) -> None:
    stop = SignalAt({2: signal.SIGINT})
    with pytest.raises(RunInterruptedError):
        train_here(make_model(PLAIN["Adam"]), checkpoints=tmp_path, progress=stop)
    with (
        pytest.warns(UserWarning, match="compiled otherwise"),
        pytest.raises(InputError, match="none of its 1 checkpoints can be used"),
    ):
        train_here(make_model(PLAIN["SGD"]), checkpoints=tmp_path)


def test_weights_are_averaged_in_the_end_and_while_they_are_measured(tmp_path: Path) -> None:
    model = make_model(SETTINGS["averages"])
    seen: list[list[np.ndarray]] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(weights_of(model)))
    train_here(model, callbacks=[watch], checkpoints=tmp_path)
    averages = [np.array(v) for v in model.optimizer._model_variables_moving_average]
    for shown, final, average in zip(seen[-1], weights_of(model), averages, strict=True):
        assert np.array_equal(shown, final)
        assert np.array_equal(final, average)
